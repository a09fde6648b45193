"""How near the steps of a group are to each other, and what is expected of a step from its peers.

The proximity baseline is a kernel regression inside a group, exact and block-diagonal: only
similarities of distinct states of one group are ever formed, with counts in place of repetitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.states.similarity import Similarity
from workbench.states.temperatures import exponentials

PeerRule = Literal["all", "other_steps", "other_trajectories", "same_step"]

CHUNK = 4_000_000  # entries of one array of weights in flight: 32 MB


@dataclass(frozen=True)
class _Group:
    """One group's part of a log, steps, states and trajectories numbered from 0."""

    steps: slice
    state: Index
    trajectory: Index
    step_index: Index
    number: int
    similarity: Similarity

    @property
    def states(self) -> int:
        return self.similarity.size(self.number)

    def near(self, states: Index) -> Real:
        return self.similarity.rows(self.number, states)


def _group(similarity: Similarity, steps: Steps, group: int) -> _Group:
    here = slice(int(steps.group_start[group]), int(steps.group_start[group + 1]))
    trajectory = steps.trajectory[here]
    return _Group(
        steps=here,
        state=similarity.states.state[here] - similarity.states.start[group],
        trajectory=trajectory - trajectory[0],
        step_index=steps.step_index[here],
        number=group,
        similarity=similarity,
    )


