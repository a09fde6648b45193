"""VinePPO: the value gained between two states, each valued by replays that the log has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import segment_constant, segment_mean
from workbench.log.steps import Index, Real, Steps
from workbench.methods.base import Method, method
from workbench.methods.parts.inputs import replay_means
from workbench.states.space import Space


@method(
    "vineppo",
    summary="mean of the replays from behind the step − mean of those from before it",
    source="arXiv 2410.01679",
    chains=True,
    needs=("replay_returns",),
)
@dataclass(frozen=True, kw_only=True)
class VinePPO(Method):
    """Monte-Carlo values of the states along a rollout, without a critic.

        Q̂_t = mean episode reward of the replays that went on right after step t
        A_t = Q̂_t − Q̂_{t−1}            Q̂_{−1} the group's mean, Q̂ of the last step the rollout's R

    Steps without replays are one segment with the next step that has some, and get its advantage:
    replays at chosen places only are SPO's chain.

    Degenerate cases: a rollout without replays has one segment, R less the group's mean; equal
    returns give 0.

    **Conventions**: replays alone value a state, the rollout itself is not among them; the first
    state is valued by the group's rollouts, self included; no deviation; group of one: R is its own
    mean, so a rollout's advantages sum to 0.

    **Differs from** the paper, which also draws replays for the first state; rewards before the end
    are in the episode rewards, so no discount is between two steps.

    Source: Kazemnejad et al., arXiv 2410.01679; Guo et al., arXiv 2505.23564 (SPO-chain).
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The gain in value."""
        value, count = replay_means(steps)
        last = steps.trajectory_start[1:] - 1
        value[last], count[last] = steps.episode_reward, np.maximum(count[last], 1)
        own = _next_valued(count > 0)
        before = _previous_valued(count > 0, steps)
        start = self._start_value(steps)
        baseline = np.where(before < 0, start[steps.group], value[before])
        first = steps.trajectory_start[:-1]
        counted = steps.counted[first]

        def facts(step: int) -> dict[str, Any]:
            return {
                "valued_at_step": int(steps.step_index[own[step]]),
                "replays": int(count[own[step]]),
                "replays_before": int(count[before[step]]) if before[step] >= 0 else 0,
            }

        def peers(step: int) -> Peers:
            if before[step] >= 0:
                return Peers(step=before[[step]], weight=np.ones(1), value=value[before[[step]]])
            here = steps.trajectory_group == steps.group[step]
            members = np.flatnonzero(here & (counted | ~counted[here].any()))
            share = np.full(len(members), 1.0 / len(members))
            return Peers(trajectory=members, weight=share, value=steps.episode_reward[members])

        return {
            "step": Term(
                score=value[own],
                baseline=baseline,
                factor=np.ones(len(steps)),
                peers=peers,
                facts=facts,
            )
        }

    def _start_value(self, steps: Steps) -> Real:
        """Mean episode reward of each group. (G,) float64."""
        group, groups = steps.trajectory_group, steps.groups
        counted = steps.counted[steps.trajectory_start[:-1]].astype(np.float64)
        some = segment_mean(counted, group, groups) > 0
        weight = np.where(some[group], counted, 1.0)
        mean = segment_mean(steps.episode_reward, group, groups, weight)
        constant = segment_constant(steps.episode_reward, group, groups, weight > 0)
        first = np.zeros(groups)
        first[group[weight > 0]] = steps.episode_reward[weight > 0]
        return np.where(constant, first, mean)


def _next_valued(valued: np.ndarray) -> Index:
    """The nearest step at or after each that has a value; the last of each rollout does. (S,)."""
    at = np.where(valued, np.arange(len(valued)), len(valued))
    return np.minimum.accumulate(at[::-1])[::-1]


def _previous_valued(valued: np.ndarray, steps: Steps) -> Index:
    """The nearest step of the rollout before each that has a value; -1 without one. (S,)."""
    at = np.where(valued, np.arange(len(valued)), -1)
    before = np.concatenate([[-1], np.maximum.accumulate(at)[:-1]])
    return np.where(before < steps.trajectory_start[steps.trajectory], -1, before)
