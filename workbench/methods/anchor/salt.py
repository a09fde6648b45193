"""SALT: rollouts that do the same in the same place share their advantage there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Steps
from workbench.methods.base import create, method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.fields import ActionKeyed, Wrapper
from workbench.methods.parts.transitions import next_states
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.keys.history import earlier
from workbench.states.space import Space


@method(
    "salt",
    summary="mean of GRPO's advantage over the group's steps on the same edge of its graph",
    source="arXiv 2510.20022",
    chains=True,
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class SALT(Wrapper, ActionKeyed):
    """Shared edges: what several rollouts did alike gets the mean of their advantages.

        e_i   = (s, a) of the last h steps, the present one included, and the next state
        A_i   = mean of A'_j over the group's steps with e_j = e_i        A' the credit of `of`

    A step on an edge of its own keeps its advantage, so success and failure part where the
    rollouts do.

    Degenerate cases: equal advantages on an edge stay exactly as they are, and those of `of`; the
    last step of a trajectory leads to the end, whatever the outcome.

    **Conventions**: every step of an edge counts once, one of the same trajectory too; a history
    that is cut off by the start of the trajectory equals only one that is cut off there too.

    **Differs from** the paper in nothing known; it has no code that could be found. It is meant for
    credit that is the same for all steps of a trajectory, `grpo` or `rloo`; any other will do.

    Source: arXiv 2510.20022.
    """

    of: str = parameter(
        "grpo", "the method, or method:dialect, whose credit is taken", parse=create
    )
    history: int = parameter(
        3, "h, how many pairs of state and action make an edge", minimum=1, maximum=1000
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The terms of the other credit, and what sharing adds to them."""
        credit, edge = create(self.of)(steps, space), self._edges(steps, space)
        counted = steps.counted.astype(np.float64)
        shared = anchor_term(edge, credit.advantage, counted, norm="mean", eps=0.0, factor=-1.0)
        size = segment_sum(counted, edge, int(edge.max()) + 1)[edge]
        return {**credit.terms, "shared": replace(shared, outputs={"edge_size": size})}

    def _edges(self, steps: Steps, space: Space) -> Index:
        state, action = space.state_key(self.state_key), space.action_key(self.action_key)
        past = [
            earlier(steps, label, back) for back in range(self.history) for label in (state, action)
        ]
        return labels(steps, *past, next_states(steps, state))
