"""Measures of a credit against the truth: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau

from workbench.analysis.audit.statistics import rank_correlation
from workbench.analysis.compare import TIE_DECIMALS
from workbench.log.remarks import TOLERANCE
from workbench.log.steps import Index, Real, Truth

PIVOTAL_SHARE = 0.1
"""The steps of a group whose true advantage is largest in size, ties at the edge included."""


def spearman(credit: Real, truth: Real, group: Index, groups: int) -> Real:
    """Rank correlation inside each group, ties averaged.

    Args:
        credit: (S,) float64.
        truth: (S,) float64.
        group: (S,) int64.
        groups: Number of groups.

    Returns:
        In [-1, 1]; 0 where one side is constant, which orders nothing. (groups,) float64.
    """
    return np.nan_to_num(rank_correlation(credit, truth, group, groups), nan=0.0)


def kendall(credit: Real, truth: Real) -> float:
    """Kendall's τ_b of the steps of one group; 0 for a constant credit, which orders nothing.

    Args:
        credit: (S,) float64.
        truth: Not constant. (S,) float64.
    """
    rounded = credit.round(TIE_DECIMALS)
    if np.ptp(rounded) == 0.0:
        return 0.0
    return float(kendalltau(rounded, truth.round(TIE_DECIMALS)).statistic)


def pivotal(truth: Real) -> Truth:
    """The steps that decide: those of largest |A|, a share `PIVOTAL_SHARE`, at least one.

    Args:
        truth: True advantages of a group. (S,) float64.

    Returns:
        (S,) bool; more than the share where equal sizes meet at the edge, none where all are 0.
    """
    size = np.abs(truth).round(TIE_DECIMALS)
    count = int(np.ceil(PIVOTAL_SHARE * len(size)))
    edge = np.partition(size, -count)[-count]
    return np.asarray((size >= edge) & (size > 0))


def sign_agreement(credit: Real, truth: Real, steps: Truth) -> float:
    """Share of some steps on which credit and truth have one sign; a credit of 0 counts ½.

    Args:
        credit: (S,) float64.
        truth: Not 0 on `steps`. (S,) float64.
        steps: Which steps count, at least one. (S,) bool.
    """
    size = np.abs(credit[steps])
    agree = np.sign(credit[steps]) == np.sign(truth[steps])
    return float(np.where(size <= TOLERANCE, 0.5, agree).mean())


def precision_at_k(credit: Real, steps: Truth) -> float:
    """Share of wanted steps among the k of largest |credit|, k being how many are wanted.

    Where equal sizes meet at the edge it is the mean over all ways to break the tie: a constant
    credit gets the share of wanted steps in all.

    Args:
        credit: (S,) float64.
        steps: The wanted steps, at least one. (S,) bool.
    """
    size = np.abs(credit).round(TIE_DECIMALS)
    count = int(steps.sum())
    edge = np.partition(size, -count)[-count]
    above, at = size > edge, size == edge
    places = count - above.sum()
    return float((steps[above].sum() + places * steps[at].mean()) / count)


def calibration_slope(credit: Real, truth: Real) -> float:
    """Slope of the regression of the true on the estimated advantage; 1 is the right size.

        Σ (Â - mean)(A - mean) / Σ (Â - mean)²

    Returns:
        NaN for a constant credit, which has no slope.
    """
    centred = credit - credit.mean()
    spread = centred @ centred
    if np.ptp(credit) <= TOLERANCE:
        return float("nan")
    return float(centred @ (truth - truth.mean()) / spread)


def cosine(left: Real, right: Real) -> float:
    """Cosine of two vectors; 0 where one of them is 0."""
    size = np.sqrt((left @ left) * (right @ right))
    return float(left @ right / size) if size > 0 else 0.0


def ordered_groups(truth: Real, start: Index) -> Truth:
    """Groups whose true advantages differ, so that there is something to rank.

    Args:
        truth: Sorted by group. (S,) float64
        start: First step of each group, and S. (G + 1,) int64

    Returns:
        (G,) bool.
    """
    high, low = (function.reduceat(truth, start[:-1]) for function in (np.maximum, np.minimum))
    return np.asarray(high - low > TOLERANCE)


def group_mean(
    measure: Callable[..., float], start: Index, *arrays: Real | Truth, among: Truth
) -> float:
    """Mean over groups of a measure that is taken group by group; NaN over none.

    Args:
        measure: Called with the arrays of one group.
        start: First step of each group, and S. (G + 1,) int64
        *arrays: Sorted by group. (S,) each
        among: Which groups count. (G,) bool
    """
    pieces = [slice(start[group], start[group + 1]) for group in np.flatnonzero(among)]
    return mean([measure(*(array[piece] for array in arrays)) for piece in pieces])


def mean(values: ArrayLike) -> float:
    """Mean of some numbers; NaN of none."""
    numbers = np.asarray(values, dtype=np.float64)
    return float(numbers.mean()) if numbers.size else float("nan")
