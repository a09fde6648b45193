"""The peers of every step as rows of similarities, one behind another in one array.

A log has thousands of small groups, and a handful of numpy calls for each would cost more than the
arithmetic in them. So the rows of many groups stand in one array, of which each row is a segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from workbench.log.steps import Index, Real, Steps, Truth
from workbench.states.similarity import Similarity

PeerRule = Literal["all", "other_steps", "other_trajectories", "same_step"]

WITH_OWN = frozenset({"all", "same_step"})
"""Rules under which a step is a peer of itself."""

CHUNK = 4_000_000  # entries of one array of weights in flight: 32 MB


def parts(steps: Steps, peers: PeerRule) -> Index:
    """The part of the log that a step's peers are, or that they leave out of its group. (S,)."""
    if peers == "other_steps":
        return np.arange(len(steps))
    if peers == "other_trajectories":
        return steps.trajectory
    if peers == "same_step":
        return steps.group * (int(steps.step_index.max(initial=0)) + 1) + steps.step_index
    return steps.group


@dataclass(frozen=True)
class Sums:
    """Sums of amounts by state, over some steps of a row's group and less those over others.

    Args:
        over: Sums by code and state, the code of each row, and whether they are taken off.
    """

    over: tuple[tuple[csr_array, Index, bool], ...]


@dataclass(frozen=True)
class Rows:
    """A chunk of rows: steps with the same state and the same peers share one.

    Args:
        members: Steps in this chunk, and the row of each. (c,), (c,)
        row: See `members`.
        first: The chunk's first row among all.
        start: First entry of each row. (r,) int64
        state: State of the group's first entry. (r,) int64
        count: Weight of a row's peers in each state of its group. (E,) float64
        gap: Similarity less the largest among the row's peers; -inf where no peer is. (E,)
        found: Whether a row has peers. (r,) bool
    """

    members: Index
    row: Index
    first: int
    start: Index
    state: Index
    count: Real
    gap: Real
    found: Truth

    def sum(self, entries: Real) -> Real:
        """Sum of the entries of each row. (r,)."""
        return np.asarray(np.add.reduceat(entries, self.start))

    def sums(self, amounts: Sums) -> Real:
        """Amounts of the row's peers in each state; exactly 0 where no peer is. (E,)."""
        return _entries(amounts, self.first, self.start, self.state, len(self.gap)) * (
            self.count > 0
        )

    def place(self, state: Index) -> Index:
        """The entry of a state in the row of each member. (c,).

        Args:
            state: A state of each member's group. (c,)
        """
        return self.start[self.row] + state - self.state[self.row]


@dataclass(frozen=True)
class PeerRows:
    """The rows of a log, sorted by state.

    Args:
        similarity: Similarities of the steps' states.
        steps: The steps.
        weight: How often each step counts. (S,) float64
        peers: Which steps of its group are a step's peers.
        cell: What tells rows of one state apart. (S,) int64
        order: The steps, those of a row adjacent. (S,) int64
        row: Row of each of these. (S,) int64
        one: A step of each row. (R,) int64
    """

    similarity: Similarity
    steps: Steps
    weight: Real
    peers: PeerRule
    cell: Index
    order: Index
    row: Index
    one: Index

    @classmethod
    def of(
        cls,
        similarity: Similarity,
        steps: Steps,
        weight: Real,
        peers: PeerRule,
        *,
        by_trajectory: bool = False,
    ) -> PeerRows:
        """The rows; `by_trajectory` keeps those of two trajectories apart."""
        cell = parts(steps, peers)
        if by_trajectory and peers == "all":
            cell = steps.trajectory
        if by_trajectory and peers == "same_step":
            cell = np.arange(len(steps))
        key = similarity.states.state * (int(cell.max(initial=0)) + 1) + cell
        order = np.argsort(key, kind="stable")
        is_new = np.diff(key[order], prepend=-1) != 0
        row = np.cumsum(is_new) - 1
        return cls(similarity, steps, weight, peers, cell, order, row, order[is_new])

    def of_peers(self, amount: Real) -> Sums:
        """Sums over the peers of a row.

        Args:
            amount: Of each step; 0 where its weight is 0. (S,) float64
        """
        of_part = self._by(parts(self.steps, self.peers), amount, is_taken_off=False)
        if self.peers in WITH_OWN:
            return Sums((of_part,))
        matrix, code, _ = of_part
        return Sums((self._by(self.steps.group, amount), (matrix, code, True)))

    def of_own_trajectory(self, amount: Real) -> Sums:
        """Sums over the peers that are in the row's own trajectory; for rows `by_trajectory`."""
        if self.peers in WITH_OWN:
            return Sums((self._by(self.cell, amount),))
        off = self._by(self.cell, amount, is_taken_off=True)
        return Sums((self._by(self.steps.trajectory, amount), off))

    def _by(
        self, code: Index, amount: Real, *, is_taken_off: bool = False
    ) -> tuple[csr_array, Index, bool]:
        states = self.similarity.states
        shape = (int(code.max(initial=0)) + 1, len(states.text))
        return csr_array((amount, (code, states.state)), shape), code[self.one], is_taken_off

    def chunks(self) -> Iterator[Rows]:
        """The rows in chunks of bounded size."""
        states, steps = self.similarity.states, self.steps
        group = steps.group[self.one]
        size = np.diff(states.start)[group]
        end = np.cumsum(size)
        weights = self.of_peers(self.weight)
        first = 0
        while first < len(self.one):
            before = end[first] - size[first]
            last = max(first + 1, int(np.searchsorted(end, before + CHUNK, side="right")))
            here = slice(first, last)
            start, entries = end[here] - size[here] - before, int(end[last - 1] - before)
            zero = states.start[group[here]]
            count = _entries(weights, first, start, zero, entries)
            near = self.similarity.entries(states.state[self.one[here]])
            near[count <= 0] = -np.inf
            top = np.maximum.reduceat(near, start)
            found = top > -np.inf
            near -= np.repeat(np.where(found, top, 0.0), size[here])
            members = slice(*np.searchsorted(self.row, [first, last]))
            yield Rows(
                self.order[members], self.row[members] - first, first, start, zero, count, near,
                found,
            )  # fmt: skip
            first = last


def _entries(amounts: Sums, first: int, start: Index, zero: Index, entries: int) -> Real:
    """The sums at every entry of the rows that start there. (E,)."""
    total = np.zeros(entries)
    for matrix, code, is_taken_off in amounts.over:
        found = matrix[code[first : first + len(start)]]
        at = np.repeat(start - zero, np.diff(found.indptr)) + found.indices
        if is_taken_off:
            total[at] -= found.data
        else:
            total[at] += found.data
    return total