def proximity_baseline(
    similarity: Similarity,
    steps: Steps,
    value: Real,
    weight: Real,
    *,
    temperature: float,
    peers: PeerRule,
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
    baselines, has_peers = proximity_baselines(
        similarity, steps, value, weight, temperatures=(temperature,), peers=peers
    )
    return baselines[0], has_peers


def proximity_baselines(
    similarity: Similarity,
    steps: Steps,
    value: Real,
    weight: Real,
    *,
    temperatures: Sequence[float],
    peers: PeerRule,
) -> tuple[Real, Truth]:
    """`proximity_baseline` at K temperatures; one that is half another costs no exponential.

    Returns:
        Baselines (K, S) float64, and whether a step has peers (S,).
    """
    baseline = np.zeros((len(temperatures), len(steps)))
    has_peers = np.zeros(len(steps), dtype=bool)
    with threadpool_limits(limits=1, user_api="blas"):
        for number in range(steps.groups):
            group = _group(similarity, steps, number)
            here = group.steps
            for rows in _rows(group, weight[here], peers):
                count, total = rows.count, rows.sums(weight[here] * value[here])
                at = here.start + rows.members
                has_peers[at] = rows.found[rows.row]
                for k, near in exponentials(rows.gap, temperatures):
                    mean = _row_sum(near, total) / np.where(rows.found, _row_sum(near, count), 1.0)
                    baseline[k, at] = mean[rows.row]
    return baseline, has_peers


@dataclass(frozen=True, kw_only=True)
class PeerStatistics:
    """What the weights of every step's peers look like, at K temperatures; 0 without peers.

    Args:
        own_step: Weight of the step itself among its peers. (K, S) float64
        own_trajectory: Weight of the steps of its trajectory, itself included. (K, S) float64
        effective: 1 / Σ w², the number of equally weighted peers that average as much. (K, S)
    """

    own_step: Real
    own_trajectory: Real
    effective: Real


def peer_statistics(
    similarity: Similarity,
    steps: Steps,
    weight: Real,
    *,
    temperatures: Sequence[float],
    peers: PeerRule,
) -> PeerStatistics:
    """Statistics of the weights of `peer_weights`; arguments as for `proximity_baselines`."""
    own, trajectory, effective = np.zeros((3, len(temperatures), len(steps)))
    with threadpool_limits(limits=1, user_api="blas"):
        for number in range(steps.groups):
            group = _group(similarity, steps, number)
            here = group.steps
            for rows in _rows(group, weight[here], peers, by_trajectory=True):
                members, row = rows.members, rows.row
                of_trajectory, square = rows.own_sums(weight[here]), rows.sums(weight[here] ** 2)
                self_is_peer = weight[here][members] * (peers in ("all", "same_step"))
                at = here.start + members
                for k, near in exponentials(rows.gap, temperatures):
                    sum_ = np.where(rows.found, _row_sum(near, rows.count), 1.0)
                    itself = near[row, group.state[members]]
                    own[k, at] = self_is_peer * itself / sum_[row]
                    trajectory[k, at] = (_row_sum(near, of_trajectory) / sum_)[row]
                    squares = np.where(rows.found, _row_sum(near * near, square), 1.0)
                    effective[k, at] = (rows.found * sum_**2 / squares)[row]
    return PeerStatistics(own_step=own, own_trajectory=trajectory, effective=effective)


@dataclass(frozen=True)
class _Rows:
    """A chunk of a group's softmaxes: steps with the same state and the same peers share a row.

    Args:
        group: The group.
        peers: Which steps are peers.
        members: Steps of the group that are in this chunk, and the row of each. (c,), (c,)
        row: See `members`.
        part: What of the group the peers of a row leave out, or are. (r,) int64
        trajectory: Trajectory of a row, if rows are of one. (r,) int64
        count: Weight of a row's peers in each state. (r, n) float64
        gap: Similarity less the largest among the row's peers; -inf where no peer is. (r, n)
        found: Whether a row has peers. (r,) bool
    """

    group: _Group
    peers: PeerRule
    members: Index
    row: Index
    part: Index
    trajectory: Index
    count: Real
    gap: Real
    found: Truth

    def sums(self, amount: Real) -> Real:
        """Sum of the peers' amounts (m,) in each state. (r, n); exactly 0 where no peer is."""
        return _peer_sums(self.group, amount, self.part, self.peers) * (self.count > 0)

    def own_sums(self, amount: Real) -> Real:
        """The same for peers that are in the row's own trajectory."""
        group = self.group
        part = _part(group, self.peers)
        both = group.trajectory * (part.max() + 1) + part
        wanted = self.trajectory * (part.max() + 1) + self.part
        same_part = _sums_by(group, amount, both, wanted)
        if self.peers in ("all", "same_step"):
            return same_part
        return _sums_by(group, amount, group.trajectory, self.trajectory) - same_part


def _rows(
    group: _Group, weight: Real, peers: PeerRule, *, by_trajectory: bool = False
) -> Iterator[_Rows]:
    """The rows of a group in chunks; `by_trajectory` keeps those of two trajectories apart."""
    part = _part(group, peers)
    trajectory = group.trajectory if by_trajectory else np.zeros_like(part)
    parts = int(part.max()) + 1
    key = (trajectory * parts + part) * group.states + group.state
    distinct, row = np.unique(key, return_inverse=True)
    chunk = max(1, CHUNK // group.states)
    for first in range(0, len(distinct), chunk):
        rest, state = np.divmod(distinct[first : first + chunk], group.states)
        of_trajectory, of_part = np.divmod(rest, parts)
        count = _peer_sums(group, weight, of_part, peers)
        near = np.where(count > 0, group.near(state), -np.inf)
        found = np.asarray((count > 0).any(axis=1))
        near[~found] = 0.0
        near -= near.max(axis=1, keepdims=True)
        members = np.flatnonzero((row >= first) & (row < first + chunk))
        yield _Rows(
            group, peers, members, row[members] - first, of_part, of_trajectory, count, near, found
        )


def _peer_sums(group: _Group, amount: Real, part: Index, peers: PeerRule) -> Real:
    """Sum of the amounts of each row's peers in each state, from the row's part. (r, n)."""
    of_part = _sums_by(group, amount, _part(group, peers), part)
    if peers in ("all", "same_step"):
        return of_part
    return segment_sum(amount, group.state, group.states) - of_part


def _sums_by(group: _Group, amount: Real, part: Index, wanted: Index) -> Real:
    """Sum of amounts by part of the group and by state, for the parts wanted. (r, n)."""
    shape = (int(part.max()) + 1, group.states)
    if shape[0] * shape[1] > CHUNK:
        sparse = csr_array((amount, (part, group.state)), shape=shape)
        return np.asarray(sparse[wanted].toarray())
    flat = segment_sum(amount, part * group.states + group.state, shape[0] * shape[1])
    return flat.reshape(shape)[wanted]


def _part(group: _Group, peers: PeerRule) -> Index:
    """What of the group a step's peers leave out, or for `all` and `same_step` are. (m,) int64."""
    if peers == "other_steps":
        return np.arange(len(group.state))
    if peers == "other_trajectories":
        return group.trajectory
    if peers == "same_step":
        return group.step_index
    return np.zeros_like(group.state)


def _row_sum(left: Real, right: Real) -> Real:
    """Σ_b left_ab · right_ab. (r,)."""
    return np.asarray(np.einsum("ab,ab->a", left, right))


def peer_weights(
    similarity: Similarity,
    steps: Steps,
    weight: Real,
    step: int,
    *,
    temperature: float,
    peers: PeerRule,
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
    near = group.near(group.state[local : local + 1])[0][group.state[at]]
    if not len(at):
        return at, near, near
    share = weight[group.steps][at] * np.exp((near - near.max()) / temperature)
    return at + group.steps.start, share / share.sum(), near
