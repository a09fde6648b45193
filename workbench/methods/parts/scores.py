"""Scores of steps, the population they are compared with, and its statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Peers, no_peers
from workbench.log.segments import EQUAL, segment_std, segment_sum
from workbench.log.steps import Index, Real, Steps, Truth


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Population of each step's baseline: its whole group, or the others in it. Each (S,).

    Args:
        size: How many values there are.
        mean: Their mean; exactly one of them where all are equal.
        std: Their deviation; exactly 0 where all are equal.
        constant: Whether all are equal.
        alone: Whether there is nothing to compare with.
    """

    size: Real
    mean: Real
    std: Real
    constant: Truth
    alone: Truth


@dataclass(frozen=True, kw_only=True)
class EpisodeScores:
    """Scores of steps and the population of each group that they are compared with.

    Args:
        score: Episode reward of each step's trajectory, less the step's penalty. (S,) float64
        value, group, weight: The population: P values, their groups, how often each counts; a
            value may count as often as it has tokens. (P,)
        member: Trajectory (or step) of each population value. (P,) int64
        of_trajectories: Whether `member` counts trajectories rather than steps.
        own, own_index, own_weight: The value that stands for each step, the population value that
            it is taken out with, and how often that counts. (S,), (S,), (S,)
        size, mean: Number of values and mean of each group. (G,), (G,)
        constant: Whether a group's values are all equal. (G,) bool
        lone: Whether a group has at most one value, or none that counts. (G,) bool
    """

    score: Real
    value: Real
    group: Index
    weight: Real
    member: Index
    of_trajectories: bool
    own: Real
    own_index: Index
    own_weight: Real
    size: Real
    mean: Real
    constant: Truth
    lone: Truth

    def of_group(self, steps: Steps, ddof: int) -> Statistics:
        """Each step's group, itself included."""
        here, groups = steps.group, len(self.mean)
        deviation = segment_std(self.value, self.group, groups, self.weight, ddof)
        return Statistics(
            size=self.size[here],
            mean=self.mean[here],
            std=np.where(self.constant, 0.0, deviation)[here],
            constant=self.constant[here],
            alone=self.lone[here],
        )

    def of_others(self, steps: Steps, ddof: int) -> Statistics:
        """Each step's group without the value that stands for the step.

        With d the value's distance from the mean of n values and S the sum of squared distances:
        the others' mean lies d/(n − 1) below, their squares sum to S − d² − d²/(n − 1).
        """
        here, groups = steps.group, len(self.mean)
        count = segment_sum(self.weight, self.group, groups)[here]
        rest = count - self.own_weight
        some = np.maximum(rest, 1.0)
        total = (self.mean[here] * count - self.own_weight * self.own) / some
        distance = self.own_weight * (self.own - self.mean[here])
        spread = self.weight * (self.value - self.mean[self.group]) ** 2
        squares = segment_sum(spread, self.group, groups)[here] - distance**2 * (1.0 + 1.0 / some)
        variance = np.maximum(squares, 0.0) / np.maximum(rest - ddof, 1.0)
        alone = rest <= 0
        low, high = self.value[self.lowest_other(steps)], self.value[self.highest_other(steps)]
        constant = (high - low <= EQUAL * np.maximum(np.abs(low), np.abs(high))) | alone
        return Statistics(
            size=rest,
            mean=np.where(alone, 0.0, np.where(constant & self._stands_for_itself, low, total)),
            std=np.where(constant | (rest <= ddof), 0.0, np.sqrt(variance)),
            constant=constant,
            alone=alone,
        )

    @property
    def _stands_for_itself(self) -> Truth:
        """Mask of steps whose removed value is the one in the population. (S,)."""
        itself: Truth = self.own == self.value[self.own_index]
        return itself

    def highest_other(self, steps: Steps) -> Index:
        """Population value that is the greatest of a step's group without its own. (S,) int64.

        Where there is no other it is the step's own.
        """
        return self._greatest_other(steps, self.value)

    def lowest_other(self, steps: Steps) -> Index:
        """Population value that is the least of a step's group without its own. (S,) int64."""
        return self._greatest_other(steps, -self.value)

    def _greatest_other(self, steps: Steps, value: Real) -> Index:
        counted = np.flatnonzero(self.weight > 0)
        order = counted[np.lexsort((value[counted], self.group[counted]))]
        end = np.searchsorted(self.group[order], np.arange(len(self.mean)), side="right")
        size = np.diff(end, prepend=0)
        first = np.full(len(size), -1)
        first[size > 0] = order[end[size > 0] - 1]
        second = np.full(len(size), -1)
        second[size > 1] = order[end[size > 1] - 2]
        second = np.where((first >= 0) & (self.weight[first] > 1), first, second)
        here = steps.group
        is_first = (first[here] == self.own_index) & (self.own_weight > 0)
        found = np.where(is_first, second[here], first[here])
        return np.where(found < 0, self.own_index, found)

    def peers(self, steps: Steps, step: int, *, leave_out: bool = False) -> Peers:
        """The population of a step's group, each member with its share of the mean."""
        weight = np.where(self.group == steps.group[step], self.weight, 0.0)
        if leave_out:
            weight[self.own_index[step]] -= self.own_weight[step]
        kept = weight > 0
        return self.members(np.flatnonzero(kept), weight[kept])

    def members(self, index: Index, weight: Real) -> Peers:
        """Some values of the population, weighted in proportion to `weight`."""
        name = "trajectory" if self.of_trajectories else "step"
        share = weight / weight.sum() if len(weight) else weight
        return Peers(**{name: self.member[index]}, weight=share, value=self.value[index])

    def other(self, step: int, index: Index) -> Peers:
        """The one population value that `index` names for a step; none where it is its own."""
        at = index[step : step + 1]
        itself = self.own_weight[step] > 0 and at[0] == self.own_index[step]
        return no_peers(step) if itself else self.members(at, np.ones(1))
