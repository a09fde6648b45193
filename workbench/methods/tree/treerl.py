"""TreeRL: a node against the whole tree and against the node before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.steps import Index, Real, Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.parameters import parameter
from workbench.states.space import Space
from workbench.states.tree import Tree

_TABLE = "tree_treerl_shipped"
_ZERO = 1e-8
"""A local advantage below this is 0 for the released code."""

_POWER = {"none": 0.0, "sqrt": 0.5, "uniform": 1.0}


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
            fields={"fill_zeros": True, "node_weight": "sqrt"},
            golden={
                "treerl_shipped": Golden(params={"node_weight": "none"}, table=_TABLE),
                "treerl_shipped_sqrt": Golden(table=_TABLE),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class TreeRL(Method):
    """A global and a local advantage of each node of a rollout tree.

        R'_j = R_j − mean of the other rollouts of the tree = n/(n − 1) · (R_j − mean)
        V(v) = mean of R' over the n_v rollouts below v, times w(v)
        A_i = V(v_i)  +  V(v_i) − V(parent of v_i)
        w(v) = 1, 1/√n_v or 1/n_v        as `node_weight` is none, sqrt or uniform

    With `fill_zeros` a local advantage V(v) − V(parent of v) of 0, as of a decision after which
    the tree did not fork, is replaced by that of the node before, and so on up to the first
    decision of the tree, which keeps its own.

    Degenerate cases: a tree of one rollout gives 0, and so do equal outcomes.

    **Conventions**: rollouts once each, the leave-one-out mean at the leaves only; no deviation; no
    weights, and a 0 is a 0; group of one 0.

    **Differs from** the released code, which always fills zeros (anything below 1e-8) and whose
    only script weights nodes by 1/√n_v (dialect; `node_weight=none` is its `use_state_value_reward`
    alone). There n_v counts the rollouts chosen for training, here those that count in group
    statistics; its removal of step or token means is not here.

    Source: Hou et al., arXiv 2506.11902.
    """

    node_weight: Literal["none", "sqrt", "uniform"] = parameter(
        "none", "what a node's value is divided by: nothing, √n or n, n rollouts below the node"
    )
    fill_zeros: bool = parameter(
        False, "whether a local advantage of 0 is replaced by that of the node before"
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The global and the local term."""
        tree = space.tree
        weight = np.maximum(tree.rollouts, 1.0) ** -_POWER[self.node_weight]
        # Weights apply to what a node is above its root, whose own mean they must not scale.
        origin = 0.0 if self.node_weight == "none" else tree.value()[tree.root]
        level = weight * (tree.value() - origin)
        local = self._filled(tree, level) if self.fill_zeros else np.arange(len(level))
        node = tree.node
        return {
            "global": self._against(tree, level, weight, node, tree.root[node]),
            "local": self._against(tree, level, weight, local[node], tree.parent[local[node]]),
        }

    def _filled(self, tree: Tree, level: Real) -> Index:
        """The node whose local advantage each node takes. (V,) int64."""
        every = np.arange(len(level))
        before = np.where(tree.parent < 0, every, tree.parent)
        taken_by_steps = np.zeros(len(level), dtype=bool)
        taken_by_steps[tree.node] = True
        gap = _scale(tree) * (level - level[before])
        source = np.where((np.abs(gap) >= _ZERO) | ~taken_by_steps[before], every, before)
        # Every round doubles how many nodes back a chain of zeros has been followed.
        for _ in range(int(tree.depth.max()).bit_length()):
            source = source[source]
        return source

    def _against(self, tree: Tree, level: Real, weight: Real, node: Index, other: Index) -> Term:
        """A node of each step against another one. Levels and weights (V,), nodes (S,)."""

        def facts(step: int) -> dict[str, Any]:
            own = int(tree.node[step])
            found = {
                "rollouts_of_tree": float(tree.rollouts[tree.root[own]]),
                "rollouts_below": float(tree.rollouts[own]),
            }
            if self.node_weight != "none":
                found["node_weight"] = float(weight[own])
            if self.fill_zeros:
                found["nodes_back"] = float(tree.depth[own] - tree.depth[node[step]])
            return found

        def peers(step: int) -> Peers:
            at = int(other[step])
            members, share = tree.below(at)
            origin = 0.0 if self.node_weight == "none" else tree.value()[tree.root[at]]
            value = weight[at] * (tree.outcome[members] - origin)
            return Peers(trajectory=members, weight=share, value=value)

        return Term(
            score=level[node],
            baseline=level[other],
            factor=_scale(tree)[tree.node],
            peers=peers,
            facts=facts,
        )


def _scale(tree: Tree) -> Real:
    """n/(n − 1) of each node's tree of n rollouts; 0 for a tree of one. (V,) float64."""
    count = tree.rollouts[tree.root]
    return np.where(count > 1, count / np.maximum(count - 1.0, 1.0), 0.0)
