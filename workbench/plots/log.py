"""Figures of what is in a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.plots.scale import FIRST

KIND_LABELS: Mapping[str, str] = {
    "live": "Live",
    "penalty_only": "Penalty only",
    "all_fail": "All fail",
    "all_pass": "All pass",
    "constant_reward": "Same reward",
    "one_rollout": "One rollout",
    "unscored": "Not scored",
}
"""Kind of a group -> what it is called; `facts.GROUP_KINDS` says what each means."""

_BLUE, _GREY, _PALE = FIRST, "#6b7a90", "#b4bcc8"
_OVER = {"fillmode": "overlay", "fgcolor": "rgba(0, 0, 0, 0.45)", "size": 6, "solidity": 0.25}
_OUTCOMES = (
    ("succeeded", "Succeeded", _BLUE, ""),
    ("failed", "Failed", _GREY, "/"),
    ("unknown", "Not known or not scored", _PALE, "."),
)


def lengths(histogram: pl.DataFrame) -> go.Figure:
    """Lengths of trajectories, stacked by outcome, from `facts.length_histogram`."""
    shortest, longest = histogram["shortest"], histogram["longest"]
    width = int(longest[0]) - int(shortest[0]) + 1
    steps = [
        f"{first}" if first == last else f"{first} to {last}"
        for first, last in zip(shortest, longest, strict=True)
    ]
    figure = go.Figure()
    for column, label, colour, pattern in _OUTCOMES:
        if histogram[column].sum():
            figure.add_bar(
                x=((shortest + longest) / 2).to_numpy(),
                y=histogram[column].to_numpy(),
                width=width * 0.9,
                name=label,
                customdata=steps,
                marker={"color": colour, "pattern": {"shape": pattern, **_OVER}},
                hovertemplate="%{customdata} steps: %{y} trajectories",
            )
    figure.update_layout(barmode="stack", showlegend=True)
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"}
    figure.update_layout(legend=legend)
    figure.update_xaxes(title="steps of a trajectory")
    if width == 1:
        figure.update_xaxes(dtick=max(1, histogram.height // 10))
    most = histogram.select(pl.sum_horizontal("succeeded", "failed", "unknown").max()).item()
    figure.update_yaxes(title="trajectories", **_whole_numbers(most))
    return _compact(figure)


def recurrence(singleton_rate_by_depth: Mapping[str, float]) -> go.Figure:
    """By step depth: the share of steps whose state occurs nowhere else in its group."""
    depths = list(singleton_rate_by_depth)
    shares = [100 * share for share in singleton_rate_by_depth.values()]
    figure = go.Figure(
        go.Bar(
            x=depths,
            y=shares,
            text=[f"{share:.0f} %" for share in shares],
            textposition="outside",
            cliponaxis=False,
            marker={"color": _BLUE},
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(title="step", type="category")
    figure.update_yaxes(title="only once in its group, %", range=[0, 108], dtick=25)
    return _compact(figure)


def rollouts(groups_by_size: Mapping[int, int]) -> go.Figure:
    """Groups by number of rollouts."""
    figure = go.Figure(
        go.Bar(
            x=list(groups_by_size),
            y=list(groups_by_size.values()),
            marker={"color": _BLUE},
            hovertemplate="%{x} rollouts: %{y} groups<extra></extra>",
        )
    )
    figure.update_xaxes(title="rollouts of a group", **_whole_numbers(len(groups_by_size)))
    figure.update_yaxes(title="groups", **_whole_numbers(max(groups_by_size.values())))
    return _compact(figure)


def _whole_numbers(most: int) -> dict[str, Any]:
    """Ticks of an axis of counts, which would else have halves where the counts are few."""
    return {"tickformat": ",d", **({"dtick": 1} if most <= 6 else {"nticks": 6})}


def _compact(figure: go.Figure) -> go.Figure:
    figure.update_layout(height=260, margin={"l": 8, "r": 24, "t": 8, "b": 8}, bargap=0.25)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    return figure
