"""What every outcome method shares: the statistics of a group's episode rewards."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.estimators.base import Estimator
from workbench.estimators.credit import Peers, Term
from workbench.estimators.inputs import response_tokens
from workbench.parameters import parameter
from workbench.returns import (
    EQUAL,
    segment_constant,
    segment_level,
    segment_mean,
    segment_std,
    segment_sum,
)
from workbench.steps import Index, Real, Steps, Truth

Population = Literal["trajectories", "steps", "first_row"]
Norm = Literal["std", "mean", "batch"]


@dataclass(frozen=True, kw_only=True)
class OutcomeMethod(Estimator, ABC):
    """A method that compares a trajectory's reward with those of others.

    The fields are conventions on which code bases differ; the defaults are the right ones.
    """

    population: Population = parameter(
        "trajectories",
        "what statistics run over: trajectories; step rows; or each trajectory's first row of the "
        "source with that row's penalty",
    )
    count_copies: bool = parameter(False, "whether duplicated rows count as often as they occur")
    invalid_penalty: float = parameter(
        0.0, "taken off the score and the return of a step with an invalid action", minimum=0.0
    )


@dataclass(frozen=True, kw_only=True)
class GroupMethod(OutcomeMethod, ABC):
    """An outcome method whose others are the trajectories of the same group."""

    group_of_one: Literal["zero", "raw"] = parameter(
        "zero", "what the only member of a group gets: 0, or its reward"
    )


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What each step is compared with: its whole group, or the others in it. Each (S,).

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
class ScaledMethod(GroupMethod, ABC):
    """A group method that computes in units of one success."""

    reward_scale: float | None = parameter(
        None,
        "what one success is worth; null takes the log's column, or 1",
        minimum=0.0,
        minimum_exclusive=True,
    )

    def worth(self, steps: Steps) -> Real:
        """What one success is worth in each trajectory. (N,) float64."""
        if self.reward_scale is not None:
            return np.full(steps.trajectories, self.reward_scale)
        return steps.of_trajectory("reward_scale").fill_null(1.0).to_numpy()


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
        """Whether the value taken out for a step is the one that is in the population. (S,)."""
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


def no_peers(step: int) -> Peers:
    """What a term shows that is compared with nothing in the log."""
    return Peers(step=np.zeros(0, dtype=np.int64), weight=np.zeros(0), value=np.zeros(0))


def episode_scores(
    method: OutcomeMethod,
    steps: Steps,
    scale: Real | float = 1.0,
    *,
    reward: Real | None = None,
    weigh_by_tokens: bool = False,
) -> EpisodeScores:
    """The scores and populations that a method's conventions define.

    Rewards of a group that are equal up to rounding are made the same number first, so that no
    rounding noise is left to be divided by anything.

    Args:
        method: Whose conventions.
        steps: The steps.
        scale: Divides the rewards: one number, or one a trajectory. (N,)
        reward: Of each trajectory; the sum of its rewards where not given. (N,)
        weigh_by_tokens: Whether a value counts as often as it has response tokens.

    Raises:
        MissingInputError: Response tokens are wanted and not logged everywhere.
    """
    first = steps.trajectory_start[:-1]
    counted = steps.counted.astype(np.float64)
    reward = (steps.episode_reward if reward is None else reward) / scale
    reward = _levelled(reward, steps.trajectory_group, steps.groups, steps.counted[first])
    score = reward[steps.trajectory] - method.invalid_penalty * steps.invalid_action
    group, weight, own, own_index = steps.trajectory_group, counted[first], score, steps.trajectory
    if method.population == "steps":
        own_index = member = np.arange(len(steps))
        value, group = score, steps.group
        weight = counted * steps.copies if method.count_copies else counted
    elif method.population == "first_row":
        member = _first_source_row(steps)
        value = score[member]
    else:
        member = np.arange(steps.trajectories)
        value, own = reward, reward[steps.trajectory]
    size = segment_sum(weight, group, steps.groups)
    if weigh_by_tokens:
        tokens = response_tokens(steps)
        of_trajectory = np.add.reduceat(tokens, first)
        weight = weight * (tokens if method.population == "steps" else of_trajectory)
    constant = segment_constant(value, group, steps.groups, weight > 0)
    mean = segment_mean(value, group, steps.groups, weight)
    # The mean of n equal numbers may be off in the last bit; the value itself is not.
    level = segment_level(value, group, steps.groups, weight > 0)
    return EpisodeScores(
        score=score,
        value=value,
        group=group,
        weight=weight,
        member=member,
        of_trajectories=method.population == "trajectories",
        own=own,
        own_index=own_index,
        own_weight=counted,
        size=size,
        mean=np.where(constant, level, mean),
        constant=constant,
        lone=(size <= 1) | (segment_sum(weight, group, steps.groups) == 0),
    )


def _levelled(value: Real, group: Index, groups: int, counted: Truth) -> Real:
    equal = segment_constant(value, group, groups, counted)
    level = segment_level(value, group, groups, counted)
    return np.where(equal[group] & counted, level[group], value)


def _first_source_row(steps: Steps) -> Index:
    """The step of each trajectory that came first in the source. (N,) int64."""
    order = np.lexsort((steps.column("source_row").to_numpy(), steps.trajectory))
    return order[steps.trajectory_start[:-1]].astype(np.int64)


def episode_term(
    method: GroupMethod,
    steps: Steps,
    scores: EpisodeScores,
    *,
    norm: Norm,
    eps: float = 0.0,
    ddof: int = 1,
    leave_one_out: bool = False,
    factor: Real | float = 1.0,
) -> Term:
    """Reward against the mean of the group or of the others in it, over a deviation if asked.

        w · (R_i − μ) / (σ + eps)        or        w · (R_i − μ)

    μ and σ are those of the group, or of the others with `leave_one_out`; with `norm="batch"` σ is
    that of all values of the log. Equal values of a group give exactly 0; others that are equal
    among themselves divide by nothing. A group of one gives 0, or its raw score over 1 + eps where
    the method's `group_of_one` is "raw".

    Args:
        method: Whose conventions.
        steps: The steps.
        scores: From `episode_scores`.
        norm: "std" and "batch" divide by a deviation.
        eps: Added to the deviation.
        ddof: Of the deviation.
        leave_one_out: Whether a step's own value is left out of its statistics.
        factor: w, one number or one a step. (S,)
    """
    statistics = scores.of_others(steps, ddof) if leave_one_out else scores.of_group(steps, ddof)
    equal = statistics.constant
    scale = np.ones_like(statistics.mean)
    if norm == "std":
        scale = 1.0 / np.where(equal, 1.0, statistics.std + eps)
    batch_std = _batch_std(scores, ddof) if norm == "batch" else None
    if batch_std is not None:
        scale = scale / (batch_std + eps or 1.0)
    if not leave_one_out and norm != "mean":
        scale[equal] = 0.0
    baseline, alone = statistics.mean.copy(), statistics.alone
    if method.group_of_one == "raw":
        baseline[alone] = 0.0
        scale[alone] = 1.0 / (1.0 + eps) if norm == "std" else 1.0
    else:
        scale[alone] = 0.0

    def facts(step: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "population": method.population,
            "all_equal": bool(scores.constant[steps.group[step]]),
        }
        if batch_std is not None:
            found["batch_std"] = batch_std
        if not leave_one_out:
            return found | {
                "group_mean": float(scores.mean[steps.group[step]]),
                "group_std": float(statistics.std[step]),
                "group_size": float(statistics.size[step]),
            }
        found["others"] = float(statistics.size[step])
        if norm == "std":
            found["others_std"] = float(statistics.std[step])
        if method.population == "first_row":
            # The originals leave out a step's own score where its first row's is in the sum.
            own = scores.value[scores.own_index[step]] - scores.own[step]
            found["own_first_row_share"] = float(own / max(statistics.size[step], 1.0))
        return found

    def peers(step: int) -> Peers:
        if method.group_of_one == "raw" and alone[step]:
            return no_peers(step)
        return scores.peers(steps, step, leave_out=leave_one_out)

    return Term(
        score=scores.score, baseline=baseline, factor=factor * scale, peers=peers, facts=facts
    )


def _batch_std(scores: EpisodeScores, ddof: int) -> float:
    """Deviation of all values of the log."""
    whole = np.zeros_like(scores.group)
    return float(segment_std(scores.value, whole, 1, scores.weight, ddof)[0])
