"""The peers of every step as rows of similarities, one behind another in one array.

A log has thousands of small groups, and a handful of numpy calls for each would cost more than the
arithmetic in them. So the rows of many groups stand in one array, of which each row is a segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.states.similarity import Similarity

PeerRule = Literal["all", "other_steps", "other_trajectories", "same_step"]

WITH_OWN = frozenset({"all", "same_step"})
"""Rules under which a step is a peer of itself."""

CHUNK = 4_000_000  # entries of one array of weights in flight: 32 MB
KEPT = 4 * CHUNK  # entries whose rows are kept for the next temperature: 384 MB


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
    """Sums of amounts by state: of all steps, and of those that share a code with the row.

    Args:
        of_all: Sum of all steps of a state, if these are added. (U,) float64
        of_code: Sums by code and state, the code of each row, and the sign with which they count.
    """

    of_all: Real | None
    of_code: Sequence[tuple[csr_array, Index, float]] = ()

    def entries(self, first: int, start: Index, zero: Index, state: Index) -> Real:
        """The sums at every entry of some rows. (E,).

        Args:
            first: The first of the rows.
            start: First entry of each row. (r,) int64
            zero: State of that entry. (r,) int64
            state: State of every entry. (E,) int64
        """
        total = np.zeros(len(state)) if self.of_all is None else self.of_all[state]
        for matrix, code, sign in self.of_code:
            found = matrix[code[first : first + len(start)]]
            at = np.repeat(start - zero, np.diff(found.indptr)) + found.indices
            total[at] += sign * found.data
        return total


@dataclass(frozen=True)
class Rows:
    """A chunk of rows: steps with the same state and the same peers share one.

    Args:
        members: Steps in this chunk, and the row of each. (c,), (c,)
        row: See `members`.
        first: The chunk's first row among all.
        start: First entry of each row. (r,) int64
        zero: State of that entry. (r,) int64
        state: State of every entry. (E,) int64
        count: Weight of a row's peers in each state of its group. (E,) float64
        gap: Similarity less the largest among the row's peers; -inf where no peer is. (E,)
        found: Whether a row has peers. (r,) bool
    """

    members: Index
    row: Index
    first: int
    start: Index
    zero: Index
    state: Index
    count: Real
    gap: Real
    found: Truth

    def sum(self, entries: Real) -> Real:
        """Sum of the entries of each row. (r,)."""
        return np.asarray(np.add.reduceat(entries, self.start))

    def sums(self, amounts: Sums) -> Real:
        """Amounts of the row's peers in each state; exactly 0 where no peer is. (E,)."""
        entries = amounts.entries(self.first, self.start, self.zero, self.state)
        return entries * (self.count > 0)

    def place(self, state: Index) -> Index:
        """The entry of a state in the row of each member. (c,).

        Args:
            state: A state of each member's group. (c,)
        """
        return self.start[self.row] + state - self.zero[self.row]


@dataclass(frozen=True)
class PeerRows:
    """The rows of a log, sorted by state.

    Args:
        similarity: Similarities of the steps' states.
        steps: The steps.
        weight: How often each step counts. (S,) float64
        peers: Which steps of its group are a step's peers.
        part: What its peers are, or what they leave out. (S,) int64
        cell: What tells rows of one state apart. (S,) int64
        order: The steps, those of a row adjacent. (S,) int64
        row: Row of each of these. (S,) int64
        one: A step of each row. (R,) int64
    """

    similarity: Similarity
    steps: Steps
    weight: Real
    peers: PeerRule
    part: Index
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
        """The rows; `by_trajectory` keeps those of two trajectories apart.

        Those that were asked for last are kept with the similarities, since another temperature
        asks for them again.
        """
        kept = similarity.laid_out.get(by_trajectory)
        if (
            isinstance(kept, cls)
            and kept.steps is steps
            and kept.peers == peers
            and np.array_equal(kept.weight, weight)
        ):
            return kept
        made = cls._made(similarity, steps, weight, peers, by_trajectory=by_trajectory)
        similarity.laid_out[by_trajectory] = made
        return made

    @classmethod
    def _made(
        cls,
        similarity: Similarity,
        steps: Steps,
        weight: Real,
        peers: PeerRule,
        *,
        by_trajectory: bool,
    ) -> PeerRows:
        cell = part = parts(steps, peers)
        if by_trajectory and peers == "all":
            cell = steps.trajectory
        if by_trajectory and peers == "same_step":
            cell = np.arange(len(steps))
        key = similarity.states.state * (int(cell.max(initial=0)) + 1) + cell
        order = np.argsort(key, kind="stable")
        is_new = np.diff(key[order], prepend=-1) != 0
        row = np.cumsum(is_new) - 1
        return cls(similarity, steps, weight, peers, part, cell, order, row, order[is_new])

    def of_peers(self, amount: Real) -> Sums:
        """Sums over the peers of a row.

        Args:
            amount: Of each step; 0 where its weight is 0. (S,) float64
        """
        if self.peers == "all":
            return Sums(self._total(amount))
        if self.peers == "same_step":
            return Sums(None, [self._by(self.part, amount, 1.0)])
        return Sums(self._total(amount), [self._by(self.part, amount, -1.0)])

    def of_own_trajectory(self, amount: Real) -> Sums:
        """Sums over the peers of a row that are in its own trajectory.

        Args:
            amount: As for `of_peers`; the rows are made `by_trajectory`.
        """
        if self.peers in WITH_OWN:
            return Sums(None, [self._by(self.cell, amount, 1.0)])
        own = self._by(self.steps.trajectory, amount, 1.0)
        return Sums(None, [own, self._by(self.part, amount, -1.0)])

    def _total(self, amount: Real) -> Real:
        states = self.similarity.states
        return segment_sum(amount, states.state, len(states.text))

    def _by(self, code: Index, amount: Real, sign: float) -> tuple[csr_array, Index, float]:
        states = self.similarity.states
        shape = (int(code.max(initial=0)) + 1, len(states.text))
        return csr_array((amount, (code, states.state)), shape), code[self.one], sign

    def chunks(self) -> Iterator[Rows]:
        """The rows in chunks of bounded size; those of a small log are laid out once."""
        size = np.diff(self.similarity.states.start)[self.steps.group[self.one]]
        return iter(self._kept) if size.sum() <= KEPT else self._chunks()

    @cached_property
    def _kept(self) -> list[Rows]:
        return list(self._chunks())

    def _chunks(self) -> Iterator[Rows]:
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
            state = np.repeat(zero - start, size[here]) + np.arange(entries)
            count = weights.entries(first, start, zero, state)
            near = self.similarity.entries(states.state[self.one[here]])
            near[count <= 0] = -np.inf
            top = np.maximum.reduceat(near, start)
            found = top > -np.inf
            near -= np.repeat(np.where(found, top, 0.0), size[here])
            members = slice(*np.searchsorted(self.row, [first, last]))
            yield Rows(
                self.order[members],
                self.row[members] - first,
                first,
                start,
                zero,
                state,
                count,
                near,
                found,
            )
            first = last
