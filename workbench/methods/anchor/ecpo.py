"""ECPO: actions of a state compared with each other, as far as they explain its returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import discounted_returns, segment_constant, segment_mean, segment_sum
from workbench.log.steps import Index, Real, Steps
from workbench.methods.base import create, method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import ActionKeyed, GroupMethod, StepMethod, Wrapper
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space

TINY = np.finfo(np.float64).tiny  # added to a divisor so that 0 over 0 is 0


@dataclass(frozen=True, kw_only=True)
class ActionValues:
    """Returns by state, and by action in the state.

    Args:
        visits, pair_visits: Weight of its state and of its pair. (S,), (S,)
        mean, pair_mean: Mean return in its state and of its pair. (S,), (S,)
        between, within: Variance of its state's returns between actions, and within. (S,), (S,)
    """

    visits: Real
    pair_visits: Real
    mean: Real
    pair_mean: Real
    between: Real
    within: Real

    def shrunk(self, kappa: float) -> Real:
        """Mean return of each step's action, drawn to the state's by κ further visits. (S,).

        μ̃ = (n_{s,u} Ḡ_{s,u} + κ μ_s) / (n_{s,u} + κ)
        """
        count = self.pair_visits + kappa
        drawn = self.pair_visits * self.pair_mean + kappa * self.mean
        return np.where(count > 0, drawn / np.where(count > 0, count, 1.0), self.mean)

    def reliability(self, scale: float, eps: float) -> Real:
        """Variance share of each step's actions in its state, shrunk by visits; in [0, 1]. (S,).

            ρ = tanh(n_s / τ) · B_s / (B_s + W_s + eps)

        Exactly 0 where the actions have equal means, and so where only one was tried.
        """
        return (
            np.tanh(self.visits / scale) * self.between / (self.between + self.within + eps + TINY)
        )


def action_values(
    steps: Steps, state: Index, action: Index, score: Real, weight: Real
) -> ActionValues:
    """Means and variances of a score by state and by action.

        B_s = Σ_u n_{s,u} (Ḡ_{s,u} − μ_s)² / n_s        W_s = Σ (G − Ḡ_{s,u})² / n_s

    Args:
        steps: The steps.
        state: Label of each step's state. (S,)
        action: Label of each step's action. (S,)
        score: G. (S,)
        weight: How often each step counts. (S,)
    """
    pair = labels(steps, state, action)
    pairs, states = int(pair.max()) + 1, int(state.max()) + 1
    visits = segment_sum(weight, state, states)[state]
    mean = segment_mean(score, state, states, weight)[state]
    pair_visits = segment_sum(weight, pair, pairs)[pair]
    pair_mean = segment_mean(score, pair, pairs, weight)[pair]
    some = np.where(visits > 0, visits, 1.0)
    one_value = segment_constant(pair_mean, state, states, weight > 0)[state]
    between = segment_sum(weight * (pair_mean - mean) ** 2, state, states)[state] / some
    within = segment_sum(weight * (score - pair_mean) ** 2, state, states)[state] / some
    return ActionValues(
        visits=visits,
        pair_visits=pair_visits,
        mean=mean,
        pair_mean=pair_mean,
        between=np.where(one_value, 0.0, between),
        within=within,
    )


def _gated(term: Term, gate: Real, facts: Mapping[str, Real]) -> Term:
    """The term, multiplied step by step with a gate."""
    return replace(
        term,
        factor=term.factor * gate,
        facts=lambda step: {
            **term.facts(step),
            **{name: float(value[step]) for name, value in facts.items()},
        },
    )


@method(
    "ecpo",
    summary="GRPO's term + ω ρ(s) · z of the action's shrunk mean return in the state",
    source="arXiv 2606.05885",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class ECPO(StepMethod, ActionKeyed, GroupMethod):
    """Evidence-gated comparison of actions in the same state.

        μ̃_{s,u} = (n_{s,u} Ḡ_{s,u} + κ μ_s)/(n_{s,u} + κ)
        ρ(s)    = tanh(n_s/τ) · B_s/(B_s + W_s + eps)
        A_i     = (R_i − μ_g)/(σ_g + eps) + ω ρ(s) · (μ̃_{s,u} − mean_s μ̃)/(std_s μ̃ + eps)

    Ḡ is the mean return of an action u in a state s, n counts visits, and B and W are the variances
    of returns in s between actions and within them.

    Degenerate cases: where one action only was tried in a state, or all have equal means, the step
    term is exactly 0; so is the episode term of equal returns and of a group of one.

    **Conventions**: episode statistics over trajectories; ddof 1, eps 1e-6 in both terms; self
    included; the z of actions is over the steps in the state, so that its mean over them is 0.

    **Differs from** the paper in nothing known. κ 2 is the paper's as readers report it; τ 4 and
    ω 1 are ours, and whether its z is over steps or over actions is open, hence `over`.

    Source: arXiv 2606.05885.
    """

    kappa: float = parameter(
        2.0, "κ, how many visits of the state's mean an action starts with", minimum=0.0
    )
    visit_scale: float = parameter(
        4.0,
        "τ, how many visits make a state reliable",
        minimum=0.0,
        minimum_exclusive=True,
    )
    over: Literal["steps", "actions"] = parameter(
        "steps", "what the z of actions is over: the steps in the state, or each action once"
    )
    norm: Literal["std", "mean"] = parameter(
        "std", "whether the episode term is divided by its deviation"
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term and the gated comparison of actions."""
        weight = self.peer_weight(steps)
        state, action = space.state_key(self.state_key), space.action_key(self.action_key)
        values = action_values(steps, state, action, self.step_score(steps), weight)
        if self.over == "actions":
            weight = weight / np.where(values.pair_visits > 0, values.pair_visits, 1.0)
        compared = anchor_term(
            state,
            values.shrunk(self.kappa),
            weight,
            norm="std",
            eps=self.eps,
            factor=self.step_weight,
        )
        gate = values.reliability(self.visit_scale, self.eps)
        known = {
            "reliability": gate,
            "action_mean": values.pair_mean,
            "action_visits": values.pair_visits,
        }
        scores = episode_scores(self, steps)
        return {
            "episode": episode_term(self, steps, scores, norm=self.norm, eps=self.eps),
            "step": _gated(compared, gate, known),
        }


