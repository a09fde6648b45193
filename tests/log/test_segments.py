from __future__ import annotations

import statistics
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, steps

from workbench.log.segments import (
    discounted_returns,
    segment_constant,
    segment_level,
    segment_mean,
    segment_std,
    segment_sum,
)
from workbench.log.steps import Index, Real

REALS = st.floats(-1e3, 1e3, allow_subnormal=False)
SEGMENTS = 4
Segmented = tuple[Real, Index, Real]


@st.composite
def segmented(draw: st.DrawFn) -> Segmented:
    """Values, their segments (some may stay empty, codes are not sorted), and whole weights."""
    size = draw(st.integers(0, 12))
    value = np.array(draw(st.lists(REALS, min_size=size, max_size=size)), dtype=np.float64)
    codes = draw(st.lists(st.integers(0, SEGMENTS - 1), min_size=size, max_size=size))
    weight = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    return value, np.array(codes, dtype=np.int64), np.array(weight, dtype=np.float64)


def test_discounted_returns_by_hand() -> None:
    # Backwards: 4; 2 + 0.5 * 4 = 4; 1 + 0.5 * 4 = 3. Then a trajectory of its own: 8.
    reward, step_index = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0, 1, 2, 0])
    assert discounted_returns(reward, step_index, 0.5).tolist() == [3.0, 4.0, 4.0, 8.0]


def test_without_discount_returns_are_sums_of_what_is_to_come() -> None:
    # 1 - 2 + 4 = 3, -2 + 4 = 2, 4; the second trajectory: 8 + 16 = 24, 16.
    reward, step_index = np.array([1.0, -2.0, 4.0, 8.0, 16.0]), np.array([0, 1, 2, 0, 1])
    assert discounted_returns(reward, step_index, 1.0).tolist() == [3.0, 2.0, 4.0, 24.0, 16.0]


def test_with_gamma_zero_returns_are_the_rewards() -> None:
    reward, step_index = np.array([1.0, -2.0, 4.0]), np.array([0, 1, 0])
    assert discounted_returns(reward, step_index, 0.0).tolist() == [1.0, -2.0, 4.0]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_returns_leave_the_rewards_as_they_were(gamma: float) -> None:
    reward = np.array([1.0, 2.0, 4.0])
    returns = discounted_returns(reward, np.array([0, 1, 2]), gamma)
    assert reward.tolist() == [1.0, 2.0, 4.0]
    assert not np.shares_memory(returns, reward)


