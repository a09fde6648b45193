"""How near steps are to each other: similarity blocks inside groups, an index across them.

Inside a group the proximity baseline is a kernel regression, exact and block-diagonal: only
similarities of distinct states of one group are ever formed, with counts in place of repetitions.
FAISS serves what crosses groups: the nearest steps anywhere in the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from workbench.errors import ArtefactError
from workbench.returns import segment_sum
from workbench.steps import Index, Real, Steps, Truth

Peers = Literal["all", "other_steps", "other_trajectories", "same_step"]

BLOCK_CACHE = 64_000_000  # float64 similarities kept for the next temperature: 512 MB
CHUNK = 4_000_000  # entries of one array of weights in flight: 32 MB


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

    @property
    def is_zero(self) -> bool:
        """Whether no state has a vector other than 0, so that no similarity says anything."""
        return not abs(self.vectors).max() > 0.0

    def block(self, group: int) -> Real:
        """Similarities of the n distinct states of a group. (n, n) float64.

        Blocks are kept while they fit into `BLOCK_CACHE`, so another temperature costs none.
        """
        if group in self._blocks:
            return self._blocks[group]
        first, last = self.states.start[group], self.states.start[group + 1]
        vectors = self.vectors[first:last]
        product = vectors @ vectors.T
        block: Real = product.toarray() if isinstance(product, csr_array) else product
        if sum(kept.size for kept in self._blocks.values()) + block.size <= BLOCK_CACHE:
            self._blocks[group] = block
        return block


@dataclass(frozen=True)
class _Group:
    """One group's part of a log, steps, states and trajectories numbered from 0."""

    steps: slice
    state: Index
    trajectory: Index
    step_index: Index
    similarity: Real

    @property
    def states(self) -> int:
        return len(self.similarity)


def _group(similarity: Similarity, steps: Steps, group: int) -> _Group:
    here = slice(int(steps.group_start[group]), int(steps.group_start[group + 1]))
    trajectory = steps.trajectory[here]
    return _Group(
        steps=here,
        state=similarity.states.state[here] - similarity.states.start[group],
        trajectory=trajectory - trajectory[0],
        step_index=steps.step_index[here],
        similarity=similarity.block(group),
    )


def proximity_baseline(
    similarity: Similarity,
    steps: Steps,
    value: Real,
    weight: Real,
    *,
    temperature: float,
    peers: Peers,
) -> tuple[Real, Truth]:
    """Softmax-weighted mean of the values of a step's peers in its group.

        B_i = Σ_j softmax_j(sim_ij / τ) · x_j        over the peers j of i

    A peer's weight multiplies its exponential, so a step of weight 2 counts as two, one of weight 0
    not at all. The peers are all steps of the group (`all`), all but the step itself
    (`other_steps`), those of other trajectories (`other_trajectories`), or those at the same step
    index, the step included (`same_step`).

    Args:
        similarity: Similarities of the steps' states.
        steps: The steps.
        value: x, what is averaged. (S,) float64
        weight: How often each step counts; whole numbers. (S,) float64
        temperature: τ > 0.
        peers: Which steps are averaged.

    Returns:
        The baseline (S,) float64, 0 for a step without peers, and whether a step has peers (S,).
    """
    baseline = np.zeros(len(steps))
    has_peers = np.zeros(len(steps), dtype=bool)
    with threadpool_limits(limits=1, user_api="blas"):
        for number in range(steps.groups):
            group = _group(similarity, steps, number)
            here = group.steps
            for rows, mean, found in _group_baseline(
                group, value[here], weight[here], temperature, peers
            ):
                at = np.arange(here.start, here.stop)[rows]
                baseline[at], has_peers[at] = mean, found
    return baseline, has_peers


