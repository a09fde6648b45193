"""TreeMem: a node is worth the mean of the rollouts below it, compared within its role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from workbench.log.credit import Term
from workbench.log.steps import Index, Steps
from workbench.methods.base import Method, method
from workbench.methods.parts.anchor import anchor_term
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space


@method(
    "treemem",
    summary="(mean outcome below the step's node − mean over the role's nodes) / (their std + eps)",
    source="arXiv 2605.04811",
    needs=("node_id", "role"),
)
@dataclass(frozen=True, kw_only=True)
class TreeMem(Method):
    """Subtree means per role: each role is measured on what became of its decisions.

        c(v) = mean outcome of the rollouts below node v
        A_i = (c(v_i) − μ) / (σ + eps)        over the nodes of the group with i's role

    A node is one decision however many rollouts share it, so that a builder with two forks is two
    nodes, and the six answers below it six. With `peers="siblings"` the comparison is with the
    nodes of the same parent, with "depth" with all nodes of the group at the same depth, which
    needs no roles. `cost` takes a column, such as the share of the history that a memory kept, off
    c(v).

    Degenerate cases: equal credits give exactly 0, and so does a node without peers.

    **Conventions**: each node once, itself included; ddof 1; eps 1e-6; group of one 0. Rollouts
    outside the statistics are in no mean.

    **Differs from** the paper, which standardises over one sampled rollout a subtree of the first
    role; here all nodes count, so no sampling decides. A log without forks has one node a step,
    and the method is GRPO.

    Source: Mao et al., arXiv 2605.04811, equations 5 and 7.
    """

    peers: Literal["role", "siblings", "depth"] = parameter(
        "role", "what a node is compared with: its role's nodes, its siblings, those of its depth"
    )
    norm: Literal["std", "mean"] = parameter("std", "whether to divide by the peers' deviation")
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)
    cost: str | None = parameter(None, "a column of numbers that is taken off a node's value")
    cost_weight: float = parameter(1.0, "what the cost is multiplied with", minimum=0.0)

    def needs(self) -> Sequence[str]:
        """Roles only where nodes are compared within them."""
        return ("node_id", "role") if self.peers == "role" else ("node_id",)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The node's value against its peers'."""
        tree = space.tree
        score = tree.value()[tree.node]
        if self.cost is not None:
            score = score - self.cost_weight * steps.numbers(self.cost, missing=0.0)
        return {
            "tree": anchor_term(
                labels(steps, self._key(steps, space)),
                score,
                tree.once,
                norm=self.norm,
                eps=self.eps,
                factor=1.0,
            )
        }

    def _key(self, steps: Steps, space: Space) -> pl.Series | Index:
        tree = space.tree
        if self.peers == "role":
            return steps.column("role")
        return (tree.parent if self.peers == "siblings" else tree.depth)[tree.node]