def test_returns_of_a_thousand_steps_need_no_recursion() -> None:
    # r = 1 at every step: G_t is the geometric sum (1 - γ^(T - t)) / (1 - γ).
    length, gamma = 1000, 0.99
    returns = discounted_returns(np.ones(length), np.arange(length), gamma)
    left = length - np.arange(length)
    assert returns == pytest.approx((1 - gamma**left) / (1 - gamma), rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(described_logs(), st.sampled_from([0.0, 0.3, 0.95, 1.0]))
def test_returns_are_the_discounted_sums_of_each_trajectory(
    described: Described, gamma: float
) -> None:
    log = steps(described)
    expected = [
        sum(gamma**later * float(log.reward[step + later]) for later in range(end - step))
        for start, end in zip(log.trajectory_start[:-1], log.trajectory_start[1:], strict=True)
        for step in range(start, end)
    ]
    found = discounted_returns(log.reward, log.step_index, gamma)
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_segments_by_hand() -> None:
    value = np.array([1.0, 10.0, 3.0, 20.0, 5.0])
    segment = np.array([2, 0, 2, 0, 2])
    # Segment 0 has 10 and 20, 1 nothing, 2 has 1, 3 and 5.
    assert segment_sum(value, segment, 4).tolist() == [30.0, 0.0, 9.0, 0.0]
    assert segment_mean(value, segment, 4).tolist() == [15.0, 0.0, 3.0, 0.0]
    # Squares about the mean: 25 + 25 = 50 and 4 + 0 + 4 = 8; over n - 1: 50 / 1 and 8 / 2.
    assert segment_std(value, segment, 4).tolist() == [50**0.5, 0.0, 2.0, 0.0]
    # Over n: 50 / 2 and 8 / 3.
    assert segment_std(value, segment, 4, ddof=0) == pytest.approx([5.0, 0.0, (8 / 3) ** 0.5, 0.0])


def test_weights_by_hand() -> None:
    value, segment = np.array([1.0, 4.0, 100.0]), np.array([0, 0, 0])
    weight = np.array([2.0, 1.0, 0.0])
    # 1, 1 and 4: mean 6 / 3 = 2, squares 1 + 1 + 4 = 6, over 3 - 1.
    assert segment_mean(value, segment, 1, weight).tolist() == [2.0]
    assert segment_std(value, segment, 1, weight) == pytest.approx([3**0.5])
    assert segment_std(value, segment, 1, weight, ddof=0) == pytest.approx([2**0.5])


def test_deviation_is_zero_where_too_few_values_count() -> None:
    value, segment = np.array([7.0, 1.0, 5.0]), np.array([0, 1, 1])
    # Segment 0 has one value: n - 1 = 0. Segment 1 has weights 1 and 0: likewise.
    assert segment_std(value, segment, 2, np.array([1.0, 1.0, 0.0])).tolist() == [0.0, 0.0]
    assert segment_std(value, segment, 2, np.zeros(3), ddof=0).tolist() == [0.0, 0.0]
    # Segment 1 differs, but with n - 2 in the denominator its two values are too few.
    assert segment_std(value, segment, 2, ddof=2).tolist() == [0.0, 0.0]


def test_mean_is_zero_where_nothing_counts() -> None:
    assert segment_mean(
        np.array([7.0, 1.0]), np.array([0, 1]), 2, np.array([0.0, 1.0])
    ).tolist() == [
        0.0,
        1.0,
    ]


def test_segments_of_nothing_are_zero() -> None:
    none, codes = np.zeros(0), np.zeros(0, dtype=np.int64)
    assert segment_sum(none, codes, 2).tolist() == [0.0, 0.0]
    assert segment_mean(none, codes, 2).tolist() == [0.0, 0.0]
    assert segment_std(none, codes, 2).tolist() == [0.0, 0.0]
    assert segment_constant(none, codes, 2).tolist() == [True, True]


@settings(deadline=None, max_examples=100)
@given(segmented(), st.sampled_from([0, 1]))
def test_segment_functions_equal_loops_over_segments(drawn: Segmented, ddof: int) -> None:
    value, segment, _ = drawn
    total, mean, std = np.zeros(SEGMENTS), np.zeros(SEGMENTS), np.zeros(SEGMENTS)
    for number in range(SEGMENTS):
        here = [float(x) for x, code in zip(value, segment, strict=True) if code == number]
        total[number] = sum(here)
        if here:
            mean[number] = statistics.fmean(here)
        if len(here) > ddof:
            std[number] = statistics.stdev(here) if ddof else statistics.pstdev(here)
    assert segment_sum(value, segment, SEGMENTS) == pytest.approx(total, abs=1e-9)
    assert segment_mean(value, segment, SEGMENTS) == pytest.approx(mean, abs=1e-9)
    assert segment_std(value, segment, SEGMENTS, ddof=ddof) == pytest.approx(std, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(segmented(), st.sampled_from([0, 1]))
def test_a_weight_counts_like_so_many_copies(drawn: Segmented, ddof: int) -> None:
    value, segment, weight = drawn
    times = weight.astype(np.int64)
    copied, code = np.repeat(value, times), np.repeat(segment, times)
    assert segment_mean(value, segment, SEGMENTS, weight) == pytest.approx(
        segment_mean(copied, code, SEGMENTS), abs=1e-9
    )
    assert segment_std(value, segment, SEGMENTS, weight, ddof) == pytest.approx(
        segment_std(copied, code, SEGMENTS, ddof=ddof), abs=1e-9
    )


@settings(deadline=None, max_examples=50)
@given(segmented(), st.randoms(use_true_random=False))
def test_the_order_of_values_does_not_matter(drawn: Segmented, random: Random) -> None:
    value, segment, weight = drawn
    order = list(range(len(value)))
    random.shuffle(order)
    for statistic in (segment_mean, segment_std):
        assert statistic(value[order], segment[order], SEGMENTS, weight[order]) == pytest.approx(
            statistic(value, segment, SEGMENTS, weight), abs=1e-9
        )
    assert (
        segment_constant(value[order], segment[order], SEGMENTS).tolist()
        == segment_constant(value, segment, SEGMENTS).tolist()
    )


def test_constants_by_hand() -> None:
    value = np.array([1.0, 1.0, 1.0, 2.0, -3.0, 0.0, 0.0])
    segment = np.array([0, 0, 1, 1, 2, 4, 4])
    assert segment_constant(value, segment, 5).tolist() == [True, False, True, True, True]


def test_the_mean_of_equal_values_is_one_of_them() -> None:
    # Ten times 0.1 sums to 0.9999999999999999; 2 counts twice: (1 + 2 + 2)/3; 7 does not count.
    value = np.array([0.1] * 10 + [1.0, 2.0, 7.0])
    segment = np.array([0] * 10 + [1, 1, 2])
    level, equal = segment_level(value, segment, 3, np.array([1.0] * 10 + [1.0, 2.0, 0.0]))
    assert level.tolist() == [0.1, 5 / 3, 0.0]
    assert segment_mean(value, segment, 3)[0] != 0.1
    assert equal.tolist() == [True, False, True]


def test_a_constant_with_rounding_noise_is_constant() -> None:
    # 0.1 + 0.2 and 0.3 are neighbouring floats; ten tenths are a little less than 1.
    tenths = np.cumsum([0.1] * 10)[-1]
    value = np.array([0.1 + 0.2, 0.3, tenths, 1.0, -1e6, -1e6 * (1 + 1e-13)])
    assert value[0] != value[1]
    assert value[2] != value[3]
    assert segment_constant(value, np.array([0, 0, 1, 1, 2, 2]), 3).tolist() == [True, True, True]
    # Their deviations are not 0, which is why the test is needed.
    assert (segment_std(value, np.array([0, 0, 1, 1, 2, 2]), 3) > 0).all()


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_constancy_is_relative_to_the_size_of_the_values(size: float) -> None:
    segment = np.array([0, 0, 1, 1])
    value = size * np.array([1.0, 1.0 + 5e-13, 1.0, 1.0 + 5e-12])
    assert segment_constant(value, segment, 2).tolist() == [True, False]
    assert segment_constant(-value, segment, 2).tolist() == [True, False]


def test_small_values_of_opposite_sign_are_not_constant() -> None:
    assert segment_constant(np.array([1e-13, -1e-13]), np.array([0, 0]), 1).tolist() == [False]


def test_values_that_do_not_count_decide_nothing() -> None:
    value, segment = np.array([1.0, 9.0, 1.0, 3.0, 4.0]), np.array([0, 0, 0, 1, 1])
    counted = np.array([True, False, True, False, False])
    # Segment 1 has no value that counts, so nothing in it differs.
    assert segment_constant(value, segment, 2, counted).tolist() == [True, True]
    assert segment_constant(value, segment, 2).tolist() == [False, False]
