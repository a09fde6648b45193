"""CRBC: values backed up through the transitions that all rollouts of a group share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import discounted_returns, segment_std
from workbench.log.steps import Steps
from workbench.methods.base import method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import ActionKeyed, BackupMethod, GroupMethod
from workbench.methods.parts.transitions import gap_term, transitions
from workbench.parameters import parameter
from workbench.states.space import Space

SCALE_FLOOR = 0.1


@method(
    "crbc",
    summary="w_G · GRPO's term + w_S · (Q − V) / max(std of Q in the state, .1), backed up",
    source="arXiv 2609.35082",
    needs=("keys",),
    traits=("mixed-scale",),
)
@dataclass(frozen=True, kw_only=True)
class CRBC(BackupMethod, ActionKeyed, GroupMethod):
    """Bellman closure over the pooled transitions of a group.

        V(s)    = Σ_a μ(a|s) Q(s, a)        Q(s, a) = mean of r + λ V(s') over its steps
        S_i     = 1{at least two actions tried in s} · (Q(s, a) − V(s)) / max(σ_μ(s), .1)
        A_i     = w_G · A_GRPO + w_S · S_i

    μ(a|s) is how often a was taken among the group's steps in s, σ_μ(s) the deviation of Q under
    it, and the end of a trajectory has the value 0. V is solved for exactly; with `depth` it is
    backed up so many times from the mean return of each state, so that depth 0 is the Monte-Carlo
    Q̂ − V̂.

    Degenerate cases: a state in which one action was tried gives 0, as does one whose actions are
    worth the same; equal rewards of a group give an episode term of exactly 0.

    **Conventions**: every step of the group is evidence, its own included; deviations of Q with
    ddof 0; rewards in units of one success; dense rewards are backed up as they are; ω, ε and
    statistics of GRPO's term as in `grpo`; the invalid penalty is taken off the step's reward.

    **Differs from** the paper, whose ends have the values 1 and 0 under Q = λ P V: ours are larger
    by 1/λ before the deviation divides them. No code of it was found.

    Source: Ren et al., Cross-Rollout Bellman Closure for Long-Horizon Agentic Reinforcement
    Learning, arXiv 2609.35082, equations 5–14 and appendix C.3.
    """

    depth: int | None = parameter(
        None, "how often values are backed up; null until nothing changes", minimum=0
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """GRPO's term and the gap between action and state."""
        state, action = space.state_key(self.state_key), space.action_key(self.action_key)
        reward = self.step_reward(steps)
        graph = transitions(steps, state, action, reward=reward, truncated_as=self.truncated_as)
        returns = discounted_returns(reward, steps.step_index, self.continuation)
        if self.depth is None:
            outcome = graph.outcome(graph.values(self.continuation), self.continuation)
        elif self.depth == 0:
            outcome = returns
        else:
            value = graph.values_to_depth(self.continuation, returns, self.depth - 1)
            outcome = graph.outcome(value, self.continuation)
        quality = graph.pair_mean(outcome)
        deviation = segment_std(quality, state, graph.states, graph.weight, ddof=0)
        factor = np.where(graph.actions >= 2, self.step_weight, 0.0)
        if self.step_norm == "std":
            factor /= np.maximum(deviation, SCALE_FLOOR)

        def facts(step: int) -> dict[str, Any]:
            own = graph.pair == graph.pair[step]
            share = graph.weight * own / max(float(graph.weight[own].sum()), 1.0)
            return {
                "action_visits": float(graph.pair_visits[graph.pair[step]]),
                "actions_tried": int(graph.actions[state[step]]),
                "action_reward": float(share @ reward),
                "next_value": float(share @ (outcome - reward)),
                "state_std": float(deviation[state[step]]),
            }

        gap = gap_term(quality, state, graph.weight, factor=factor[state], facts=facts)
        return {
            "episode": episode_term(
                self,
                steps,
                episode_scores(self, steps, self.worth(steps)),
                norm="std",
                eps=self.eps,
                factor=self.episode_weight,
            ),
            "step": gap,
        }
