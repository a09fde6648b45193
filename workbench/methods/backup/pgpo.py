"""PGPO: the return in a state plus, where the task is hard, the progress to the next state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import difference, discounted_returns
from workbench.log.steps import Steps
from workbench.methods.base import method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.fields import GroupMethod, Scaled, StateKeyed
from workbench.methods.parts.success import success_rate, trajectory_success
from workbench.methods.parts.transitions import last_steps, transitions
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "pgpo",
    summary="z of G in the state + β(1 − p)^α · z of γΦ(s′) − Φ(s) in the state, Φ the mean G",
    source="arXiv 2609.02236",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class PGPO(Scaled, StateKeyed, GroupMethod):
    """Potential differences, weighted by how often the group fails.

        Φ(s)  = mean of G over the group's steps in s
        δ_t   = γ_Φ Φ(s_{t+1}) − Φ(s_t),        r_T − Φ(s_T) at the last step
        A_i   = z_s(G) + β (1 − p)^α · z_s(δ)

    z_s standardises over the group's steps in s, p is the success rate of the group.

    Degenerate cases: a step that is alone in its state gives 0; equal returns and equal
    differences in a state give exactly 0. Where success is not defined p is 0, and β alone weighs.

    **Conventions**: ddof 1, eps 1e-6, the step itself included; no episode term, which the paper
    found to hurt; rewards in units of one success; success as in `proxmo`; the invalid penalty is
    taken off the step's return.

    **Differs from** the paper in nothing known; it has no code. With rewards before the last step
    the differences leave them to G.

    Source: arXiv 2609.02236.
    """

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    potential_gamma: float = parameter(
        1.0, "γ_Φ, discount of the next potential", minimum=0.0, maximum=1.0
    )
    alpha: float = parameter(2.0, "α, how fast progress loses weight with success", minimum=0.0)
    beta: float = parameter(1.0, "β, weight of progress where every rollout fails", minimum=0.0)
    success_threshold: float | None = parameter(None, "reward from which on a trajectory succeeds")
    norm: Literal["std", "mean"] = parameter(
        "std", "whether both terms are divided by their deviations"
    )
    eps: float = parameter(1e-6, "added to a deviation before dividing", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The comparison of returns and that of progress."""
        state, worth = space.state_key(self.state_key), self.worth(steps)
        reward = steps.reward / worth[steps.trajectory]
        graph = transitions(steps, state, state, reward=reward)
        returns = discounted_returns(reward, steps.step_index, self.gamma)
        score = returns - self.invalid_penalty * steps.invalid_action
        potential = np.where(graph.visits[state] > 0, graph.state_mean(returns)[state], returns)
        following = self.potential_gamma * np.append(potential[1:], 0.0)
        progress = difference(np.where(last_steps(steps), reward, following), potential)
        success, defined = trajectory_success(
            steps, steps.episode_reward / worth, self.success_threshold
        )
        rate = np.where(defined, success_rate(steps, success), 0.0)[steps.group]
        weight = self.beta * (1.0 - rate) ** self.alpha
        how: dict[str, Any] = {"norm": self.norm, "eps": self.eps, "factor": 1.0}
        of_progress = anchor_term(state, progress, graph.weight, **how)
        return {
            "return": anchor_term(state, score, graph.weight, **how),
            "progress": replace(of_progress, factor=weight * of_progress.factor).with_facts(
                lambda step: {
                    "potential": float(potential[step]),
                    "success_rate": float(rate[step]),
                }
            ),
        }
