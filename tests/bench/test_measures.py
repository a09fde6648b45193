from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from workbench.bench.measures import (
    calibration_slope,
    cosine,
    group_mean,
    kendall,
    ordered_groups,
    pivotal,
    precision_at_k,
    sign_agreement,
    spearman,
)

ONE_GROUP: dict[str, Any] = {"group": np.zeros(5, dtype=np.int64), "groups": 1}
TRUTH = np.array([0.0, 0.5, -0.5, 0.1, 0.2])


def test_ranks_by_hand() -> None:
    credit, truth = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 4.0, 3.0])
    # Rank differences 0, 0, 1, 1: 1 - 6 · 2 / (4 · 15). Of six pairs five agree and one does not.
    assert spearman(credit, truth, np.zeros(4, dtype=np.int64), 1).tolist() == pytest.approx([0.8])
    assert kendall(credit, truth) == pytest.approx(4 / 6)


def test_ranks_are_taken_inside_groups() -> None:
    # Falling against rising in the first group, both falling in the second, constant in the third.
    credit = np.array([2.0, 1.0, 9.0, 8.0, 5.0, 5.0])
    truth = np.array([1.0, 2.0, 2.0, 1.0, 1.0, 2.0])
    found = spearman(credit, truth, np.array([0, 0, 1, 1, 2, 2]), 3)
    assert found.tolist() == pytest.approx([-1.0, 1.0, 0.0])


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=30))
def test_ranks_equal_those_of_scipy_where_both_sides_vary(pairs: list[tuple[int, int]]) -> None:
    credit, truth = np.array(pairs, dtype=np.float64).T
    if np.ptp(truth) == 0 or np.ptp(credit) == 0:
        return
    (found,) = spearman(credit, truth, np.zeros(len(pairs), dtype=np.int64), 1)
    assert found == pytest.approx(spearmanr(credit, truth).statistic)
    assert kendall(credit, truth) == pytest.approx(kendalltau(credit, truth).statistic)


def test_a_constant_credit_ranks_nothing() -> None:
    constant = np.full(5, 0.3)
    assert spearman(constant, TRUTH, **ONE_GROUP).tolist() == [0.0]
    assert kendall(constant, TRUTH) == 0.0
    # Up to rounding of a sum, that is.
    rounded = np.array([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3])
    assert spearman(rounded, TRUTH, **ONE_GROUP).tolist() == [0.0]
    assert kendall(rounded, TRUTH) == 0.0


def test_pivotal_steps_are_the_largest_tenth_with_ties() -> None:
    # A tenth of five is at least one: .5 and -.5 are equally large.
    assert pivotal(TRUTH).tolist() == [False, True, True, False, False]
    # A tenth of 20 is two.
    assert np.flatnonzero(pivotal(np.arange(20.0))).tolist() == [18, 19]
    assert not pivotal(np.zeros(4)).any()


def test_signs_by_hand() -> None:
    wanted = np.array([True, True, True, True, False])
    truth = np.array([1.0, 1.0, -1.0, -1.0, 1.0])
    # Right, zero (½), right, wrong; the last is not asked for.
    credit = np.array([0.2, 0.0, -5.0, 0.1, -1.0])
    assert sign_agreement(credit, truth, wanted) == pytest.approx(2.5 / 4)


def test_precision_by_hand() -> None:
    wanted = np.array([True, False, True, False])
    # The two largest are steps 0 and 1, one of them wanted.
    assert precision_at_k(np.array([3.0, -2.0, 1.0, 0.0]), wanted) == pytest.approx(0.5)
    # Step 1 is sure of its place; steps 0, 2, 3 share the other: 2/3 of it is wanted.
    assert precision_at_k(np.array([1.0, 2.0, 1.0, 1.0]), wanted) == pytest.approx((2 / 3) / 2)
    # A constant credit gets the share of wanted steps.
    assert precision_at_k(np.zeros(4), wanted) == pytest.approx(0.5)


def test_a_slope_by_hand() -> None:
    # The truth is half the credit plus a constant.
    credit = np.array([0.0, 2.0, 4.0])
    assert calibration_slope(credit, credit / 2 + 7) == pytest.approx(0.5)
    assert np.isnan(calibration_slope(np.full(3, 0.1), credit))


def test_a_cosine_by_hand() -> None:
    assert cosine(np.array([3.0, 4.0]), np.array([3.0, 0.0])) == pytest.approx(0.6)
    assert cosine(np.zeros(2), np.array([1.0, 0.0])) == 0.0


def test_groups_without_order_are_left_out_of_a_mean() -> None:
    truth, start = np.array([1.0, 2.0, 5.0, 5.0, 0.0, -1.0]), np.array([0, 2, 4, 6])
    ordered = ordered_groups(truth, start)
    assert ordered.tolist() == [True, False, True]
    credit = np.array([1.0, 2.0, 0.0, 9.0, 1.0, 2.0])
    # 1 in the first group, -1 in the third.
    assert group_mean(kendall, start, credit, truth, among=ordered) == pytest.approx(0.0)
    assert np.isnan(group_mean(kendall, start, credit, truth, among=np.zeros(3, dtype=bool)))
