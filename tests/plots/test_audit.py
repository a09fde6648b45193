"""The figure of one measure of an audit: a pure function of its readings."""

from __future__ import annotations

import polars as pl
import pytest

from workbench.analysis.audit.result import SCHEMA
from workbench.plots.audit import readings


def rows(*given: dict[str, object]) -> pl.DataFrame:
    blank = dict.fromkeys(SCHEMA) | {"where": "", "note": ""}
    return pl.DataFrame([blank | row for row in given], schema=SCHEMA)


def test_credits_are_full_and_controls_hollow_each_with_its_interval():
    frame = rows(
        {"credit": "grpo", "value": 0.5, "low": 0.2, "high": 0.6},
        {"credit": "random", "value": 0.1},
        {"credit": "gigpo", "value": None},
    )
    credits, controls = readings(frame, "share", ("random",)).data
    assert (credits.name, controls.name) == ("credits", "controls")
    assert list(credits.y) == ["grpo"]
    assert credits.error_x.array.tolist() == pytest.approx([0.6 - 0.5])
    assert credits.error_x.arrayminus.tolist() == pytest.approx([0.5 - 0.2])
    assert controls.marker.symbol == "circle-open"
    # What has no interval is a point.
    assert controls.error_x.array.tolist() == [0.0]


def test_the_range_of_shuffled_credit_is_a_band_behind_the_points():
    frame = rows(
        {"credit": "grpo", "value": -0.4, "shuffled_low": -0.1, "shuffled_high": 0.2},
        {"credit": "gigpo", "value": 0.4},
    )
    band, points = readings(frame, "correlation", ()).data
    assert list(band.y) == ["grpo"]
    assert band.base.tolist() == [-0.1]
    assert band.x.tolist() == pytest.approx([0.3])
    assert list(points.y) == ["grpo", "gigpo"]


def test_a_reading_of_the_log_and_of_a_place_in_it_is_named():
    frame = rows(
        {"credit": None, "value": 1.0},
        {"credit": None, "where": "step 0", "value": 2.0},
        {"credit": "grpo", "where": "all_fail", "value": 3.0},
    )
    figure = readings(frame, "number", ())
    assert not figure.data[0].cliponaxis  # a point on the edge is whole
    assert list(figure.data[0].y) == ["log", "log · step 0", "grpo · all_fail"]
    # The first is on top.
    assert figure.layout.yaxis.categoryarray[-1] == "log"
