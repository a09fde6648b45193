"""GRAFT: the value that each step gained on the group's graph, measured in its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import difference
from workbench.log.steps import Steps
from workbench.methods.base import method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.fields import Scaled, StateKeyed
from workbench.methods.parts.transitions import END, last_steps, next_states, transitions
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "graft",
    summary="z in the state of γV(s′) − V(s), V backed up from the outcomes",
    source="arXiv 2609.28963",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class GRAFT(Scaled, StateKeyed):
    """Temporal differences on the graph of all transitions of a group.

        V(s) = mean over the group's steps in s of γ V(s′)             V after the end is R
        δ_i  = γ V(s′) − V(s)
        A_i  = (δ_i − mean_s δ)/(std_s δ + eps)

    The paper adds Σ_{k≥1} (γλ)^k · mean δ over all edges that are k hops away, and gives a lone
    edge the sign of its δ. With this V both are 0, whatever λ: all edges out of a state are equally
    many hops away, and the equation of V says that their δ sum to 0. So there is no λ here.

    Degenerate cases: a step that is alone in its state and equal δ of a state give exactly 0;
    groups of equal rewards are not set to 0, since a state nearer to the end is worth more.

    **Conventions**: ddof 1, eps 1e-6, the step itself included; no episode term; R is the episode's
    reward in units of one success, rewards on the way are in it and nowhere else.

    **Differs from** the paper in nothing known; it was read at second hand, without its code.

    Source: arXiv 2609.28963.
    """

    gamma: float = parameter(0.99, "γ, discount per step", minimum=0.0, maximum=1.0)
    eps: float = parameter(1e-6, "added to a deviation before dividing", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The step term alone."""
        reward = (steps.episode_reward / self.worth(steps))[steps.trajectory]
        state = space.state_key(self.state_key)
        at_end = np.where(last_steps(steps), self.gamma * reward, 0.0)
        value = transitions(steps, state, state, reward=at_end).values(self.gamma)
        following = next_states(steps, state)
        after = np.where(following == END, reward, np.append(value, 0.0)[following])
        gain = difference(self.gamma * after, value[state])
        weight = steps.counted.astype(np.float64)
        term = anchor_term(state, gain, weight, norm="std", eps=self.eps, factor=1.0)
        return {"step": replace(term, outputs={"state_value": value[state]})}
