"""Figures of one rollout: credit lanes over its steps, and what one advantage is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.log.credit import Part
from workbench.log.steps import Real
from workbench.plots.scale import (
    ABOVE,
    BELOW,
    DIVERGING,
    sign_symbol,
    signed_number,
    symmetric_range,
)

SYMBOLS_UP_TO = 40
"""Steps up to which a cell is wide enough for the symbol of its sign."""

_LANE, _AXIS = 30, 46
_MARK = "#4d8bf0"  # seen on light and on dark
_TOTAL = "#7b8794"


def strip(lanes: Real, names: Sequence[str], current: int, *, own_scale: bool = False) -> go.Figure:
    """Credit lanes: one row a method, one column a step, coloured around 0.

    Args:
        lanes: Advantages. (M, T) float64
        names: The methods. M of them.
        current: The step that is marked.
        own_scale: Whether each lane is divided by its own largest absolute value.

    Points of the second trace lie on the cells, method after method; x is the step, from 1.
    """
    methods, steps = lanes.shape
    colour = (
        lanes / np.array([[symmetric_range(lane)[1]] for lane in lanes]) if own_scale else lanes
    )
    low, high = symmetric_range(colour)
    at = np.arange(1, steps + 1, dtype=np.int32)
    symbols = [[sign_symbol(value) for value in lane] for lane in lanes]
    cells = go.Heatmap(
        z=colour.astype(np.float32),
        x=at,
        y=list(names),
        zmin=low,
        zmax=high,
        colorscale=DIVERGING,
        text=symbols if steps <= SYMBOLS_UP_TO else None,
        texttemplate="%{text}" if steps <= SYMBOLS_UP_TO else None,
        xgap=1 if steps <= 120 else 0,
        ygap=3,
        hoverinfo="skip",
        colorbar=_colour_bar(low, high, own_scale=own_scale),
    )
    clicked = go.Scatter(
        x=np.tile(at, methods),
        y=[name for name in names for _ in range(steps)],
        customdata=lanes.astype(np.float32).ravel(),
        mode="markers",
        marker={"opacity": 0, "size": 12},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        hovertemplate="step %{x}, %{y}: %{customdata:+.3g}<extra></extra>",
        showlegend=False,
    )
    figure = go.Figure([cells, clicked])
    figure.add_shape(
        type="rect",
        x0=current + 0.5,
        x1=current + 1.5,
        y0=-0.5,
        y1=methods - 0.5,
        line={"color": _MARK, "width": 3},
    )
    figure.update_layout(
        height=_AXIS + _LANE * methods,
        margin={"l": 0, "r": 0, "t": 4, "b": 0},
        hovermode="closest",
        hoverdistance=-1,  # a cell answers wherever it is clicked
        dragmode=False,
        xaxis={
            "range": [0.45, steps + 0.55],
            "showgrid": False,
            "zeroline": False,
            "dtick": _tick(steps),
        },
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
    )
    return figure


def _tick(steps: int) -> int:
    return next((tick for tick in (1, 2, 5, 10, 20, 50, 100) if steps / tick <= 32), 500)


def _colour_bar(low: float, high: float, *, own_scale: bool) -> dict[str, object]:
    ends = (
        ["− own largest", "0", "+ own largest"]
        if own_scale
        else [f"{low:.2g}", "0", f"+{high:.2g}"]
    )
    return {
        "thickness": 10,
        "len": 1.0,
        "tickvals": [low, 0.0, high],
        "ticktext": ends,
        "outlinewidth": 0,
    }


def waterfall(parts: Sequence[Part], advantage: float) -> go.Figure:
    """Scores and baselines of the terms, one after the other, and the advantage they sum to.

    Args:
        parts: From `Explanation.parts`.
        advantage: Their sum.
    """
    words = {"score": {"episode": "reward"}, "baseline": {}}
    labels = [
        f"{part.term}<br>{words[part.name].get(part.term, _PLAIN[part.name])}" for part in parts
    ]
    values = [*(part.value for part in parts), advantage]
    figure = go.Figure(
        go.Waterfall(
            x=[*labels, "<b>advantage</b>"],
            y=np.array(values, dtype=np.float64),
            measure=[*("relative" for _ in parts), "total"],
            text=[signed_number(value) for value in values],
            textposition="outside",
            increasing={"marker": {"color": ABOVE}},
            decreasing={"marker": {"color": BELOW}},
            totals={"marker": {"color": _TOTAL}},
            connector={"line": {"color": _TOTAL, "width": 1, "dash": "dot"}},
            hovertemplate="%{x}: %{y:+.4g}<extra></extra>",
            cliponaxis=False,
        )
    )
    figure.update_layout(
        height=250,
        margin={"l": 0, "r": 0, "t": 24, "b": 0},
        showlegend=False,
        dragmode=False,
        yaxis={"zeroline": True, "title": None},
        xaxis={"tickangle": 0},
    )
    return figure


_PLAIN = {"score": "return", "baseline": "baseline"}
