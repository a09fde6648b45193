"""Expectation of a step's return from its peers: kernel regression inside a group.

It is exact and block-diagonal: only similarities of distinct states of one group are ever formed,
with counts in place of repetitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.log.steps import Index, Real, Steps, Truth
from workbench.states.peer_rows import WITH_OWN, PeerRows, PeerRule, parts
from workbench.states.similarity import Similarity
from workbench.states.temperatures import exponentials


def proximity_baselines(
    similarity: Similarity,
    steps: Steps,
    value: Real,
    weight: Real,
    *,
    temperatures: Sequence[float],
    peers: PeerRule,
) -> tuple[Real, Truth]:
    """Softmax-weighted means of the values of a step's peers in its group, at K temperatures.

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
        temperatures: τ > 0, one that is half another costs no exponential. (K,)
        peers: Which steps are averaged.

    Returns:
        Baselines (K, S) float64, 0 for a step without peers, and whether a step has peers (S,).
    """
    baseline = np.zeros((len(temperatures), len(steps)))
    has_peers = np.zeros(len(steps), dtype=bool)
    peer_rows = PeerRows.of(similarity, steps, weight, peers)
    amount = peer_rows.of_peers(weight * value)
    for rows in peer_rows.chunks():
        total = rows.sums(amount)
        has_peers[rows.members] = rows.found[rows.row]
        for k, near in exponentials(rows.gap, temperatures):
            mean = rows.sum(near * total) / np.where(rows.found, rows.sum(near * rows.count), 1.0)
            baseline[k, rows.members] = mean[rows.row]
    return baseline, has_peers


@dataclass(frozen=True, kw_only=True)
class PeerStatistics:
    """Statistics of every step's peer weights, at K temperatures; 0 without peers.

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
    peer_rows = PeerRows.of(similarity, steps, weight, peers, by_trajectory=True)
    square = peer_rows.of_peers(weight**2)
    of_trajectory = peer_rows.of_own_trajectory(weight)
    self_is_peer = weight * (peers in WITH_OWN)
    for rows in peer_rows.chunks():
        members, row = rows.members, rows.row
        squares, of_own = rows.sums(square), rows.sums(of_trajectory)
        itself = rows.place(similarity.states.state[members])
        for k, near in exponentials(rows.gap, temperatures):
            sum_ = np.where(rows.found, rows.sum(near * rows.count), 1.0)
            own[k, members] = self_is_peer[members] * near[itself] / sum_[row]
            trajectory[k, members] = (rows.sum(near * of_own) / sum_)[row]
            square_sum = np.where(rows.found, rows.sum(near * near * squares), 1.0)
            effective[k, members] = (rows.found * sum_**2 / square_sum)[row]
    return PeerStatistics(own_step=own, own_trajectory=trajectory, effective=effective)


def peer_weights(
    similarity: Similarity,
    steps: Steps,
    weight: Real,
    step: int,
    *,
    temperature: float,
    peers: PeerRule,
) -> tuple[Index, Real, Real]:
    """The peers of one step, the weights that the baseline gives them, the similarities.

    Returns:
        Steps (K,) int64, weights (K,) float64 that sum to 1, similarities (K,) float64.
    """
    group = int(steps.group[step])
    here = slice(int(steps.group_start[group]), int(steps.group_start[group + 1]))
    part = parts(steps, peers)
    same = part[here] == part[step]
    among = same if peers in WITH_OWN else ~same
    at = np.flatnonzero(among & (weight[here] > 0))
    state = similarity.states.state[here] - similarity.states.start[group]
    near = similarity.rows(group, state[step - here.start : step - here.start + 1])[0][state[at]]
    if not len(at):
        return at, near, near
    share = weight[here][at] * np.exp((near - near.max()) / temperature)
    return at + here.start, share / share.sum(), near
