"""Figures that set methods against each other: pure functions of arrays."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from workbench.plots import methods as plots

LEFT = np.array([1.0, -1.0, 0.0, 2.0, -2.0])
RIGHT = np.array([3.0, 1.0, 1.0, 4.0, -1.0])
NONE = np.array([], dtype=np.int64)
PAIR = ("grpo", "gigpo")


def test_agreement_is_by_sign_and_a_zero_is_a_kind_of_its_own():
    assert plots.agreement(LEFT, RIGHT).tolist() == [0, 1, 2, 0, 0]


def test_points_carry_the_numbers_of_their_steps():
    figure = plots.scatter(LEFT, RIGHT, PAIR, NONE)
    same, opposite, zero = figure.data
    assert same.customdata.tolist() == [0, 3, 4]
    assert opposite.customdata.tolist() == [1]
    assert zero.customdata.tolist() == [2]
    assert same.name == "same sign (3)"
    assert same.x.dtype == np.float32


def test_the_signs_are_told_apart_by_symbol_too():
    symbols = [trace.marker.symbol for trace in plots.scatter(LEFT, RIGHT, PAIR, NONE).data]
    assert len(set(symbols)) == 3


def test_zero_is_in_the_middle_of_both_axes():
    layout = plots.scatter(LEFT, RIGHT, PAIR, NONE).layout
    # The largest are 2 and 4, with 5 % beyond.
    assert layout.xaxis.range == pytest.approx((-2.1, 2.1))
    assert layout.yaxis.range == pytest.approx((-4.2, 4.2))
    # The line of equal credit ends where the smaller axis does.
    assert (layout.shapes[0].x0, layout.shapes[0].y1) == pytest.approx((-2.1, 2.1))


def test_many_steps_are_counted_in_cells_and_only_the_marked_are_points():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, plots.MOST_POINTS + 1))
    figure = plots.scatter(left, right, PAIR, np.array([7, 5]))
    cells, marked = figure.data
    assert cells.type == "heatmap"
    assert cells.customdata.sum() == plots.MOST_POINTS + 1
    assert np.isnan(cells.z[cells.customdata == 0]).all()
    assert marked.customdata.tolist() == [7, 5]
    assert marked.x == pytest.approx(left[[7, 5]].astype(np.float32))


def test_cells_lie_where_their_steps_are():
    left = np.append(np.zeros(plots.MOST_POINTS), 1.0)
    right = np.append(np.zeros(plots.MOST_POINTS), -1.0)
    cells = plots.scatter(left, right, PAIR, NONE).data[0]
    row, column = np.argwhere(cells.customdata == 1)[0]
    # A cell is 2.1 / 60 = 0.035 wide.
    assert cells.x[column] == pytest.approx(1.0, abs=0.02)
    assert cells.y[row] == pytest.approx(-1.0, abs=0.02)


def test_credits_that_are_all_zero_give_a_figure():
    nothing = np.zeros(3)
    figure = plots.scatter(nothing, nothing, PAIR, NONE)
    assert [trace.name for trace in figure.data] == ["with a zero (3)"]
    assert figure.layout.xaxis.range == pytest.approx((-1.05, 1.05))


def test_the_matrix_has_each_pair_once_and_says_where_nothing_is_ranked():
    pairs = pl.DataFrame(
        {"left": ["a", "a", "b"], "right": ["b", "c", "c"], "spearman": [0.5, None, -0.25]}
    )
    cells = plots.rank_matrix(["a", "b", "c"], pairs).data[0]
    assert list(cells.x) == ["a", "b"]
    assert list(cells.y) == ["b", "c"]
    assert [list(row) for row in cells.text] == [["+0.50", ""], ["none", "-0.25"]]
    assert np.asarray(cells.z)[1, 1] == -0.25
    assert (cells.zmin, cells.zmax) == (-1, 1)


def test_groups_are_counted_by_rank_correlation_and_nulls_are_left_out():
    bars = plots.group_ranks(pl.Series([1.0, 0.95, -0.05, -1.0, None])).data[0]
    counts = dict(zip(bars.customdata, bars.y.tolist(), strict=True))
    assert {span: count for span, count in counts.items() if count} == {
        "-1.0 to -0.9": 1,
        "-0.1 to +0.0": 1,
        "+0.9 to +1.0": 2,
    }
