"""The rollout trees of a log: what the rollouts below each node came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from workbench.log.nodes import ancestors, nodes_of
from workbench.log.segments import EQUAL, segment_first, segment_mean, segment_sum
from workbench.log.steps import Index, Real, Steps
from workbench.states.keys import labels

Over = Literal["rollouts", "children"]


@dataclass(frozen=True)
class Tree:
    """The nodes of the scored steps, each tree under one root. S steps, N rollouts, V nodes.

    A rollout ends in the node of its last step; the values of a node are means over the rollouts
    that end in it or below it and count in group statistics. Where none of those counts, they are
    means over all of them.

    Args:
        steps: The steps.
        node: Node of each step. (S,) int64
        parent: Parent of each node; -1 at the root of a tree, which no step has. (V,) int64
        depth: Number of nodes above each node. (V,) int64
    """

    steps: Steps
    node: Index
    parent: Index
    depth: Index

    @classmethod
    def of(cls, steps: Steps) -> Tree:
        """The trees of a log with node_id; a tree is a `tree_id` of a group, or the group."""
        scored = steps.log[steps.row]
        nodes = nodes_of(scored)
        code = labels(steps, steps.column("tree_id"))
        count, roots = len(nodes.parent), int(code.max()) + 1
        of_node = np.zeros(count, dtype=np.int64)
        of_node[nodes.node] = code
        without_steps = np.setdiff1d(np.arange(count), nodes.node)
        if len(without_steps):
            below = np.isin(nodes.row_parent, without_steps)
            of_node[nodes.row_parent[below]] = code[below]
        parent = np.where(nodes.parent < 0, count + of_node, nodes.parent)
        parent = np.concatenate([parent, np.full(roots, -1)])
        return cls(steps, nodes.node, parent, ancestors(parent)[1])

    @cached_property
    def root(self) -> Index:
        """The root of each node's tree. (V,) int64."""
        root = np.arange(len(self.parent))
        for level in self._levels:
            root[level] = root[self.parent[level]]
        return root

    @cached_property
    def once(self) -> Real:
        """1 for one step of each node, the first whose rollout counts; 0 for others. (S,)."""
        return segment_first(self.node, self.steps.counted)

    @cached_property
    def end(self) -> Index:
        """The node in which each rollout ends. (N,) int64."""
        return self.node[self.steps.trajectory_start[1:] - 1]

    @cached_property
    def outcome(self) -> Real:
        """Outcome of each rollout: rewards from the root of its tree to its end. (N,).

        A rollout that was forked off another one is given the rewards above its first step, each
        node's the mean over the steps that are in it.
        """
        steps = self.steps
        above = self.parent[self.node[steps.trajectory_start[:-1]]]
        reward = segment_mean(steps.reward, self.node, len(self.parent))
        for level in self._levels:
            reward[level] += reward[self.parent[level]]
        return steps.episode_reward + reward[above]

    @cached_property
    def counted(self) -> Real:
        """1 for each rollout that counts in group statistics, else 0. (N,) float64."""
        return self.steps.counted[self.steps.trajectory_start[:-1]].astype(np.float64)

    @cached_property
    def rollouts(self) -> Real:
        """Counted rollouts that end in each node or below it. (V,) float64."""
        return self._sums(self.counted)

    def value(self, over: Over = "rollouts") -> Real:
        """Mean outcome below each node. (V,) float64.

        Args:
            over: "rollouts" counts each rollout below the node once; "children" is the mean over
                the node's children (and the rollouts that end in it) of their own values.
        """
        every = np.ones_like(self.counted)
        some = self._mean(over, self.counted)
        return np.where(self.rollouts > 0, some, self._mean(over, every))

    def _mean(self, over: Over, weight: Real) -> Real:
        total, count = self._sums(weight * self.outcome), self._sums(weight)
        if over == "children":
            total = segment_sum(weight * self.outcome, self.end, len(self.parent))
            count = self._branches(weight)
            for level in reversed(self._levels):
                some = level[count[level] > 0]
                np.add.at(total, self.parent[some], total[some] / count[some])
        mean = total / np.maximum(count, 1.0)
        # The mean of n equal numbers may be off in the last bit; the number itself is not.
        low, high = self._range(weight)
        equal = high - low <= EQUAL * np.maximum(np.abs(low), np.abs(high))
        return np.where(equal & (count > 0), low, mean)

    def _branches(self, weight: Real) -> Real:
        """Children and ends with any weight per node. (V,) float64."""
        count = segment_sum(weight, self.end, len(self.parent))
        below = self._sums(weight) > 0
        child = np.flatnonzero(below & (self.parent >= 0))
        np.add.at(count, self.parent[child], 1.0)
        return count

    def _range(self, weight: Real) -> tuple[Real, Real]:
        low = np.full(len(self.parent), np.inf)
        high = -low
        some = weight > 0
        np.minimum.at(low, self.end[some], self.outcome[some])
        np.maximum.at(high, self.end[some], self.outcome[some])
        for level in reversed(self._levels):
            np.minimum.at(low, self.parent[level], low[level])
            np.maximum.at(high, self.parent[level], high[level])
        empty = np.isinf(low)
        low[empty] = high[empty] = 0.0
        return low, high

    def below(self, node: int, over: Over = "rollouts") -> tuple[Index, Real]:
        """The rollouts that a node's value is the mean of, and their weights in it."""
        counted = self.rollouts[node] > 0
        weight = self.counted if counted else np.ones_like(self.counted)
        branches = self._branches(weight)
        at, share = self.end.copy(), weight.copy()
        found = np.zeros(len(at), dtype=bool)
        while (at >= 0).any():
            walking = (at >= 0) & ~found
            share[walking] /= np.maximum(branches[at[walking]], 1.0)
            found |= at == node
            at = np.where(found | (at < 0), -1, self.parent[at])
        members = np.flatnonzero(found & (weight > 0))
        if over == "rollouts":
            return members, np.full(len(members), 1.0 / max(len(members), 1))
        return members, share[members]

    def _sums(self, of_rollout: Real) -> Real:
        """Sum over the rollouts that end in each node or below it. (V,) float64."""
        total = segment_sum(of_rollout, self.end, len(self.parent))
        for level in reversed(self._levels):
            np.add.at(total, self.parent[level], total[level])
        return total

    @cached_property
    def _levels(self) -> Sequence[Index]:
        """The nodes below the roots, depth by depth. Each (…,) int64."""
        order = np.argsort(self.depth, kind="stable")
        start = np.searchsorted(self.depth[order], np.arange(int(self.depth.max()) + 2))
        return [order[low:high] for low, high in pairwise(start[1:])]
