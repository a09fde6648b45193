"""Figures of the fidelity benchmark: methods by measure, and a measure along each dial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.plots.scale import ABOVE, BELOW, GREY, interval, line_style

_COLOUR = {"above": ABOVE, "below": BELOW, "unresolved": GREY, None: "#222222"}
_KEY = "paired difference to the reference (black): orange above, purple below, grey unresolved"


def methods(summary: pl.DataFrame, measures: Sequence[str]) -> go.Figure:
    """Value and interval of every method, one panel per measure; the colour is the verdict.

    Args:
        summary: Rows of one family over all its conditions, in the columns of a fidelity summary.
        measures: Which, in the order of the panels.
    """
    order = summary["method"].unique(maintain_order=True).to_list()
    figure = make_subplots(
        rows=1,
        cols=len(measures),
        shared_yaxes=True,
        horizontal_spacing=0.02,
        subplot_titles=[name.replace("_", " ") for name in measures],
    )
    for column, measure in enumerate(measures, start=1):
        rows = summary.filter((pl.col("measure") == measure) & pl.col("value").is_not_null())
        figure.add_trace(
            go.Scatter(
                x=rows["value"].to_numpy(),
                y=rows["method"].to_list(),
                error_x=interval(rows, thickness=1.2),
                mode="markers",
                marker={"color": [_COLOUR[verdict] for verdict in rows["verdict"]], "size": 8},
                hovertemplate="%{y}: %{x:.3f}<extra></extra>",
                showlegend=False,
            ),
            row=1,
            col=column,
        )
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1])
    figure.update_layout(
        title={"text": _KEY, "font": {"size": 13}, "y": 0.99, "yanchor": "top"},
        height=130 + 26 * len(order),
        margin={"l": 8, "r": 8, "t": 70, "b": 8},
    )
    return figure


def sweeps(summary: pl.DataFrame, measure: str) -> go.Figure:
    """One measure along each dial, one line per method, one panel a dial.

    Args:
        summary: Rows of one family, one condition each, with the columns of a fidelity summary
            and `dial` and `value_of_dial`: what was moved from the base, and to where. The base
            itself is a row of every dial.
        measure: Which.
    """
    rows = summary.filter((pl.col("measure") == measure) & pl.col("value").is_not_null())
    dials = rows["dial"].unique(maintain_order=True).to_list()
    figure = make_subplots(
        rows=1, cols=len(dials), shared_yaxes=True, horizontal_spacing=0.015, subplot_titles=dials
    )
    for number, method in enumerate(rows["method"].unique(maintain_order=True)):
        for column, dial in enumerate(dials, start=1):
            line = rows.filter((pl.col("method") == method) & (pl.col("dial") == dial)).sort(
                "value_of_dial"
            )
            figure.add_trace(
                go.Scatter(
                    x=line["value_of_dial"].to_numpy(),
                    y=line["value"].to_numpy(),
                    name=method,
                    legendgroup=method,
                    showlegend=column == 1,
                    mode="lines+markers",
                    line=line_style(number),
                    hovertemplate=f"{method}, {dial} %{{x:g}}: %{{y:.3f}}<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_yaxes(title=measure.replace("_", " "), col=1)
    reach = np.asarray(rows["value"].to_numpy(), dtype=np.float64)
    figure.update_yaxes(range=[min(0.0, reach.min()) - 0.02, reach.max() + 0.02])
    figure.update_layout(height=420, margin={"l": 8, "r": 8, "t": 36, "b": 8})
    return figure
