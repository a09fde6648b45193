"""Gain of a prediction over the plain mean, with its standard error over groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workbench.log.steps import Real, Truth

NORMAL = 1.96
"""Standard errors on each side of a 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Share of the plain mean's squared error that a baseline saves; below 0 it predicts worse.

    Args:
        share: 1 − error / error of the plain mean.
        error: Its standard error over groups; None for fewer than two groups.
    """

    share: float
    error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the share; None for fewer than two groups."""
        if self.error is None:
            return None
        return self.share - NORMAL * self.error, self.share + NORMAL * self.error

    @property
    def beyond_noise(self) -> int:
        """+1 or −1 where the whole interval is above or below 0, else 0."""
        low, high = self.interval or (-math.inf, math.inf)
        return int(low > 0.0) - int(high < 0.0)


def as_good(sums: Real) -> Truth | None:
    """Whose excess over the best is within a standard error; sums are (K, G'). (K,) bool."""
    groups = sums.shape[1]
    if groups < 2:
        return None
    excess = sums - sums[np.argmin(sums.sum(axis=1))]
    standard_error = math.sqrt(groups) * excess.std(axis=1, ddof=1)
    return np.asarray(excess.sum(axis=1) <= standard_error)


def gain_error(saved: Real, plain: float) -> Real | None:
    """Standard error of Σ saved / plain; squared errors saved in each group are (K, G')."""
    groups = saved.shape[1]
    if groups < 2 or plain <= 0.0:
        return None
    return np.asarray(math.sqrt(groups) * saved.std(axis=1, ddof=1) / plain)
