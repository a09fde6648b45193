"""Returns and statistics of segments: pure functions of arrays.

A segment is given by an integer code a value, from 0 up; codes need not be sorted. Every function
costs a few passes over its arrays and loops over no rows.
"""

from __future__ import annotations

import numpy as np

from workbench.log.steps import Index, Real, Truth

EQUAL = 1e-12  # values whose range is within this share of their size are the same value


def discounted_returns(reward: Real, step_index: Index, gamma: float) -> Real:
    """Discounted return from each step to the end of its trajectory.

        G_t = r_t + γ G_{t+1}

    Args:
        reward: Rewards, steps of a trajectory adjacent and in order. (S,) float64
        step_index: Place of each step in its trajectory; 0 begins a new one. (S,) int64
        gamma: Discount per step, in [0, 1].

    Returns:
        (S,) float64.

    Example:
        >>> discounted_returns(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 0]), gamma=0.5)
        array([2., 2., 4.])
    """
    if gamma == 0.0:
        return np.array(reward, dtype=np.float64)
    return backward_sums(reward, gamma, step_index)


def backward_sums(value: Real, carry: Real | float, step_index: Index) -> Real:
    """Sum from each step to the end of its trajectory, with a share of its own at every step.

        x_t = value_t + carry_t · x_{t+1}

    Args:
        value: Steps of a trajectory adjacent and in order. (S,) float64
        carry: What share of the next step's sum a step takes; one number, or one per step. (S,)
        step_index: Place of each step in its trajectory; 0 begins a new one. (S,) int64

    Returns:
        (S,) float64.
    """
    total = np.array(value, dtype=np.float64)
    # Steps of equal depth are independent of each other, so the loop is over depths, deepest first.
    order = np.argsort(step_index, kind="stable")
    depth_start = np.searchsorted(step_index[order], np.arange(int(step_index.max()) + 2))
    for depth in range(len(depth_start) - 2, 0, -1):
        at = order[depth_start[depth] : depth_start[depth + 1]]
        total[at - 1] += (carry[at - 1] if isinstance(carry, np.ndarray) else carry) * total[at]
    return total


def td_errors(reward: Real, value: Real, step_index: Index, gamma: float) -> Real:
    """Temporal-difference error of each step; nothing follows the last step.

        δ_t = r_t + γ V_{t+1} − V_t

    Args:
        reward: Rewards, steps of a trajectory adjacent and in order. (S,) float64
        value: V of each step. (S,) float64
        step_index: Place of each step in its trajectory; 0 begins a new one. (S,) int64
        gamma: Discount per step, in [0, 1].

    Returns:
        (S,) float64.
    """
    last = np.append(step_index[1:] == 0, True)
    return reward + gamma * np.where(last, 0.0, np.append(value[1:], 0.0)) - value


def difference(left: Real, right: Real) -> Real:
    """Left − right; exactly 0 where the two are the same number up to rounding.

        |left − right| ≤ 1e-12 · max(|left|, |right|)

    What is left of a difference of equal numbers would become sizeable in a division by a
    deviation of such remainders.

    Example:
        >>> difference(np.array([0.1 + 0.2, 1.0]), np.array([0.3, 0.5]))
        array([0. , 0.5])
    """
    gap = left - right
    size = np.maximum(np.abs(left), np.abs(right))
    return np.where(np.abs(gap) <= EQUAL * size, 0.0, gap)


def segment_sum(value: Real, segment: Index, segments: int) -> Real:
    """Sum of the values of each segment; 0 for one without values. (segments,) float64."""
    total: Real = np.bincount(segment, weights=value, minlength=segments).astype(np.float64)
    return total


def segment_first(segment: Index, counted: Truth) -> Real:
    """1 for the first value of each segment that counts, 0 for the others. (S,) float64.

    Example:
        >>> segment_first(np.array([0, 0, 1, 1]), np.array([False, True, True, True]))
        array([0., 1., 1., 0.])
    """
    there = np.flatnonzero(counted)
    first = np.zeros(len(segment))
    first[there[np.unique(segment[there], return_index=True)[1]]] = 1.0
    return first


def segment_mean(value: Real, segment: Index, segments: int, weight: Real | None = None) -> Real:
    """Weighted mean of each segment; 0 for one without weight. (segments,) float64."""
    if weight is None:
        weight = np.ones_like(value)
    total = segment_sum(weight, segment, segments)
    return segment_sum(weight * value, segment, segments) / np.where(total > 0, total, 1.0)


def segment_std(
    value: Real, segment: Index, segments: int, weight: Real | None = None, ddof: int = 1
) -> Real:
    """Standard deviation of each segment with n - ddof in the denominator.

        σ_g = sqrt( Σ w (x − μ_g)² / (Σ w − ddof) )

    Weights are counts: a value of weight 2 stands for two values.

    Returns:
        (segments,) float64; 0 where Σ w ≤ ddof.
    """
    if weight is None:
        weight = np.ones_like(value)
    centred = value - segment_mean(value, segment, segments, weight)[segment]
    count = segment_sum(weight, segment, segments) - ddof
    square = segment_sum(weight * centred**2, segment, segments)
    return np.sqrt(np.where(count > 0, square, 0.0) / np.where(count > 0, count, 1.0))


def segment_level(
    value: Real, segment: Index, segments: int, weight: Real | None = None
) -> tuple[Real, Truth]:
    """Weighted mean of each segment, and whether its values are equal up to rounding.

    Where they are, the mean is one of them, which a sum over a count may miss by its last bit.

    Args:
        value: (S,) float64.
        segment: (S,) int64.
        segments: Number of segments.
        weight: How often each value counts; once by default. (S,)

    Returns:
        (segments,) float64, 0 for a segment without weight; (segments,) bool, true for it.
    """
    counted = np.ones(len(value), dtype=bool) if weight is None else weight > 0
    equal = segment_constant(value, segment, segments, counted)
    level = np.zeros(segments)
    level[segment[counted]] = value[counted]
    return np.where(equal, level, segment_mean(value, segment, segments, weight)), equal


def segment_constant(
    value: Real, segment: Index, segments: int, counted: Truth | None = None
) -> Truth:
    """Mask of segments whose values are all equal up to rounding.

        max − min ≤ 1e-12 · max |x|

    The test before every division by a deviation: without it, rounding noise divided by a tiny eps
    becomes a sizeable advantage.

    Args:
        value: (S,) float64.
        segment: (S,) int64.
        segments: Number of segments.
        counted: Which values count; all by default. (S,) bool

    Returns:
        (segments,) bool; true for a segment without values.
    """
    low, high = segment_extremes(value, segment, segments, counted)
    constant: Truth = high - low <= EQUAL * np.maximum(np.abs(low), np.abs(high))
    return constant


def segment_extremes(
    value: Real, segment: Index, segments: int, counted: Truth | None = None
) -> tuple[Real, Real]:
    """Smallest and largest value of each segment; 0 for one without values. (segments,) float64.

    Args:
        value: (S,) float64.
        segment: (S,) int64.
        segments: Number of segments.
        counted: Which values count; all by default. (S,) bool
    """
    if counted is not None:
        value, segment = value[counted], segment[counted]
    low = np.full(segments, np.inf)
    high = np.full(segments, -np.inf)
    np.minimum.at(low, segment, value)
    np.maximum.at(high, segment, value)
    empty = np.isinf(low)
    low[empty] = high[empty] = 0.0
    return low, high
