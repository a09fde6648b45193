"""Figures that set methods against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from workbench.log.remarks import TOLERANCE
from workbench.plots.scale import (
    CORRELATION,
    FIRST,
    FRAME,
    GREY,
    SECOND,
    ZERO_LINE,
    symmetric_range,
)

Real = NDArray[np.float64]
Index = NDArray[np.int64]

MOST_POINTS = 5_000
"""Steps up to which each is a point; above, cells of a grid say how many steps are in them."""

CELLS = 60
_GL_POINTS = 2_000  # from here on the browser draws points faster with WebGL
_AGREEMENT = (
    ("same sign", "circle", FIRST, 6),
    ("opposite", "diamond", SECOND, 7),
    ("with a zero", "cross-thin-open", GREY, 7),
)


def scatter(left: Real, right: Real, names: tuple[str, str], marked: Index) -> go.Figure:
    """Credits of the same steps under two methods; the sign agrees in two of the quadrants.

    Args:
        left: Advantages under the method on the x axis. (S,) float64
        right: Those under the other. (S,) float64
        names: Both methods.
        marked: Steps that are drawn as points where the others are only counted. (M,) int64

    Returns:
        A figure whose points carry the number of their step as `customdata`.
    """
    figure = go.Figure()
    if left.size <= MOST_POINTS:
        for trace in _points(left, right, names):
            figure.add_trace(trace)
    else:
        figure.add_trace(_density(left, right))
        marker = {"symbol": "diamond-open", "color": SECOND, "size": 9}
        trace = _trace((left, right), marked, names, marker)
        figure.add_trace(trace.update(name="largest disagreements"))
    ranges = [_axis(left), _axis(right)]
    reach = min(ranges[0][1], ranges[1][1])
    line = {"color": GREY, "width": 1, "dash": "dot"}
    figure.add_shape(type="line", x0=-reach, y0=-reach, x1=reach, y1=reach, line=line)
    figure.update_xaxes(title=f"{names[0]} credit", range=ranges[0], **ZERO_LINE)
    figure.update_yaxes(title=f"{names[1]} credit", range=ranges[1], **ZERO_LINE)
    figure.update_layout(
        height=380,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0},
        clickmode="event+select",
        dragmode="zoom",
    )
    return figure


def _axis(values: Real) -> tuple[float, float]:
    """Limits around 0 that leave the outermost points whole."""
    low, high = symmetric_range(values)
    return 1.05 * low, 1.05 * high


def agreement(left: Real, right: Real) -> Index:
    """0 where two advantages have the same sign, 1 where opposite ones, 2 where one is zero."""
    zero = (np.abs(left) <= TOLERANCE) | (np.abs(right) <= TOLERANCE)
    return np.where(zero, 2, np.sign(left) != np.sign(right)).astype(np.int64)


def _points(left: Real, right: Real, names: tuple[str, str]) -> list[go.Scattergl | go.Scatter]:
    kinds = agreement(left, right)
    traces = []
    for kind, (label, symbol, colour, size) in enumerate(_AGREEMENT):
        members = np.flatnonzero(kinds == kind)
        if members.size:
            marker = {"symbol": symbol, "color": colour, "size": size, "opacity": 0.6}
            trace = _trace((left, right), members, names, marker)
            traces.append(trace.update(name=f"{label} ({members.size:,})"))
    return traces


def _trace(
    sides: tuple[Real, Real], members: Index, names: tuple[str, str], marker: Mapping[str, object]
) -> go.Scattergl | go.Scatter:
    kind = go.Scattergl if members.size > _GL_POINTS else go.Scatter
    return kind(
        x=sides[0][members].astype(np.float32),
        y=sides[1][members].astype(np.float32),
        customdata=members.astype(np.int32),
        mode="markers",
        marker={**marker, "line": {"width": 1.5, "color": marker["color"]}}
        if "open" in str(marker["symbol"])
        else marker,
        hovertemplate=f"{names[0]} %{{x:+.3f}}<br>{names[1]} %{{y:+.3f}}<extra></extra>",
    )


def _density(left: Real, right: Real) -> go.Heatmap:
    """Steps per cell, on a logarithmic colour scale; empty cells are clear."""
    reach = [_axis(left), _axis(right)]
    counts, x_edges, y_edges = np.histogram2d(left, right, bins=CELLS, range=reach)
    colour = np.log10(counts.T, out=np.full(counts.T.shape, np.nan), where=counts.T > 0)
    ticks = np.arange(int(np.nanmax(colour)) + 1)
    return go.Heatmap(
        x=((x_edges[1:] + x_edges[:-1]) / 2).astype(np.float32),
        y=((y_edges[1:] + y_edges[:-1]) / 2).astype(np.float32),
        z=colour.astype(np.float32),
        customdata=counts.T.astype(np.int32),
        colorscale=[[0, "rgba(66,105,208,0.2)"], [1, "rgba(66,105,208,1)"]],
        colorbar={
            "title": {"text": "steps"},
            "tickvals": ticks.tolist(),
            "ticktext": [f"{10**tick:,}" for tick in ticks.tolist()],
            "thickness": 12,
        },
        hovertemplate="%{customdata:,} steps<extra></extra>",
        hoverongaps=False,
    )


def rank_matrix(
    names: Sequence[str], pairs: pl.DataFrame, chosen: tuple[str, str] | None = None
) -> go.Figure:
    """Rank correlation of every two methods, from `Comparison.pairs`.

    A heatmap cannot be selected in, so each cell has an unseen point that can: x and y are methods.

    Args:
        names: The methods.
        pairs: Their pairs.
        chosen: The two whose cell has a frame.
    """
    place = {name: k for k, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    for left, right, value in pairs.select("left", "right", "spearman").iter_rows():
        if value is not None:
            values[place[left], place[right]] = values[place[right], place[left]] = value
    below = np.tril(np.ones(values.shape, dtype=bool), k=-1)
    text = np.where(np.isnan(values), "none", np.char.mod("%+.2f", np.nan_to_num(values)))
    figure = go.Figure(
        go.Heatmap(
            x=list(names)[:-1],
            y=list(names)[1:],
            z=np.where(below, values, np.nan)[1:, :-1].astype(np.float32),
            text=np.where(below, text, "")[1:, :-1].tolist(),
            texttemplate="%{text}",
            colorscale=CORRELATION,
            zmin=-1,
            zmax=1,
            xgap=3,
            ygap=3,
            showscale=False,
            hoverinfo="skip",
        )
    )
    cells = [(names[row], names[column]) for row, column in zip(*np.nonzero(below), strict=True)]
    figure.add_trace(
        go.Scatter(
            x=[column for _, column in cells],
            y=[row for row, _ in cells],
            mode="markers",
            marker={"symbol": "square", "size": 36, "opacity": 0},
            hovertemplate="%{y} and %{x}: click to look at these two<extra></extra>",
            showlegend=False,
        )
    )
    if chosen is not None:
        column, row = sorted(place[name] for name in chosen)
        frame = {"x0": column - 0.49, "x1": column + 0.49, "y0": row - 1.49, "y1": row - 0.51}
        figure.add_shape(type="rect", **frame, line={"width": 3, "color": FRAME})
    figure.update_layout(clickmode="event+select", dragmode=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, fixedrange=True)
    figure.update_xaxes(showgrid=False, zeroline=False, fixedrange=True)
    figure.update_layout(height=70 + 44 * (len(names) - 1), margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return figure


def group_ranks(spearman: pl.Series) -> go.Figure:
    """Groups by rank correlation between two methods; nulls are left out."""
    edges = np.linspace(-1, 1, 21)
    counts, _ = np.histogram(spearman.drop_nulls().to_numpy(), bins=edges)
    figure = go.Figure(
        go.Bar(
            x=((edges[1:] + edges[:-1]) / 2).astype(np.float32),
            y=counts.astype(np.int32),
            customdata=[f"{low:+.1f} to {low + 0.1:+.1f}" for low in edges[:-1]],
            width=0.095,
            marker={"color": FIRST},
            hovertemplate="%{customdata}: %{y} groups<extra></extra>",
        )
    )
    figure.update_xaxes(title="rank correlation in a group", range=[-1.02, 1.02], **ZERO_LINE)
    figure.update_yaxes(title="groups", rangemode="tozero", tickformat=",d")
    figure.update_layout(height=260, margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False)
    return figure
