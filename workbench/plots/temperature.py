"""Figures of tuning: how credit spreads, which value predicts best, how success weighs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench.analysis.tuning.held_out import HeldOut
from workbench.methods.parts.success import success_weight
from workbench.plots.scale import ABOVE, BELOW, FIRST, GREY

Real = NDArray[np.float64]
Index = NDArray[np.int64]

_TICKS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_BLUE, _RED, _GREY = "#4269d0", "#d6455d", "#8c8c8c"
_LAYOUT = {
    "height": 235,
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
}


def spread(edges: Real, counts: Index, pinned: Index | None, pin: str) -> go.Figure:
    """Histogram of credit over steps; that of a pinned τ as an outline.

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
    bars: dict[str, Any] = {"color": list(colour), "line": {"width": 0}}
    traces: list[Any] = [
        go.Bar(
            x=centre.astype(np.float32),
            y=counts.astype(np.int32),
            marker=bars,
            showlegend=False,
            hovertemplate="%{y:,} steps around %{x:+.3f}<extra></extra>",
        )
    ]
    if pinned is not None:
        traces.append(
            go.Scatter(
                x=centre.astype(np.float32),
                y=pinned.astype(np.int32),
                name=pin,
                mode="lines",
                line={"shape": "hvh", "width": 1.5, "color": _GREY},
                hovertemplate=f"%{{y:,}} at {pin}<extra></extra>",
            )
        )
    layout = {
        **_LAYOUT,
        "bargap": 0.08,
        "showlegend": pinned is not None,
        "xaxis": {
            "title": {"text": "▼ below 0 · credit of a step · above 0 ▲"},
            "range": [edges[0], edges[-1]],
        },
        "yaxis": {"title": {"text": "steps"}, "rangemode": "tozero"},
    }
    # Given at once: each update of a figure takes as long as making it.
    return go.Figure(traces, layout)


def held_out_error(held: HeldOut, now: float) -> go.Figure:
    """The leave-one-trajectory-out error over the values, its minimum, and where the slider stands.

    Args:
        held: The errors; at least one step was predicted.
        now: The value of the slider.
    """
    is_log = held.finest is None  # thresholds lie between 0 and 1
    curve = go.Scatter(
        x=np.array(held.values, dtype=np.float32),
        y=held.error.astype(np.float32),
        mode="lines",
        line={"color": _BLUE, "width": 2},
        showlegend=False,
        hovertemplate=f"{held.symbol} %{{x:.3g}}: %{{y:.4g}}<extra></extra>",
    )
    place, known = (np.log([now]), np.log(held.values)) if is_log else ([now], held.values)
    error = float(np.interp(place, known, held.error)[0])
    name = f"slider at {held.symbol} {now:.4g}"
    points = [_point(now, error, "circle-open", name, _RED)]
    low, high = float(held.error.min()), float(max(held.error.max(), held.plain))
    if held.best is not None:
        name = f"least at {held.symbol} {held.best:.4g}"
        points.insert(0, _point(held.best, low, "diamond", name, _BLUE))
    room = 0.12 * ((high - low) or 1.0)
    layout = {
        **_LAYOUT,
        "shapes": _marks(held, now),
        "annotations": [
            {
                "text": "plain mean of the other rollouts",
                "showarrow": False,
                "xref": "x domain",
                "x": 1,
                "xanchor": "right",
                "y": held.plain,
                "yanchor": "bottom",
            }
        ],
        "xaxis": {"title": {"text": held.symbol}, **_axis(held.values, now, is_log=is_log)},
        "yaxis": {"title": {"text": "squared error"}, "range": [low - room, high + 2 * room]},
    }
    return go.Figure([curve, *points], layout)


def _axis(values: Sequence[float], now: float, *, is_log: bool) -> dict[str, Any]:
    """Type, ticks and range of the axis of values."""
    low, high = min(values[0], now), max(values[-1], now)
    if not is_log:
        return {"range": [low - 0.02, high + 0.02]}
    ticks = [tick for tick in _TICKS if low * 0.9 <= tick <= high * 1.1]
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
        "range": np.log10([min(low, *ticks) / 1.02, high * 1.02]).tolist(),
    }


def _marks(held: HeldOut, now: float) -> list[dict[str, Any]]:
    """The plain mean across, the slider upright, and the band of values as good as the best.

    Given at once: plotly's `add_hline` and its like take longer than the rest of the figure.
    """
    whole = {"y0": 0, "y1": 1, "yref": "y domain"}
    plain = {"x0": 0, "x1": 1, "xref": "x domain", "y0": held.plain, "y1": held.plain}
    marks: list[dict[str, Any]] = [
        {"type": "line", **plain, "line": {"dash": "dash", "width": 1, "color": _GREY}},
        {
            "type": "line",
            **whole,
            "x0": now,
            "x1": now,
            "line": {"dash": "dot", "width": 1, "color": _RED},
        },
    ]
    if held.best is not None and held.tied and held.tied[0] < held.tied[1]:
        low, high = held.tied
        band = {"fillcolor": _GREY, "opacity": 0.18, "line": {"width": 0}}
        marks.append({"type": "rect", **whole, "x0": low, "x1": high, **band})
    return marks


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
        (True, "▲ success", "triangle-up", FIRST),
        (False, "▼ failure", "triangle-down", GREY),
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
