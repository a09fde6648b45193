"""Adaptive kernel over states: a bandwidth per state, from how many steps are near."""

from __future__ import annotations

import numpy as np

from workbench.log.steps import Real

SAME = 1e-12  # cosines that differ by no more are the same
CHUNK = 1_000_000  # similarities worked on at a time
TOLERANCE = 1e-9  # of the log of the effective number
ROUNDS = 60
FAR = 40.0  # bandwidths away from the nearest, where a weight, e^-40, is nothing


def near_weights(similarity: Real, evidence: Real, neighbours: float) -> Real:
    """Weights of n states for each of r states, the nearest with evidence weighing 1.

        w_ij = e^((s_ij − max_j s_ij) / τ_i)        τ_i such that  n_i = neighbours
        n_i  = (Σ_j m_j w_ij)² / Σ_j m_j w_ij²      where m_j steps are in state j

    n_i is how many equally weighted steps average as much as those near state i (Kish). Another
    unit or origin of the similarities gives the same weights, so that a number of neighbours means
    the same under every embedder, in a dense and in a sparse part of a group.

    Degenerate cases: where at least that many steps are in the nearest states, these alone count
    (τ → 0); where no more are known at all, all count 1 (τ → ∞); a state without evidence counts 0.

    Args:
        similarity: Cosines between states. (r, n) float64
        evidence: m, steps that count in each state. (n,) float64
        neighbours: At least 1.

    Returns:
        (r, n) float64, in [0, 1].

    Source: Kish, Survey Sampling, 1965, on n_i; van der Maaten and Hinton, Visualizing Data using
    t-SNE, JMLR 9, 2008, on bandwidths that give each point as many neighbours.
    """
    weight = np.zeros_like(similarity)
    known = evidence > 0
    if not known.any():
        return weight
    rows = max(1, CHUNK // len(evidence))
    for first in range(0, len(similarity), rows):
        near = similarity[first : first + rows, known]
        distance = near.max(axis=1, keepdims=True) - near
        distance[distance <= SAME] = 0.0
        weight[first : first + rows, known] = _weights(distance, evidence[known], neighbours)
    return weight


def _weights(distance: Real, evidence: Real, neighbours: float) -> Real:
    """The same for distances whose least is 0 in each row, and evidence above 0."""
    if neighbours >= evidence.sum():
        return np.ones_like(distance)
    nearest = distance == 0.0
    open_ = nearest @ evidence < neighbours
    weight: Real = nearest.astype(np.float64)
    if open_.any():
        gap = distance[open_]
        weight[open_] = np.exp(-_rates(gap, evidence, neighbours)[:, None] * gap)
    return weight


def _rates(distance: Real, evidence: Real, neighbours: float) -> Real:
    """1/τ of each row, of which the effective number is a falling function. (r,) float64.

    Newton's method on the logarithms of both, with the middle of what is known to hold the solution
    wherever a step leaves that or does not halve the error.
    """
    least = np.where(distance > 0, distance, np.inf).min(axis=1)
    low, high = np.log(1e-6 / distance.max(axis=1)), np.log(FAR / least)
    place = np.clip(-np.log(distance @ evidence / evidence.sum()), low, high)
    error = np.full(len(distance), np.inf)
    for _ in range(ROUNDS):
        rate = np.exp(place)
        weight = np.exp(-rate[:, None] * distance)
        square = weight**2
        sums, squares = weight @ evidence, square @ evidence
        before, error = error, 2.0 * np.log(sums) - np.log(squares) - np.log(neighbours)
        if (np.abs(error) <= TOLERANCE).all():
            break
        low, high = np.where(error > 0, place, low), np.where(error > 0, high, place)
        mean = (weight * distance) @ evidence / sums
        slope = 2.0 * rate * (mean - (square * distance) @ evidence / squares)
        step = place + error / np.where(slope > 0, slope, np.inf)
        taken = (step > low) & (step < high) & (np.abs(error) <= 0.5 * np.abs(before))
        moved = np.where(taken, step, 0.5 * (low + high))
        place = np.where(np.abs(error) <= TOLERANCE, place, moved)
    return np.asarray(np.exp(place))
