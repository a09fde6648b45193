"""GraphHCA: how much likelier each step made a success, on the group's graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import difference
from workbench.log.steps import Real, Steps
from workbench.methods.base import method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod, Scaled, StateKeyed
from workbench.methods.parts.success import trajectory_success
from workbench.methods.parts.transitions import END, last_steps, next_states, transitions
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "graphhca",
    summary="GRPO's term + w_S · z in the state of Ψ(s′) − Ψ(s), Ψ the log of a success's chance",
    source="arXiv 2609.35084",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class GraphHCA(Scaled, StateKeyed, GroupMethod):
    """Gains of the log-likelihood of a success, backed up through the transitions of all rollouts.

        Φ(s) = γ̄ · mean over the group's steps in s of Φ(s′)     after the end 1 if won, else 0
        Ψ(s) = log max(Φ(s), φ)
        A_i  = (R_i − μ_g)/(σ_g + eps) + w_S · (x_i − mean_s x)/(std_s x + eps),   x = Ψ(s′) − Ψ(s)

    Degenerate cases: a step that is alone in its state, equal gains of a state, and a group without
    a success give exactly 0 in the step term.

    **Conventions**: ddof 1 and eps 1e-6 in both terms, the step itself included; success as in
    `proxmo`, and a group in which it is not defined counts as without one; Φ of one linear system a
    group, solved exactly.

    **Differs from** the paper in nothing known; it was read at second hand, and no code is out.

    Source: arXiv 2609.35084.
    """

    gamma: float = parameter(0.95, "γ̄, what each step to a success costs", minimum=0.0, maximum=1.0)
    floor: float = parameter(
        0.01, "φ, smallest chance of a success", minimum=0.0, maximum=1.0, minimum_exclusive=True
    )
    step_weight: float = parameter(1.0, "w_S, weight of the step term", minimum=0.0)
    success_threshold: float | None = parameter(None, "reward from which on a trajectory succeeds")
    eps: float = parameter(1e-6, "added to a deviation before dividing", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """GRPO's term and the comparison of gains."""
        scores = episode_scores(self, steps, self.worth(steps))
        state = space.state_key(self.state_key)
        before, after = self._chances(steps, space)
        gain = difference(np.log(after), np.log(before))
        gain = gain - self.invalid_penalty * steps.invalid_action
        counted = steps.counted.astype(np.float64)
        weight = counted * steps.copies if self.count_copies else counted
        gained = anchor_term(state, gain, weight, norm="std", eps=self.eps, factor=self.step_weight)
        return {
            "episode": episode_term(self, steps, scores, norm="std", eps=self.eps),
            "step": replace(gained, outputs={"success_chance": before}).with_facts(
                lambda step: {
                    "chance_before": float(before[step]),
                    "chance_after": float(after[step]),
                }
            ),
        }

    def _chances(self, steps: Steps, space: Space) -> tuple[Real, Real]:
        """Φ before and after each step, at least φ. (S,) each."""
        reward = steps.episode_reward / self.worth(steps)
        success, defined = trajectory_success(steps, reward, self.success_threshold)
        won = (success & defined[steps.trajectory_group])[steps.trajectory]
        ends = last_steps(steps)
        state = space.state_key(self.state_key)
        graph = transitions(steps, state, state, reward=np.where(ends & won, self.gamma, 0.0))
        chance = graph.values(self.gamma)
        following = next_states(steps, state)
        after = np.where(following == END, won, np.append(chance, 0.0)[following])
        return np.maximum(chance[state], self.floor), np.maximum(after, self.floor)
