"""TreeRL: a node against the whole tree and against the node before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.steps import Index, Real, Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.states.space import Space

_TABLE = "tree_spo_treerl"


@method(
    "treerl",
    summary="n/(n − 1) · (V(node) − V(root) + V(node) − V(node before)), n rollouts in the tree",
    source="arXiv 2506.11902",
    chains=True,
    needs=("node_id",),
    dialects=(
        Dialect(
            name="reference",
            source="THUDM/TreeRL openrlhf/trainer/ppo_utils/tree_node.py, parallel_mcts.py",
            fields={},
            golden={
                "treerl_local": Golden(term="local", table=_TABLE),
                "treerl_state_value": Golden(term="global", table=_TABLE),
                "treerl_value_plus_state": Golden(table=_TABLE),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class TreeRL(Method):
    """A global and a local advantage of each node of a rollout tree.

        R'_j = R_j − mean of the other rollouts of the tree = n/(n − 1) · (R_j − mean)
        V(v) = mean of R' over the rollouts below v
        A_i = V(v_i)  +  V(v_i) − V(parent of v_i)

    Degenerate cases: a tree of one rollout gives 0, and so do equal outcomes.

    **Conventions**: rollouts once each, the leave-one-out mean at the leaves only; no deviation;
    group of one 0.

    **Differs from** the released code in nothing that is on by default; its optional weights by
    the number of chosen leaves and its removal of step or token means are not here.

    Source: Hou et al., arXiv 2506.11902.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The global and the local term."""
        tree = space.tree
        return {
            "global": self._against(space, tree.root[tree.node]),
            "local": self._against(space, tree.parent[tree.node]),
        }

    def _against(self, space: Space, node: Index) -> Term:
        """Each step's node against another one. `node` (S,)."""
        tree, value = space.tree, space.tree.value()
        count: Real = tree.rollouts[tree.root[tree.node]]
        factor = np.where(count > 1, count / np.maximum(count - 1.0, 1.0), 0.0)

        def facts(step: int) -> dict[str, Any]:
            return {
                "rollouts_of_tree": float(count[step]),
                "rollouts_below": float(tree.rollouts[tree.node[step]]),
            }

        def peers(step: int) -> Peers:
            members, weight = tree.below(int(node[step]))
            return Peers(trajectory=members, weight=weight, value=tree.outcome[members])

        return Term(
            score=value[tree.node],
            baseline=value[node],
            factor=factor,
            peers=peers,
            facts=facts,
        )
