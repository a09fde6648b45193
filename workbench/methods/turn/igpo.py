"""IGPO: rewards of single turns, standardised in the group and summed to the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term, no_peers
from workbench.log.segments import (
    backward_sums,
    discounted_returns,
    segment_constant,
    segment_first,
    segment_mean,
    segment_std,
    segment_sum,
)
from workbench.log.steps import Real, Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space


@method(
    "igpo",
    summary="Σ γ^k · (x − mean of x over the group's turns) / std, x reward + turn reward",
    source="arXiv 2510.14967",
    traits=("counts-own-turns",),
    dialects=(
        Dialect(
            name="reference",
            source="GuoqingWang1/IGPO verl/trainer/ppo/core_algos.py",
            fields={"baseline": "position", "norm": "mean", "group_of_one": "raw"},
            traits=("position-baseline",),
            golden={
                "igpo_shipped": Golden(),
                "igpo_discounted_g05_std": Golden(
                    params={"gamma": 0.5, "baseline": "start", "norm": "std"}
                ),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class IGPO(Method):
    """Information-gain policy optimisation: a reward at every turn.

        x_t = r_t + turn_reward_t
        A_t = Σ_{k≥t} γ^(k−t) (x_k − μ) / (σ + eps)        μ, σ over all turns of the group

    turn_reward is what a turn gained of the answer, such as π(gold | after) − π(gold | before); it
    is 0 where the log has none. `baseline="position"` compares the return at a turn with the mean
    return of the group's rollouts at the same turn, "start" with their mean return at the first.

    Each of the turns that a rollout has left takes μ off its sum. Where the policy decides when to
    stop, that is a price on going on (or a bonus, where μ < 0) that no reward asked for; "position"
    and "start" take off what the rollout's own length does not change.

    Degenerate cases: equal rewards at all turns of a group give exactly 0; without turn rewards
    what is left is the outcome, spread by the discount.

    **Conventions**: over turns, self included; ddof 1; eps 1e-6; γ 1. Group of one 0.

    **Differs from** the released code, which ignores its settings of γ and deviation, and at a
    position counts rollouts that have ended as 0 (dialect; its unused function is `start`). A
    later state of it is like the default, but takes turns without reward for no turns.

    Source: Wang et al., arXiv 2510.14967; on stopping, verl-project/verl issue 7244.
    """

    gamma: float = parameter(1.0, "γ, discount per turn", minimum=0.0, maximum=1.0)
    baseline: Literal["turns", "position", "start"] = parameter(
        "turns",
        "what is subtracted: the mean reward of a turn, or the mean return at the same turn, or at "
        "the first",
    )
    norm: Literal["std", "mean"] = parameter("std", "whether to divide by the deviation")
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)
    group_of_one: Literal["zero", "raw"] = parameter(
        "zero", "what the only rollout of a group gets: 0, or its returns less the baseline"
    )

    def turn_baseline(self) -> Literal["position-baseline", "counts-own-turns"] | None:
        """By what is subtracted."""
        if self.baseline == "start":
            return None
        return "position-baseline" if self.baseline == "position" else "counts-own-turns"

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The turn's return against the baseline."""
        reward = steps.reward
        if "turn_reward" in steps.log.columns:
            reward = reward + steps.numbers("turn_reward", missing=0.0)
        returns = discounted_returns(reward, steps.step_index, self.gamma)
        counted = steps.counted.astype(np.float64)
        if self.baseline == "position":
            return {"turn": self._position(steps, returns)}
        if self.baseline == "start":
            first = counted * (steps.step_index == 0)
            return {"turn": self._against(steps, returns, returns, first, np.ones(len(steps)))}
        left = backward_sums(np.ones(len(steps)), self.gamma, steps.step_index)
        return {"turn": self._against(steps, returns, reward, counted, left)}

    def _against(self, steps: Steps, returns: Real, value: Real, weight: Real, times: Real) -> Term:
        """The return against the group's mean of a value, which counts `times` at each turn."""
        mean, scale, facts = self._statistics(steps, value, weight)

        def found(step: int) -> dict[str, Any]:
            return facts(step) | {"times": float(times[step])}

        def peers(step: int) -> Peers:
            members = np.flatnonzero((steps.group == steps.group[step]) & (weight > 0))
            share = np.full(len(members), 1.0 / max(len(members), 1))
            return Peers(step=members, weight=share, value=value[members] * times[step])

        return Term(
            score=returns,
            baseline=mean[steps.group] * times,
            factor=scale[steps.group],
            peers=peers,
            facts=found,
        )

    def _position(self, steps: Steps, returns: Real) -> Term:
        """The mean at a turn is over all rollouts of the group, those that have ended with 0."""
        key = labels(steps, steps.step_index)
        keys, counted = int(key.max()) + 1, steps.counted.astype(np.float64)
        group = np.zeros(keys, dtype=np.int64)
        group[key] = steps.group
        first = segment_first(steps.trajectory, steps.counted)
        rollouts = segment_sum(first, steps.group, steps.groups)[group]
        running = segment_sum(counted, key, keys)
        size = np.maximum(rollouts, 1.0)
        mean = segment_sum(counted * returns, key, keys) / size
        square = segment_sum(counted * (returns - mean[key]) ** 2, key, keys)
        deviation = np.sqrt((square + (rollouts - running) * mean**2) / np.maximum(size - 1.0, 1.0))
        constant = segment_constant(returns, key, keys, counted > 0) & (running == rollouts)
        scale = np.ones(keys)
        if self.norm == "std":
            scale = 1.0 / np.where(constant, 1.0, deviation + self.eps)
        scale = np.where(constant | (rollouts == 0), 0.0, scale)

        def facts(step: int) -> dict[str, Any]:
            own = key[step]
            return {"rollouts": float(rollouts[own]), "rollouts_at_turn": float(running[own])}

        return Term(
            score=returns,
            baseline=mean[key],
            factor=scale[key],
            peers=no_peers,
            facts=facts,
        )

    def _statistics(
        self, steps: Steps, value: Real, weight: Real
    ) -> tuple[Real, Real, Callable[[int], dict[str, Any]]]:
        """Mean of each group, one over its deviation if asked, and both as facts. (G,), (G,)."""
        group, groups = steps.group, steps.groups
        mean = segment_mean(value, group, groups, weight)
        constant = segment_constant(value, group, groups, weight > 0)
        deviation = np.where(constant, 0.0, segment_std(value, group, groups, weight))
        scale = np.ones(groups)
        if self.norm == "std":
            scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation + self.eps))
        first = segment_first(steps.trajectory, steps.counted)
        rollouts, count = segment_sum(first, group, groups), segment_sum(weight, group, groups)
        raw = 1.0 / (1.0 + self.eps) if self.norm == "std" else 1.0
        scale = np.where(rollouts > 1, scale, 0.0 if self.group_of_one == "zero" else raw)

        def facts(step: int) -> dict[str, Any]:
            own = group[step]
            return {
                "group_mean": float(mean[own]),
                "group_std": float(deviation[own]),
                "group_size": float(count[own]),
                "all_equal": bool(constant[own]),
            }

        return mean, scale, facts
