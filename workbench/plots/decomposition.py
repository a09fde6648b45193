"""Figure of credit by role and round."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import polars as pl

from workbench.plots.scale import DIVERGING, signed_number, symmetric_range


def role_round_map(cells: pl.DataFrame) -> go.Figure:
    """Mean credit of each role in each round; empty where a role did not act.

    Args:
        cells: As in `Decomposition.cells`: role, round, steps, mean.
    """
    roles = cells["role"].unique().sort().to_list()
    rounds = cells["round"].unique().sort().to_list()
    mean = np.full((len(roles), len(rounds)), np.nan)
    steps = np.zeros(mean.shape, dtype=np.int32)
    for role, round_, count, value in cells.select("role", "round", "steps", "mean").iter_rows():
        place = roles.index(role), rounds.index(round_)
        mean[place], steps[place] = value, count
    low, high = symmetric_range(mean)
    figure = go.Figure(
        go.Heatmap(
            x=[str(number) for number in rounds],
            y=roles,
            z=mean.astype(np.float32),
            customdata=steps,
            text=[
                [signed_number(value) if count else "" for value, count in zip(*row, strict=True)]
                for row in zip(mean, steps, strict=True)
            ],
            texttemplate="%{text}",
            colorscale=DIVERGING,
            zmin=low,
            zmax=high,
            xgap=3,
            ygap=3,
            colorbar={"title": {"text": "mean credit"}, "thickness": 12},
            hovertemplate="%{y}, round %{x}: %{z:+.3g} over %{customdata:,} steps<extra></extra>",
            hoverongaps=False,
        )
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True)
    figure.update_xaxes(title="round", type="category", showgrid=False, fixedrange=True)
    figure.update_layout(height=110 + 44 * len(roles), margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return figure
