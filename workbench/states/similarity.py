"""Cosine similarities of the states inside each group, kept block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from workbench.log.steps import Index, Real, Truth

BLOCK_CACHE = 64_000_000  # float64 similarities kept for the next temperature: 512 MB


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
    _blocks: dict[int, Real] = field(default_factory=dict, repr=False, compare=False)
    _kept: list[int] = field(default_factory=lambda: [0], repr=False, compare=False)

    @property
    def is_zero(self) -> Truth:
        """Whether no state of a group has a vector other than 0: similarities say nothing. (G,)."""
        length = np.asarray(abs(self.vectors).sum(axis=1)).reshape(-1)
        return ~np.logical_or.reduceat(length > 0.0, self.states.start[:-1])

    def size(self, group: int) -> int:
        """n, the number of distinct states of a group."""
        return int(self.states.start[group + 1] - self.states.start[group])

    def block(self, group: int) -> Real:
        """Similarities of the n distinct states of a group. (n, n) float64.

        Blocks are kept while they fit into `BLOCK_CACHE`, so another temperature costs none.
        """
        if group in self._blocks:
            return self._blocks[group]
        block = self._product(group, np.arange(self.size(group)))
        if self._fits(group):
            self._blocks[group] = block
            self._kept[0] += block.size
        return block

    def rows(self, group: int, states: Index) -> Real:
        """The rows of a block for some states, numbered from 0. (r, n) float64.

        A block that would not be kept is never formed as a whole.
        """
        if group in self._blocks or self._fits(group):
            return self.block(group)[states]
        return self._product(group, states)

    def _fits(self, group: int) -> bool:
        return self._kept[0] + self.size(group) ** 2 <= BLOCK_CACHE

    def _product(self, group: int, states: Index) -> Real:
        first, last = self.states.start[group], self.states.start[group + 1]
        product = self.vectors[first + states] @ self.vectors[first:last].T
        return product.toarray() if isinstance(product, csr_array) else np.asarray(product)
