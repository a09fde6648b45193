"""G2PO: the value of the next state, compared in the state and as a gain in the group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import difference
from workbench.log.steps import Real, Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod, Scaled, StateKeyed
from workbench.methods.parts.transitions import END, next_states, transitions
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "g2po",
    summary="GRPO's term + ω · (z of V(s′) in the state + z of V(s′) − V(s) in the group)",
    source="arXiv 2606.22995",
    needs=("keys",),
    dialects=(
        Dialect(
            name="reference",
            source="Nala-YN/G2PO g2po/core_g2po.py",
            fields={
                "value_penalty": 0.1,
                "reward_scale": 1.0,
                "population": "steps",
                "group_of_one": "raw",
                "count_copies": True,
            },
            traits=("steps-population", "counts-copies", "raw-group-of-one", "mixed-scale"),
            golden={
                "g2po_group_score": Golden(output="state_value"),
                "g2po_std": Golden(),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class G2PO(Scaled, StateKeyed, GroupMethod):
    """Values of states as discounted outcomes, one step ahead.

        V(s)  = mean over the group's steps in s of γ^(T − t) · R        V(end) = R
        A_i   = (R_i − μ_g)/(σ_g + eps) + ω · ( z_s(V(s′) − c · invalid) + z_g(V(s′) − V(s)) )

    T − t is the number of steps left, the step itself included, so that the last step of a
    success has the value γ. z_s standardises among the steps in s, z_g over the group's.

    Degenerate cases: a step alone in its state has no z_s; equal values and equal gains give
    exactly 0; a group whose rollouts all fail gives 0.

    **Conventions**: ddof 1, eps 1e-6; every step is evidence, its own included; rewards in units of
    one success; the invalid penalty is taken off the episode score, c off the next value.

    **Differs from** the released code, whose value of a success's end is 10 where the episode
    paid exactly 10 and 0 otherwise, so that any other scale makes every end a failure, and which
    gives NaN for a group of one step (dialect `reference`, which takes R itself in both).

    Source: arXiv 2606.22995.
    """

    gamma: float = parameter(0.95, "γ, discount per step left", minimum=0.0, maximum=1.0)
    step_weight: float = parameter(1.0, "ω, weight of both comparisons", minimum=0.0)
    value_penalty: float = parameter(
        0.0, "c, taken off the next value of a step with an invalid action", minimum=0.0
    )
    norm: Literal["std", "mean"] = parameter(
        "std", "whether all terms are divided by their deviations"
    )
    eps: float = parameter(1e-6, "added to a deviation before dividing", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term and the two comparisons."""
        scores = episode_scores(self, steps, self.worth(steps))
        state, value, reached = self._values(steps, space)
        counted = steps.counted.astype(np.float64)
        weight = counted * steps.copies if self.count_copies else counted
        penalised = reached - self.value_penalty * steps.invalid_action
        gain = difference(reached, value)
        gained = anchor_term(
            steps.group, gain, weight, norm=self.norm, eps=self.eps, factor=self.step_weight
        )
        return {
            "episode": episode_term(self, steps, scores, norm=self.norm, eps=self.eps),
            "next": anchor_term(
                state, penalised, weight, norm=self.norm, eps=self.eps, factor=self.step_weight
            ),
            "gain": replace(gained, outputs={"state_value": value}),
        }

    def _values(self, steps: Steps, space: Space) -> tuple[np.ndarray, Real, Real]:
        """State of each step, V of it, V of what the step leads to. (S,) each."""
        state = space.state_key(self.state_key)
        reward = (steps.episode_reward / self.worth(steps))[steps.trajectory]
        length = np.diff(steps.trajectory_start)[steps.trajectory]
        discounted = self.gamma ** (length - steps.step_index) * reward
        graph = transitions(steps, state, state, reward=steps.reward)
        value = graph.pair_mean(discounted)
        following = next_states(steps, state)
        reached = np.where(following == END, reward, np.append(value[1:], 0.0))
        return state, value, reached
