"""Tree-GRPO: a rollout against its tree and against all rollouts of the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.log.credit import Peers, Term, no_peers
from workbench.log.segments import segment_first, segment_sum
from workbench.log.steps import Index, Real, Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.methods.parts.anchor import anchor_term
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space


@method(
    "tree-grpo",
    summary="GRPO's term over the group + GRPO's term over the rollouts of the same tree",
    source="arXiv 2509.21240",
    needs=("tree_id",),
    dialects=(
        Dialect(
            name="reference",
            source="AMAP-ML/Tree-GRPO verl/trainer/ppo/core_algos.py",
            fields={"group_of_one": "raw"},
            traits=("raw-group-of-one",),
            golden={
                "tree_inter": Golden(term="episode"),
                "tree_inner": Golden(term="tree"),
                "tree_sum": Golden(),
                "tree_2norm": Golden(params={"combine": "nested"}),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class TreeGRPO(Method):
    """Two comparisons of one reward: between trees and inside the tree.

        z_g(R) = (R_i − μ_g) / (σ_g + eps)
        A_i = z_group(R) + z_tree(R)                combine = sum
        A_i = z_tree(z_group(R))                    combine = nested

    A tree is the rollouts of a group with the same tree_id: those that were forked from one
    first rollout. Rollouts of one tree share a prefix, so what they differ in is what came after
    the fork.

    Degenerate cases: equal rewards of a group or a tree give that term exactly 0, and so does a
    tree of one rollout; rollouts without a tree_id are one tree of their group.

    **Conventions**: over trajectories, self included; ddof 1; eps 1e-6; group of one 0, tree of one
    0.

    **Differs from** the released code, where the only rollout of a group, or of a tree, passes its
    raw reward (dialect); the reward of a group of one then counts twice. Its difference and
    per-token modes are not here: the first sets its own global term to 0, the second standardises
    token rewards that are 0 but for the last.

    Source: Ji et al., arXiv 2509.21240.
    """

    combine: Literal["sum", "nested"] = parameter(
        "sum", "both terms added, or the group's term standardised again inside the tree"
    )
    eps: float = parameter(1e-6, "added to a deviation", minimum=0.0)
    group_of_one: Literal["zero", "raw"] = parameter(
        "zero", "what the only rollout of a group or of a tree gets: 0, or its score"
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The term over the group and the one over the tree, or the nested one alone."""
        tree = labels(steps, steps.column("tree_id"))
        reward = steps.episode_reward[steps.trajectory]
        episode = self._standardised(steps, steps.group, reward)
        if self.combine == "nested":
            return {"tree": self._standardised(steps, tree, episode.value)}
        return {"episode": episode, "tree": self._standardised(steps, tree, reward)}

    def _standardised(self, steps: Steps, key: Index, score: Real) -> Term:
        once = segment_first(steps.trajectory, steps.counted)
        term = anchor_term(key, score, once, norm="std", eps=self.eps, factor=1.0)
        if self.group_of_one == "zero":
            return term
        lone = segment_sum(once, key, int(key.max()) + 1)[key] <= 1

        def peers(step: int) -> Peers:
            return no_peers(step) if lone[step] else term.peers(step)

        return replace(
            term,
            baseline=np.where(lone, 0.0, term.baseline),
            factor=np.where(lone, 1.0 / (1.0 + self.eps), term.factor),
            peers=peers,
        )