@method(
    "ecpo-gate",
    summary="another method's credit, its step terms times ECPO's reliability of the state",
    source="arXiv 2606.05885",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class ECPOGate(Wrapper, ActionKeyed):
    """ECPO's gate around any credit: what a state's returns do not support is turned down.

        A_i = E'_i + ρ(s_i) · S'_i        E' the episode term of `of`, S' its other terms

    ρ as in `ecpo`, of discounted returns.

    Degenerate cases: those of `of`; where one action only was tried in a state, or all have equal
    means, its step terms are exactly 0.

    **Conventions**: as in `ecpo`; a credit without an episode term is gated as a whole, one that is
    an episode term alone is left as it is.

    **Differs from** `ecpo` in what is gated.

    Source: arXiv 2606.05885, whose ablation has the gate alone.
    """

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    visit_scale: float = parameter(
        4.0,
        "τ, how many visits make a state reliable",
        minimum=0.0,
        minimum_exclusive=True,
    )
    eps: float = parameter(1e-6, "added to the variance before dividing", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The terms of the other credit, the step terms gated."""
        returns = discounted_returns(steps.reward, steps.step_index, self.gamma)
        state, action = space.state_key(self.state_key), space.action_key(self.action_key)
        counted = steps.counted.astype(np.float64)
        values = action_values(steps, state, action, returns, counted)
        gate = values.reliability(self.visit_scale, self.eps)
        terms: dict[str, Any] = dict(create(self.of)(steps, space).terms)
        return {
            name: term if name == "episode" else _gated(term, gate, {"reliability": gate})
            for name, term in terms.items()
        }
