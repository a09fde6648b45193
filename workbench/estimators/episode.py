"""What every group method shares: the statistics of a group's episode rewards."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.estimators.base import Estimator
from workbench.estimators.credit import Peers, Term, no_peers
from workbench.parameters import parameter
from workbench.returns import segment_constant, segment_mean, segment_std, segment_sum
from workbench.steps import Index, Real, Steps, Truth

Population = Literal["trajectories", "steps", "first_row"]


@dataclass(frozen=True, kw_only=True)
class GroupMethod(Estimator, ABC):
    """A method that compares a trajectory's reward with those of its group.

    The fields are conventions on which code bases differ; the defaults are the right ones.
    """

    population: Population = parameter(
        "trajectories",
        "what group statistics run over: trajectories; step rows; or each trajectory's first row "
        "of the source with that row's penalty",
    )
    group_of_one: Literal["zero", "raw"] = parameter(
        "zero", "what the only member of a group gets: 0, or its reward"
    )
    count_copies: bool = parameter(False, "whether duplicated rows count as often as they occur")
    invalid_penalty: float = parameter(
        0.0, "taken off the score and the return of a step with an invalid action", minimum=0.0
    )


@dataclass(frozen=True, kw_only=True)
class EpisodeScores:
    """Scores of steps and the population of each group that they are compared with.

    Args:
        score: Episode reward of each step's trajectory, less the step's penalty. (S,) float64
        value, group, weight: The population: P values, their groups, how often each counts. (P,)
        own: The population value that stands for each step, and its weight there. (S,), (S,)
        own_weight: See `own`.
        member: Trajectory (or step) of each population value. (P,) int64
        of_trajectories: Whether `member` counts trajectories rather than steps.
        count, mean: Weight and mean of each group. (G,), (G,)
        constant: Whether a group's values are all equal. (G,) bool
        lone: Whether a group has at most one value. (G,) bool
    """

    score: Real
    value: Real
    group: Index
    weight: Real
    own: Real
    own_weight: Real
    member: Index
    of_trajectories: bool
    count: Real
    mean: Real
    constant: Truth
    lone: Truth

    def std(self, ddof: int) -> Real:
        """Standard deviation of each group; exactly 0 where its values are equal. (G,) float64."""
        deviation = segment_std(self.value, self.group, len(self.mean), self.weight, ddof)
        return np.where(self.constant, 0.0, deviation)

    def peers(self, steps: Steps, step: int, *, leave_out: bool = False) -> Peers:
        """The population of a step's group, each member with its share of the mean."""
        here = (self.group == steps.group[step]) & (self.weight > 0)
        member, weight = self.member[here], self.weight[here].copy()
        if leave_out:
            own = steps.trajectory[step] if self.of_trajectories else step
            if not self.of_trajectories and own not in member:
                own = member[steps.trajectory[member] == steps.trajectory[step]]
            weight[member == own] -= 1.0
        kept = weight > 0
        share = weight[kept] / max(weight[kept].sum(), 1.0)
        name = "trajectory" if self.of_trajectories else "step"
        return Peers(**{name: member[kept]}, weight=share, value=self.value[here][kept])


def episode_scores(method: GroupMethod, steps: Steps, scale: Real | float = 1.0) -> EpisodeScores:
    """The scores and populations that a method's conventions define.

    Args:
        method: Whose conventions.
        steps: The steps.
        scale: Divides the rewards: one number, or one a trajectory. (N,)
    """
    reward = steps.episode_reward / scale
    score = reward[steps.trajectory] - method.invalid_penalty * steps.invalid_action
    first = steps.trajectory_start[:-1]
    counted = steps.counted.astype(np.float64)
    if method.population == "steps":
        weight = counted * steps.copies if method.count_copies else counted
        value, member, own = score, np.arange(len(steps)), score
        own_weight = counted
    else:
        member = np.arange(steps.trajectories)
        value, weight = reward, counted[first]
        own, own_weight = reward[steps.trajectory], counted
        if method.population == "first_row":
            member = _first_source_row(steps)
            value, own = score[member], score
    return _with_statistics(
        score=score,
        value=value,
        group=steps.trajectory_group if len(value) == steps.trajectories else steps.group,
        weight=weight,
        own=own,
        own_weight=own_weight,
        member=member,
        of_trajectories=method.population == "trajectories",
        groups=steps.groups,
    )


def _with_statistics(*, groups: int, **known: Any) -> EpisodeScores:
    value, group, weight = known["value"], known["group"], known["weight"]
    count = segment_sum(weight, group, groups)
    constant = segment_constant(value, group, groups, weight > 0)
    mean = segment_mean(value, group, groups, weight)
    # The mean of n equal numbers may be off in the last bit; the value itself is not.
    some = np.zeros(groups)
    some[group[weight > 0]] = value[weight > 0]
    return EpisodeScores(
        **known,
        count=count,
        mean=np.where(constant, some, mean),
        constant=constant,
        lone=count <= 1,
    )


def _first_source_row(steps: Steps) -> Index:
    """The step of each trajectory that came first in the source. (N,) int64."""
    order = np.lexsort((steps.column("source_row").to_numpy(), steps.trajectory))
    return order[steps.trajectory_start[:-1]].astype(np.int64)


def episode_term(
    method: GroupMethod,
    steps: Steps,
    scores: EpisodeScores,
    *,
    norm: Literal["std", "mean"],
    eps: float,
    ddof: int = 1,
    factor: Real | float = 1.0,
) -> Term:
    """Reward against the group's mean, over its deviation if asked.

        w · (R_i − μ_g) / (σ_g + eps)        or        w · (R_i − μ_g)

    Equal values of a group give exactly 0. A group of one gives 0, or its raw score over 1 + eps
    where the method's `group_of_one` is "raw".

    Args:
        method: Whose conventions.
        steps: The steps.
        scores: From `episode_scores`.
        norm: "std" divides by the deviation.
        eps: Added to the deviation.
        ddof: Of the deviation.
        factor: w, one number or one a step. (S,)
    """
    group = steps.group
    deviation = scores.std(ddof)
    baseline, scale = scores.mean, np.ones_like(deviation)
    if norm == "std":
        divisor = np.where(scores.constant, 1.0, deviation + eps)
        scale = np.where(scores.constant, 0.0, 1.0 / divisor)
    if method.group_of_one == "raw":
        raw = 1.0 / (1.0 + eps) if norm == "std" else 1.0
        baseline, scale = np.where(scores.lone, 0.0, baseline), np.where(scores.lone, raw, scale)
    else:
        scale = np.where(scores.lone, 0.0, scale)

    def facts(step: int) -> dict[str, Any]:
        own = group[step]
        return {
            "group_mean": float(scores.mean[own]),
            "group_std": float(deviation[own]),
            "group_size": float(scores.count[own]),
            "population": method.population,
            "all_equal": bool(scores.constant[own]),
        }

    def peers(step: int) -> Peers:
        if method.group_of_one == "raw" and scores.lone[group[step]]:
            return no_peers(step)
        return scores.peers(steps, step)

    return Term(
        score=scores.score,
        baseline=baseline[group],
        factor=factor * scale[group],
        peers=peers,
        facts=facts,
    )
