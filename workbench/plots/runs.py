"""Figure of runs over their updates: what they solve, and what their logs can teach."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from workbench.plots.scale import SERIES

MEASURES: Mapping[str, str] = {
    "success": "rollouts that succeed",
    "live_share": "live groups",
    "effective_share": "steps with credit",
    "flip_share": "opposite signs",
}
"""Column of `analysis.runs.checkpoints` -> what it is, each drawn by itself."""


def over_updates(checkpoints: pl.DataFrame) -> go.Figure:
    """Four shares over the updates of each run, the baseline first and widest."""
    shown = [name for name in MEASURES if checkpoints[name].is_not_null().any()]
    figure = make_subplots(
        rows=1,
        cols=max(len(shown), 1),
        subplot_titles=[MEASURES[name] for name in shown],
        horizontal_spacing=0.06,
    )
    runs = checkpoints["run"].unique(maintain_order=True).to_list()
    for number, run in enumerate(runs):
        part = checkpoints.filter(pl.col("run") == run)
        colour, symbol = SERIES[number % len(SERIES)]
        for column, name in enumerate(shown, start=1):
            figure.add_trace(
                go.Scatter(
                    x=part["update"].to_numpy(),
                    y=part[name].to_numpy().astype(np.float32),
                    mode="lines+markers",
                    name=run,
                    legendgroup=run,
                    showlegend=column == 1,
                    line={"color": colour, "width": 2.5 if not number else 1.5},
                    marker={"symbol": symbol, "size": 8, "color": colour},
                    hovertemplate="update %{x}: %{y:.1%}<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_yaxes(tickformat=".2~%", rangemode="tozero")
    figure.update_xaxes(title="update")
    figure.update_layout(
        height=270,
        margin={"l": 8, "r": 8, "t": 56, "b": 8},
        legend={"orientation": "h", "y": 1.18, "yanchor": "bottom", "x": 0},
    )
    figure.update_annotations(font_size=13)
    return figure
