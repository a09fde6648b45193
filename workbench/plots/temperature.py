"""Figures of the temperature: how credit spreads, which τ predicts best, how success weighs."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench.estimators.success import success_weight
from workbench.held_out import HeldOut
from workbench.plots.scale import ABOVE, BELOW

Real = NDArray[np.float64]
Index = NDArray[np.int64]

_BLUE, _RED, _GREY = "#4269d0", "#d6455d", "#8c8c8c"
_LAYOUT = {
    "height": 235,
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
}


def spread(edges: Real, counts: Index, pinned: Index | None, pin: str) -> go.Figure:
    """How many steps get how much credit, as bars; those of a pinned τ as an outline.

    Args:
        edges: Edges of the bins, symmetric around 0. (B + 1,)
        counts: Steps in each bin. (B,) int64
        pinned: Likewise at the pinned τ; None where that is the same τ.
        pin: What the outline is called.
    """
    centre = (edges[:-1] + edges[1:]) / 2
    middle = len(centre) // 2
    colour = np.where(np.arange(len(centre)) < middle, BELOW, ABOVE)
    colour[middle] = _GREY
    figure = go.Figure()
    bars = {"color": list(colour), "line": {"width": 0}}
    figure.add_trace(
        go.Bar(
            x=centre.astype(np.float32),
            y=counts.astype(np.int32),
            marker=bars,
            showlegend=False,
            hovertemplate="%{y:,} steps around %{x:+.3f}<extra></extra>",
        )
    )
    if pinned is not None:
        figure.add_trace(
            go.Scatter(
                x=centre.astype(np.float32),
                y=pinned.astype(np.int32),
                name=pin,
                mode="lines",
                line={"shape": "hvh", "width": 1.5, "color": _GREY},
                hovertemplate=f"%{{y:,}} at {pin}<extra></extra>",
            )
        )
    figure.update_layout(**_LAYOUT, bargap=0.08, showlegend=pinned is not None)
    figure.update_xaxes(
        title="▼ below 0 · credit of a step · above 0 ▲", range=[edges[0], edges[-1]]
    )
    figure.update_yaxes(title="steps", rangemode="tozero")
    return figure


def held_out_error(held: HeldOut, temperature: float) -> go.Figure:
    """The leave-one-trajectory-out error over τ, its minimum, and where the slider stands.

    Args:
        held: The errors; at least one step was predicted.
        temperature: τ of the slider.
    """
    figure = go.Figure()
    x = np.array(held.temperatures, dtype=np.float32)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=held.error.astype(np.float32),
            mode="lines",
            line={"color": _BLUE, "width": 2},
            showlegend=False,
            hovertemplate="τ %{x:.3g}: %{y:.4g}<extra></extra>",
        )
    )
    low, high = float(held.error.min()), float(max(held.error.max(), held.plain))
    figure.add_hline(
        held.plain,
        line={"dash": "dash", "width": 1, "color": _GREY},
        annotation_text="plain mean of the other rollouts",
        annotation_position="top right",
    )
    if held.best is not None:
        if held.tied and held.tied[0] < held.tied[1]:
            figure.add_vrect(*held.tied, fillcolor=_GREY, opacity=0.18, line_width=0)
        figure.add_trace(_point(held.best, low, "diamond", f"least at τ {held.best:.4g}", _BLUE))
    now = float(np.interp(np.log(temperature), np.log(held.temperatures), held.error))
    figure.add_trace(
        _point(temperature, now, "circle-open", f"slider at τ {temperature:.4g}", _RED)
    )
    figure.add_vline(temperature, line={"width": 1, "color": _RED, "dash": "dot"})
    room = 0.12 * ((high - low) or 1.0)
    ticks = [0.01, 0.03, 0.1, 0.3, 1, 3, 10]
    names = [f"{tick:g}" for tick in ticks]
    reach = [min(temperature, held.temperatures[0], 0.01), max(temperature, 10.0)]
    figure.update_xaxes(
        type="log", title="τ", tickvals=ticks, ticktext=names, range=list(np.log10(reach))
    )
    figure.update_yaxes(title="squared error", range=[low - room, high + 2 * room])
    figure.update_layout(**_LAYOUT)
    return figure


def _point(x: float, y: float, symbol: str, name: str, colour: str) -> go.Scatter:
    marker = {"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}}
    hover = f"{name}<extra></extra>"
    return go.Scatter(x=[x], y=[y], mode="markers", marker=marker, name=name, hovertemplate=hover)


def success_weights(rate: Real, groups: Index, alpha: float, beta: float) -> go.Figure:
    """The weight of success and of failure over the success rate of a group, and the log's groups.

    Args:
        rate: Success rates that occur. (R,) float64
        groups: Groups with each rate. (R,) int64
        alpha: α.
        beta: β.
    """
    figure = go.Figure()
    p = np.linspace(0.0, 1.0, 101)
    size = 6.0 + 14.0 * np.sqrt(groups / max(int(groups.max(initial=0)), 1))
    for success, name, symbol, colour in (
        (True, "▲ success", "triangle-up", ABOVE),
        (False, "▼ failure", "triangle-down", BELOW),
    ):
        curve = success_weight(p, np.full(len(p), success), alpha, beta)
        figure.add_trace(
            go.Scatter(
                x=p.astype(np.float32),
                y=curve.astype(np.float32),
                mode="lines",
                name=name,
                line={"color": colour, "width": 2},
                hovertemplate="p %{x:.2f}: w %{y:.4f}<extra></extra>",
            )
        )
        # A group in which nobody succeeded has no success to weigh, and the other way round.
        has = rate > 0.0 if success else rate < 1.0
        points = success_weight(rate[has], np.full(int(has.sum()), success), alpha, beta)
        figure.add_trace(
            go.Scatter(
                x=rate[has].astype(np.float32),
                y=points.astype(np.float32),
                mode="markers",
                showlegend=False,
                marker={"symbol": symbol, "size": size[has], "color": colour, "opacity": 0.75},
                customdata=groups[has].astype(np.int32),
                hovertemplate="%{customdata:,} groups at p %{x:.3g}: w %{y:.4f}<extra></extra>",
            )
        )
    figure.update_layout(**_LAYOUT)
    figure.update_xaxes(title="p, success rate of the group", range=[-0.04, 1.04])
    figure.update_yaxes(title="w")
    return figure
