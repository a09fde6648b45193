"""Figures of an audit: one measure of every credit, with the credits that know nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from workbench.plots.scale import FIRST, GREY, ZERO_LINE, interval

_BAND = "rgba(140,140,140,0.35)"
_FORMATS: Mapping[str, str] = {"share": ".1%", "correlation": "+.2f", "number": ".3g"}
_TICKS: Mapping[str, str] = {"share": ".0%", "correlation": ".2f", "number": "~g"}


def readings(rows: pl.DataFrame, kind: str, controls: Collection[str]) -> go.Figure:
    """A point a reading with its interval; controls are hollow, shuffled credit is a grey band.

    Args:
        rows: Readings of one measure, in the columns of an audit's frame; null values are left out.
        kind: Of the measure: "share", "correlation" or "number".
        controls: Which credits are controls.
    """
    rows = rows.filter(pl.col("value").is_not_null()).with_columns(
        label=pl.concat_str(
            pl.col("credit").fill_null("log"),
            pl.when(pl.col("where") != "").then(pl.format(" · {}", "where")).otherwise(pl.lit("")),
        )
    )
    labels = rows["label"].to_list()
    figure = go.Figure()
    banded = rows.filter(pl.col("shuffled_low").is_not_null())
    if banded.height:
        figure.add_trace(_band(banded))
    for name, hollow in (("credits", False), ("controls", True)):
        part = rows.filter(pl.col("credit").is_in(list(controls)).fill_null(False) == hollow)
        if part.height:
            figure.add_trace(_points(part, kind, name, hollow=hollow))
    figure.update_xaxes(tickformat=_TICKS[kind], rangemode="tozero", **ZERO_LINE)
    figure.update_yaxes(
        categoryorder="array", categoryarray=labels[::-1], showgrid=False, ticksuffix=" "
    )
    figure.update_layout(
        height=90 + 26 * max(len(set(labels)), 2),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0},
    )
    return figure


def _points(rows: pl.DataFrame, kind: str, name: str, *, hollow: bool) -> go.Scatter:
    colour = GREY if hollow else FIRST
    marker: dict[str, Any] = {"color": colour, "size": 10}
    if hollow:
        marker = {**marker, "symbol": "circle-open", "line": {"width": 2, "color": colour}}
    return go.Scatter(
        x=rows["value"].to_numpy(),
        y=rows["label"].to_list(),
        error_x=interval(rows, thickness=1.4),
        mode="markers",
        marker=marker,
        cliponaxis=False,  # where all others lie on one side, a point at 0 is on the edge
        name=name,
        hovertemplate=f"%{{x:{_FORMATS[kind]}}}<extra></extra>",
    )


def _band(rows: pl.DataFrame) -> go.Bar:
    """From the least to the largest number over shuffles of the credit."""
    low, high = (rows[f"shuffled_{end}"].to_numpy() for end in ("low", "high"))
    return go.Bar(
        x=high - low,
        base=low,
        y=rows["label"].to_list(),
        orientation="h",
        width=0.5,
        marker={"color": _BAND},
        name="shuffled credit",
        hoverinfo="skip",
    )
