"""RTMC: first visits, smoothed towards the group where a state has few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import discounted_returns, segment_constant, segment_mean, segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.base import method
from workbench.methods.parts.fields import ActionKeyed, GroupMethod
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space


@method(
    "rtmc",
    summary="first-visit mean G of (s, a) − mean G of s, shrunk towards the group's mean",
    source="arXiv 2604.11037",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class RTMC(ActionKeyed, GroupMethod):
    """Monte-Carlo action values against a state value with a prior.

        Q̂(s, a) = mean of G over first visits of (s, a)
        V′(s)   = (Σ G over first visits of s + n₀ · ḡ) / (n_s + n₀)        ḡ the group's mean G
        A_i     = Q̂(s, a) − V′(s)

    A first visit is the first step of a trajectory in s, or with (s, a).

    Degenerate cases: equal returns of a group give exactly 0. With n₀ = 0 a state of one action
    and one visit gives 0; with n₀ > 0 a state visited once is compared with its group.

    **Conventions**: ḡ over all steps of the group; every trajectory counts once per state and pair;
    no episode term; the invalid penalty is taken off a step's return.

    **Differs from** the paper by the keys, which there are signatures of files touched and tests
    run (`state_key=code-agent` where the log shows them), and in that the form of the prior is
    inferred.

    Source: arXiv 2604.11037.
    """

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    prior: float = parameter(2.0, "n₀, visits that the group's mean counts for", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The gap between action and smoothed state."""
        state, action = space.state_key(self.state_key), space.action_key(self.action_key)
        pair = labels(steps, state, action)
        returns = discounted_returns(steps.reward, steps.step_index, self.gamma)
        returns = returns - self.invalid_penalty * steps.invalid_action
        group, groups = steps.group, steps.groups
        counted = steps.counted
        of_state = _first_visits(steps, state, counted)
        quality = _pooled(returns, pair, _first_visits(steps, pair, counted), returns)
        everyone = counted.astype(np.float64)
        mean = segment_mean(returns, group, groups, everyone)
        states = int(state.max()) + 1
        visits = segment_sum(of_state, state, states)
        total = segment_sum(of_state * returns, state, states)
        divisor = visits + self.prior
        known = divisor[state] > 0
        value = (total[state] + self.prior * mean[group]) / np.where(known, divisor[state], 1.0)
        value = np.where(known, value, quality)
        level = segment_constant(returns, group, groups)[group]

        def peers(step: int) -> Peers:
            here = np.flatnonzero((state == state[step]) & (of_state > 0))
            rest = np.flatnonzero((group == group[step]) & counted)
            rest = rest if self.prior > 0 else rest[:0]
            scale = max(float(divisor[state[step]]), 1e-300)
            share = np.full(len(rest), self.prior / scale / max(len(rest), 1))
            member = np.concatenate([here, rest])
            weight = np.concatenate([np.full(len(here), 1.0 / scale), share])
            joined, place = np.unique(member, return_inverse=True)
            summed = np.bincount(place, weights=weight, minlength=len(joined))
            return Peers(step=joined, weight=summed, value=returns[joined])

        return {
            "step": Term(
                score=quality,
                baseline=np.where(level, quality, value),
                factor=np.ones(len(steps)),
                peers=peers,
                facts=lambda step: {
                    "state_visits": float(visits[state[step]]),
                    "group_mean": float(mean[group[step]]),
                },
            )
        }


def _first_visits(steps: Steps, label: Index, counted: Truth) -> Real:
    """1 where a counted trajectory meets a label for the first time, else 0. (S,)."""
    visit = steps.trajectory * (int(label.max()) + 1) + label
    _, first = np.unique(visit, return_index=True)
    found = np.zeros(len(steps))
    found[first] = 1.0
    return found * counted


def _pooled(value: Real, label: Index, weight: Real, otherwise: Real) -> Real:
    """Weighted mean of each step's label; its own number where the label has no weight. (S,)."""
    labels = int(label.max()) + 1
    mean = segment_mean(value, label, labels, weight)[label]
    return np.where(segment_sum(weight, label, labels)[label] > 0, mean, otherwise)