def _group_baseline(
    group: _Group, value: Real, weight: Real, temperature: float, peers: Peers
) -> Iterator[tuple[Index, Real, Truth]]:
    """Baselines of a group's steps in chunks: which steps, their means, whether they have peers.

    Steps that share a state and what is left out (or, for `same_step`, kept) share a row.
    """
    part = _part(group, peers)
    pair, row = np.unique(part * group.states + group.state, return_inverse=True)
    state, part_of_row = pair % group.states, pair // group.states
    shape = (int(part.max()) + 1, group.states)
    named = weight if peers != "all" else np.zeros_like(weight)
    part_count = csr_array((named, (part, group.state)), shape=shape)
    part_total = csr_array((named * value, (part, group.state)), shape=shape)
    count = segment_sum(weight, group.state, group.states)
    total = segment_sum(weight * value, group.state, group.states)
    chunk = max(1, CHUNK // group.states)
    for first in range(0, len(state), chunk):
        rows = slice(first, first + chunk)
        kept_count = part_count[part_of_row[rows]].toarray()
        kept_total = part_total[part_of_row[rows]].toarray()
        if peers != "same_step":
            kept_count, kept_total = count - kept_count, total - kept_total
        logit = group.similarity[state[rows]] / temperature
        mean, found = _soft_mean(logit, kept_count, kept_total)
        members = np.flatnonzero((row >= first) & (row < first + chunk))
        yield members, mean[row[members] - first], found[row[members] - first]


def _part(group: _Group, peers: Peers) -> Index:
    """What of the group a step's peers leave out, or for `same_step` are. (m,) int64."""
    if peers == "other_steps":
        return np.arange(len(group.state))
    if peers == "other_trajectories":
        return group.trajectory
    if peers == "same_step":
        return group.step_index
    return np.zeros_like(group.state)


def _soft_mean(logit: Real, count: Real, total: Real) -> tuple[Real, Truth]:
    """Σ_b e^{l_b} total_b / Σ_b e^{l_b} count_b by row, over states with a count. (r,) each."""
    logit = np.where(count > 0, logit, -np.inf)
    found = np.asarray(np.isfinite(logit).any(axis=1))
    logit[~found] = 0.0
    logit -= logit.max(axis=1, keepdims=True)
    np.exp(logit, out=logit)
    mean = (logit * total).sum(axis=1) / np.where(found, (logit * count).sum(axis=1), 1.0)
    return np.where(found, mean, 0.0), found


def peer_weights(
    similarity: Similarity,
    steps: Steps,
    weight: Real,
    step: int,
    *,
    temperature: float,
    peers: Peers,
) -> tuple[Index, Real, Real]:
    """The peers of one step, the weights that `proximity_baseline` gives them, the similarities.

    Returns:
        Steps (K,) int64, weights (K,) float64 that sum to 1, similarities (K,) float64.
    """
    group = _group(similarity, steps, int(steps.group[step]))
    local = step - group.steps.start
    part = _part(group, peers)
    same = part == part[local]
    among = same if peers == "same_step" else (~same if peers != "all" else np.ones_like(same))
    at = np.flatnonzero(among & (weight[group.steps] > 0))
    near = group.similarity[group.state[local], group.state[at]]
    if not len(at):
        return at, near, near
    share = weight[group.steps][at] * np.exp((near - near.max()) / temperature)
    return at + group.steps.start, share / share.sum(), near


class NeighbourIndex:
    """Exact nearest neighbours among the distinct states of a whole log, by FAISS.

    Args:
        vectors: One row a state, of length 1 or 0. (U, D)
    """

    def __init__(self, vectors: Real | csr_array) -> None:
        import faiss

        dense = vectors.toarray() if isinstance(vectors, csr_array) else vectors
        self._index: Any = faiss.IndexFlatIP(dense.shape[1])
        self._index.add(np.ascontiguousarray(dense, dtype=np.float32))

    def nearest(self, state: int, count: int) -> tuple[Index, Real]:
        """The `count` states nearest to a state, itself first, by cosine. (K,) int64, (K,).

        A state comes first even where another has the same vector, or its own is 0.
        """
        query = self._index.reconstruct(state)[None]
        near, at = self._index.search(query, min(count, self._index.ntotal))
        order = np.lexsort((at[0], -near[0]))
        others = order[at[0][order] != state][: len(order) - 1]
        found = np.concatenate([[state], at[0][others]])
        similarity = np.concatenate([query[0] @ query.T, near[0][others]])
        return found.astype(np.int64), similarity.astype(np.float64)

    def save(self, path: Path) -> None:
        """Writes the index in FAISS's own format."""
        import faiss

        faiss.write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path) -> NeighbourIndex:
        """Reads what `save` wrote.

        Raises:
            ArtefactError: FAISS cannot read the file.
        """
        import faiss

        index = cls.__new__(cls)
        try:
            index._index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ArtefactError(f"{path} is not a FAISS index: {error}") from error
        return index
