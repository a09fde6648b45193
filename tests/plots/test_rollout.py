"""Figures of a rollout, and the scales they share."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.log.credit import Part
from workbench.plots.rollout import SYMBOLS_UP_TO, strip, waterfall
from workbench.plots.scale import sign_symbol, signed_number, symmetric_range

LANES = np.array([[1.0, -2.0, 0.0], [0.1, 0.2, -0.4]])


def test_one_scale_around_zero_for_all_methods():
    cells = strip(LANES, ["grpo", "gigpo"], 1).data[0]
    assert (cells.zmin, cells.zmax) == (-2.0, 2.0)
    assert cells.z.dtype == np.float32
    assert cells.z.tolist() == LANES.astype(np.float32).tolist()


def test_on_its_own_scale_each_lane_reaches_one():
    cells = strip(LANES, ["grpo", "gigpo"], 1, own_scale=True).data[0]
    assert np.abs(cells.z).max(axis=1).tolist() == [1.0, 1.0]
    assert (cells.zmin, cells.zmax) == (-1.0, 1.0)


def test_the_sign_is_a_symbol_too_where_cells_are_wide_enough():
    cells = strip(LANES, ["grpo", "gigpo"], 1).data[0]
    assert [list(lane) for lane in cells.text] == [["▲", "▼", "="], ["▲", "▲", "▼"]]
    long = strip(np.ones((1, SYMBOLS_UP_TO + 1)), ["grpo"], 0).data[0]
    assert long.text is None


def test_every_cell_can_be_clicked_and_carries_its_number():
    points = strip(LANES, ["grpo", "gigpo"], 1).data[1]
    assert points.x.tolist() == [1, 2, 3, 1, 2, 3]
    assert list(points.y) == ["grpo"] * 3 + ["gigpo"] * 3
    assert points.customdata.tolist() == pytest.approx(LANES.ravel().tolist())


def test_the_current_step_is_marked():
    mark = strip(LANES, ["grpo", "gigpo"], 2).layout.shapes[0]
    assert (mark.x0, mark.x1) == (2.5, 3.5)


def test_all_zero_lanes_and_one_step_have_a_scale():
    cells = strip(np.zeros((1, 1)), ["grpo"], 0, own_scale=True).data[0]
    assert (cells.zmin, cells.zmax) == (-1.0, 1.0)
    assert cells.z.tolist() == [[0.0]]


def test_the_waterfall_sums_to_the_advantage():
    parts = [
        Part(term="episode", name="score", value=2.0),
        Part(term="episode", name="baseline", value=-1.5),
        Part(term="step", name="score", value=0.25),
        Part(term="step", name="baseline", value=-1.0),
    ]
    bars = waterfall(parts, -0.25).data[0]
    assert sum(bars.y[:-1]) == bars.y[-1] == -0.25
    assert list(bars.measure) == ["relative"] * 4 + ["total"]
    assert bars.x[0] == "episode<br>reward"
    assert bars.x[2] == "step<br>return"
    assert list(bars.text) == ["▲ +2", "▼ −1.5", "▲ +0.25", "▼ −1", "▼ −0.25"]


def test_signs_and_limits():
    assert [sign_symbol(value) for value in (2.0, -2.0, 1e-15, float("nan"))] == ["▲", "▼", "=", ""]
    assert signed_number(float("nan")) == "–"
    assert symmetric_range([1.0, -3.0, float("nan")]) == (-3.0, 3.0)
    assert symmetric_range([0.0]) == symmetric_range([]) == (-1.0, 1.0)
