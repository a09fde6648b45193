"""Episode term: a trajectory's reward against those of its group."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term, no_peers
from workbench.log.pooling import batch_moments
from workbench.log.segments import segment_level, segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.parts.fields import GroupMethod, OutcomeMethod
from workbench.methods.parts.inputs import response_tokens
from workbench.methods.parts.scores import EpisodeScores

Norm = Literal["std", "mean", "batch"]


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
        scale: Divides the rewards: one number, or one per trajectory. (N,)
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
    mean, constant = segment_level(value, group, steps.groups, weight)
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
        mean=mean,
        constant=constant,
        lone=(size <= 1) | (segment_sum(weight, group, steps.groups) == 0),
    )


def _levelled(value: Real, group: Index, groups: int, counted: Truth) -> Real:
    level, equal = segment_level(value, group, groups, counted.astype(np.float64))
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
    that of all values of the batch. Equal values of a group give exactly 0; others that are equal
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
        factor: w, one number or one per step. (S,)
    """
    statistics = scores.of_others(steps, ddof) if leave_one_out else scores.of_group(steps, ddof)
    equal = statistics.constant
    scale = np.ones_like(statistics.mean)
    if norm == "std":
        scale = 1.0 / np.where(equal, 1.0, statistics.std + eps)
    batch_std = _batch_std(steps, scores, ddof) if norm == "batch" else None
    if batch_std is not None:
        divisor = batch_std + eps
        scale = scale / np.where(divisor == 0.0, 1.0, divisor)[steps.batch]
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
            batch = int(steps.batch[step])
            found |= {"batch": steps.batch_name(batch), "batch_std": float(batch_std[batch])}
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


def _batch_std(steps: Steps, scores: EpisodeScores, ddof: int) -> Real:
    """Deviation of all values of each batch. (B,) float64."""
    batch = steps.group_batch[scores.group]
    return batch_moments(steps, scores.value, batch, scores.weight).deviation(ddof)
