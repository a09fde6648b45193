"""SPO on trees: what a step changed in the value of the node that it stands at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term, no_peers
from workbench.log.segments import segment_constant, segment_std
from workbench.log.steps import Real, Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.parameters import parameter
from workbench.states.space import Space
from workbench.states.tree import Over, Tree

_TABLE = "tree_spo_treerl"


@method(
    "spo",
    summary="V(node of the step) − V(node before), V the mean outcome of the rollouts below",
    source="arXiv 2505.23564",
    chains=True,
    needs=("node_id",),
    dialects=(
        Dialect(
            name="treetune",
            source="AIFrameResearch/SPO tree_episode_generator.py, hybrid_inference_strategy.py",
            fields={"over": "children"},
            golden={
                "spo_node_value": Golden(output="node_value", table=_TABLE),
                "spo_adv_rloo": Golden(table=_TABLE),
                "spo_adv_grpo": Golden(params={"norm": "std"}, table=_TABLE),
                "spo_prover_adv": Golden(params={"best_of": 4}, table=_TABLE),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class SPO(Method):
    """Segment policy optimisation on a rollout tree: the value gained along an edge.

        V(v) = mean outcome of the rollouts below v
        A_i = V(v_i) − V(parent of v_i)             over the siblings' deviation with norm = std

    The root of a tree is the task: its value is the mean of the whole tree, so the advantages
    along a rollout sum to its outcome less that mean. `best_of` puts 1 − (1 − V)^K in V's place,
    the chance that the best of K tries succeeds, which favours nodes that a weak policy rarely
    solves; outcomes are then in [0, 1].

    Degenerate cases: a node whose parent has no other child gives 0, and so do equal outcomes.

    **Conventions**: every rollout below a node counts once, own one included; no deviation; with
    norm = std ddof 0 over the siblings, eps 1e-8; siblings of equal value give 0. A tree of one
    rollout gives 0.

    **Differs from** the released code, whose V is the mean over children of their V, so that a
    rollout on a thin branch weighs more (dialect; its "rloo" mode includes the node itself).

    Source: Guo et al., arXiv 2505.23564; equally CARL, arXiv 2512.04949.
    """

    over: Over = parameter(
        "rollouts", "what a node's value is the mean over: rollouts below it, or its children"
    )
    norm: Literal["none", "std"] = parameter(
        "none", "whether to divide by the deviation of the siblings' values"
    )
    eps: float = parameter(1e-8, "added to the deviation", minimum=0.0)
    best_of: int = parameter(1, "K of 1 − (1 − V)^K; 1 is V itself", minimum=1)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The gain in value."""
        tree = space.tree
        value, before = tree.value(self.over), tree.parent[tree.node]
        shown = value if self.best_of == 1 else 1.0 - (1.0 - value) ** self.best_of

        def facts(step: int) -> dict[str, Any]:
            return {
                "node_value": float(value[tree.node[step]]),
                "parent_value": float(value[before[step]]),
                "rollouts_below": float(tree.rollouts[tree.node[step]]),
                "rollouts_below_parent": float(tree.rollouts[before[step]]),
            }

        def peers(step: int) -> Peers:
            if self.best_of > 1:
                return no_peers(step)
            members, weight = tree.below(int(before[step]), self.over)
            return Peers(trajectory=members, weight=weight, value=tree.outcome[members])

        factor = np.ones(len(tree.parent)) if self.norm == "none" else self._scale(tree, value)
        return {
            "tree": Term(
                score=shown[tree.node],
                baseline=shown[before],
                factor=factor[tree.node],
                peers=peers,
                facts=facts,
                outputs={"node_value": value[tree.node]},
            )
        }

    def _scale(self, tree: Tree, value: Real) -> Real:
        """One over the deviation among each node's siblings; 0 where they are equal. (V,)."""
        child = np.flatnonzero((tree.parent >= 0) & (tree.rollouts > 0))
        under, nodes = tree.parent[child], len(tree.parent)
        deviation = segment_std(value[child], under, nodes, ddof=0)
        constant = segment_constant(value[child], under, nodes)
        scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation + self.eps))
        return scale[tree.parent]
