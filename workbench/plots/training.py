"""Figure of the training benchmark: learning curves with their intervals."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.plots.scale import line_colour, line_style


def learning_curves(curves: pl.DataFrame) -> go.Figure:
    """Success on held-out tasks by episodes learned from, a panel per condition, a line per method.

    Args:
        curves: Rows of one family, in the columns of a training benchmark's curves.
    """
    conditions = curves["condition"].unique(maintain_order=True).to_list()
    figure = make_subplots(
        rows=1,
        cols=len(conditions),
        shared_yaxes=True,
        horizontal_spacing=0.015,
        subplot_titles=conditions,
    )
    for number, method in enumerate(curves["method"].unique(maintain_order=True)):
        for column, condition in enumerate(conditions, start=1):
            rows = curves.filter((pl.col("method") == method) & (pl.col("condition") == condition))
            samples = rows["samples"].to_list()
            edge = [rows[name].fill_null(rows["value"]).to_list() for name in ("high", "low")]
            figure.add_trace(
                go.Scatter(
                    x=[*samples, *samples[::-1]],
                    y=[*edge[0], *edge[1][::-1]],
                    fill="toself",
                    fillcolor=line_colour(number),
                    opacity=0.12,
                    line={"width": 0},
                    legendgroup=method,
                    showlegend=False,
                    hoverinfo="skip",
                ),
                row=1,
                col=column,
            )
            figure.add_trace(
                go.Scatter(
                    x=samples,
                    y=rows["value"].to_list(),
                    name=method,
                    legendgroup=method,
                    showlegend=column == 1,
                    mode="lines+markers",
                    line=line_style(number),
                    hovertemplate=f"{method} after %{{x}} episodes: %{{y:.3f}}<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_xaxes(title="episodes learned from")
    figure.update_yaxes(title="success on held-out tasks", col=1)
    figure.update_layout(height=420, margin={"l": 8, "r": 8, "t": 36, "b": 8})
    return figure
