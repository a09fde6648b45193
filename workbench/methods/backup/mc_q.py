"""Monte-Carlo Q − V: what an action returned against what its state returned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import discounted_returns
from workbench.log.steps import Steps
from workbench.methods.base import method
from workbench.methods.parts.fields import ActionKeyed, GroupMethod
from workbench.methods.parts.transitions import gap_term, transitions
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "mc-q",
    summary="mean G of the steps with the same state and action − mean G of those in the state",
    source="arXiv 2502.10325",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class MonteCarloQ(ActionKeyed, GroupMethod):
    """The plain estimate of an advantage from pooled rollouts.

        G_t = r_t + γ G_{t+1}
        A_i = Q̂(s, a) − V̂(s)        Q̂, V̂ the means of G over the group's steps with (s, a), with s

    Degenerate cases: a state in which one action was tried, or that has fewer than
    `minimum_visits` visits, gives 0; equal returns in a state give exactly 0.

    **Conventions**: every visit counts, at any time and in any trajectory, the step itself
    included; the invalid penalty is taken off a step's return; no episode term.

    **Differs from** the process-reward targets of arXiv 2502.10325, which are Q̂ alone and take
    only states with at least three visits (`minimum_visits=3`).

    Source: Choudhury, arXiv 2502.10325.
    """

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    minimum_visits: int = parameter(1, "visits from which on a state is compared", minimum=1)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The gap between action and state."""
        state, action = space.state_key(self.state_key), space.action_key(self.action_key)
        graph = transitions(steps, state, action, reward=steps.reward)
        returns = discounted_returns(steps.reward, steps.step_index, self.gamma)
        quality = graph.pair_mean(returns - self.invalid_penalty * steps.invalid_action)
        enough = graph.visits[state] >= self.minimum_visits
        return {
            "step": gap_term(
                quality,
                state,
                graph.weight,
                factor=enough.astype(np.float64),
                facts=lambda step: {
                    "action_visits": float(graph.pair_visits[graph.pair[step]]),
                    "actions_tried": int(graph.actions[state[step]]),
                },
            )
        }
