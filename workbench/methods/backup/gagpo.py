"""GAGPO: generalised advantage estimation on the mean returns of equal states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import (
    difference,
    discounted_returns,
    segment_constant,
    segment_mean,
    segment_std,
)
from workbench.log.steps import Real, Steps
from workbench.methods.base import method
from workbench.methods.parts.fields import GroupMethod, StateKeyed
from workbench.methods.parts.transitions import gap_term, transitions
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "gagpo",
    summary="GAE(γ, λ) on V̂(s) = mean G of the steps in the state, standardised in the group",
    source="arXiv 2605.13217",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class GAGPO(StateKeyed, GroupMethod):
    """Temporal differences of a value that the group itself gives.

        V̂(s) = mean of G over the group's steps in s        V̂(end) = 0
        δ_t  = r_t + γ V̂(s_{t+1}) − V̂(s_t)
        A_t  = δ_t + γλ A_{t+1},        then (A − mean_g A) / (std_g A + eps)

    Degenerate cases: a group whose raw advantages are all equal gives exactly 0; so does one in
    which no state repeats, for every V̂ is then the return itself.

    **Conventions**: V̂ over every visit, the step's own included; standardised over the group's
    steps with ddof 1, eps 1e-6; no episode term, which the paper found to hurt; the invalid
    penalty is taken off the step's reward.

    **Differs from** the paper in nothing known; it has no code, and what λ it uses could not be
    read: .95 is ours.

    Source: arXiv 2605.13217.
    """

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    trace: float = parameter(0.95, "λ, decay of later differences", minimum=0.0, maximum=1.0)
    norm: Literal["std", "none"] = parameter(
        "std", "whether advantages are standardised over the steps of the group"
    )
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The differences and, where advantages are standardised, their centring."""
        state = space.state_key(self.state_key)
        reward = steps.reward - self.invalid_penalty * steps.invalid_action
        graph = transitions(steps, state, state, reward=reward)
        returns = discounted_returns(reward, steps.step_index, self.gamma)
        value = np.where(graph.visits[state] > 0, graph.state_mean(returns)[state], returns)
        following = np.append(value[1:], 0.0) * (graph.next_state >= 0)
        gap_to_next = difference(reward + self.gamma * following, value)
        raw = discounted_returns(gap_to_next, steps.step_index, self.gamma * self.trace)
        mean, factor = self._standardised(steps, graph.weight, raw)
        # The baseline is V̂ as the mean of the returns in the state; the score is what GAE makes
        # of the return.
        gap = gap_term(
            returns,
            state,
            graph.weight,
            factor=factor,
            facts=lambda step: {
                "difference": float(gap_to_next[step]),
                "next_value": float(following[step]),
            },
        )
        step_term = replace(gap, score=raw + gap.baseline)
        if self.norm == "none":
            return {"step": step_term}

        def peers(step: int) -> Peers:
            members = np.flatnonzero((steps.group == steps.group[step]) & (graph.weight > 0))
            share = np.ones(len(members)) / max(len(members), 1)
            return Peers(step=members, weight=share, value=raw[members])

        centre = Term(
            score=np.zeros_like(raw),
            baseline=mean[steps.group],
            factor=factor,
            peers=peers,
            facts=lambda step: {"group_mean": float(mean[steps.group[step]])},
        )
        return {"step": step_term, "centre": centre}

    def _standardised(self, steps: Steps, weight: Real, raw: Real) -> tuple[Real, Real]:
        """Mean of each group (G,), and the factor of each step (S,)."""
        if self.norm == "none":
            return np.zeros(steps.groups), np.ones(len(steps))
        group, groups = steps.group, steps.groups
        constant = segment_constant(raw, group, groups, weight > 0)
        deviation = segment_std(raw, group, groups, weight) + self.eps
        factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
        return segment_mean(raw, group, groups, weight), factor[group]
