"""Cosine similarities of the states inside each group, kept block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from workbench.log.steps import Index, Real, Truth

BLOCK_CACHE = 64_000_000  # float64 similarities kept for the next temperature: 512 MB
DENSE = 4_000_000  # entries of a group's vectors up to which they are multiplied as a full matrix


@dataclass(frozen=True)
class States:
    """The distinct state texts of every group; U of them, those of a group adjacent.

    Args:
        state: State of each step. (S,) int64
        start: First state of each group, and U at the end. (G + 1,) int64
        text: The texts. (U,)
    """

    state: Index
    start: Index
    text: Sequence[str]


@dataclass(frozen=True)
class Similarity:
    """Cosine similarities between the distinct states of each group, computed block by block.

    Args:
        states: The states.
        vectors: Their vectors, of length 1 or 0. (U, D) float64, dense or sparse
    """

    states: States
    vectors: Real | csr_array

    @cached_property
    def laid_out(self) -> dict[bool, object]:
        """Layouts of the similarities, for reuse; see `peer_rows.PeerRows.of`."""
        return {}

    @property
    def is_zero(self) -> Truth:
        """Mask of groups whose states all have the vector 0: similarities mean nothing. (G,)."""
        length = np.asarray(abs(self.vectors).sum(axis=1)).reshape(-1)
        return ~np.logical_or.reduceat(length > 0.0, self.states.start[:-1])

    def size(self, group: int) -> int:
        """n, the number of distinct states of a group."""
        return int(self.states.start[group + 1] - self.states.start[group])

    def block(self, group: int) -> Real:
        """Similarities of the n distinct states of a group. (n, n) float64.

        Those of the first groups are kept, as many as fit into `BLOCK_CACHE`, so another
        temperature costs none.
        """
        kept, size = self._kept, self.size(group)
        if group >= len(kept.is_made):
            return self._product(group, np.arange(size))
        block = kept.values[kept.start[group] :][: size**2].reshape(size, size)
        if not kept.is_made[group]:
            block[:] = self._product(group, np.arange(size))
            kept.is_made[group] = True
        return block

    def rows(self, group: int, states: Index) -> Real:
        """The rows of a block for some states, numbered from 0. (r, n) float64.

        A block that would not be kept is never formed as a whole.
        """
        if group < len(self._kept.is_made):
            return self.block(group)[states]
        return self._product(group, states)

    def entries(self, states: Index) -> Real:
        """The rows of some states, one behind another.

        Args:
            states: States of the log, those of a group adjacent, groups in order. (r,) int64

        Returns:
            (E,) float64, E the sum of the sizes of the states' groups; the caller's own.
        """
        kept, start = self._kept, self.states.start
        group = np.searchsorted(start, states, side="right") - 1
        blocks = int(np.searchsorted(group, len(kept.is_made)))
        numbers = np.unique(group[:blocks])
        # One block is small: several threads would wait for each other.
        with threadpool_limits(limits=1, user_api="blas"):
            for number in numbers[~kept.is_made[numbers]].tolist():
                self.block(number)
            parts = [kept.rows(states[:blocks] - start[group[:blocks]], group[:blocks])]
            others, begins = np.unique(group[blocks:], return_index=True)
            for number, here in zip(
                others.tolist(), np.split(states[blocks:], begins[1:]), strict=False
            ):
                parts.append(self._product(number, here - start[number]).reshape(-1))
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    @cached_property
    def _kept(self) -> _Blocks:
        size = np.diff(self.states.start)
        end = np.cumsum(size**2)
        blocks = int(np.searchsorted(end, BLOCK_CACHE, side="right"))
        values = np.empty(int(end[blocks - 1]) if blocks else 0)
        return _Blocks(values, end - size**2, size, np.zeros(blocks, dtype=bool))

    def _product(self, group: int, states: Index) -> Real:
        first, last = int(self.states.start[group]), int(self.states.start[group + 1])
        if not isinstance(self.vectors, csr_array):
            return np.asarray(self.vectors[first + states] @ self.vectors[first:last].T)
        dense = _dense(self.vectors, first, last)
        if dense is not None:
            return np.asarray(dense[states] @ dense.T)
        return np.asarray((self.vectors[first + states] @ self.vectors[first:last].T).toarray())


@dataclass(frozen=True)
class _Blocks:
    """Blocks of the first groups, one behind another.

    Args:
        values: Their entries.
        start: First entry of each group's block. (G,) int64
        size: Rows of each group's block. (G,) int64
        is_made: Whether the entries are there. As long as there are blocks in `values`.
    """

    values: Real
    start: Index
    size: Index
    is_made: Truth

    def rows(self, states: Index, group: Index) -> Real:
        """Rows of blocks, one behind another: of states numbered from 0 in their group."""
        size = self.size[group]
        first = self.start[group] + states * size
        end = np.cumsum(size)
        shift = first - end + size
        entries = int(end[-1]) if len(end) else 0
        if entries and (shift == shift[0]).all():
            return self.values[first[0] : first[0] + entries].copy()
        return np.asarray(self.values[np.repeat(shift, size) + np.arange(entries)])


def _dense(vectors: csr_array, first: int, last: int) -> Real | None:
    """Rows of a sparse matrix as far as they have columns; None where that were too large."""
    start = vectors.indptr[first : last + 1]
    column = vectors.indices[start[0] : start[-1]]
    width = int(column.max(initial=0)) + 1
    if (last - first) * width > DENSE:
        return None
    dense = np.zeros((last - first, width))
    row = np.repeat(np.arange(last - first), np.diff(start))
    dense[row, column] = vectors.data[start[0] : start[-1]]
    return dense
