"""Power: how many groups of this kind it takes to tell two credits apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from workbench.analysis.audit.statistics import Reading
from workbench.log.remarks import TOLERANCE
from workbench.log.steps import Real

_TWO_SIDED, _POWER = 1.959964, 0.841621  # normal quantiles of 97.5 % and 80 %


def power(score: Mapping[str, Real], statistic: str) -> Iterator[tuple[str, Reading]]:
    """For each pair of credits the groups that a paired t-test needs.

        n = ((z_.975 + z_.8) · s / |m|)²        m, s mean and deviation of the difference per group

    in the normal approximation, which is a few groups too few where n is below ten.

    Args:
        score: Credit -> a score of each group, NaN where it has none. Each (G,) float64
        statistic: What is scored, in words.

    Yields:
        The first credit of a pair, and the reading; the other is in `where`.
    """
    for one, other in itertools.combinations(score, 2):
        difference = score[one] - score[other]
        difference = difference[np.isfinite(difference)]
        groups = len(difference)
        if groups < 2:
            note = f"{statistic}: fewer than two groups in which both have it"
            yield one, Reading(measure="groups_needed", value=None, where=other, note=note)
            continue
        mean, deviation = float(difference.mean()), float(difference.std(ddof=1))
        needed, note = None, f"{statistic}: no difference"
        if abs(mean) > TOLERANCE:
            note = f"{statistic}: mean difference {mean:+.3g}, deviation {deviation:.3g} a group"
            needed = float(max(2, math.ceil(((_TWO_SIDED + _POWER) * deviation / abs(mean)) ** 2)))
        yield (
            one,
            Reading(measure="groups_needed", value=needed, count=groups, where=other, note=note),
        )
