"""Finite tabular decision processes and the exact values of a policy on them.

States, actions of a state and outcomes of an action are dense integers, so that a whole backward
pass over a few ten thousand states is a handful of array operations per time step. A *pair* is
one admissible action of one state; the pairs of a state are adjacent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

END = -1
"""The `next_state` of an outcome after which the episode is over; its value is zero."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """The transitions of one task: Z states, P pairs, at most K outcomes a pair.

    Args:
        offsets: State z owns the pairs offsets[z] to offsets[z + 1]. (Z + 1,) int64.
        action: What the pair does, as an index into the task's action texts. (P,) int64.
        next_state: State after each outcome, or `END`. (P, K) int64.
        probability: Of each outcome; zero where a pair has fewer than K. (P, K) float64.
        reward: Paid with each outcome. (P, K) float64.

    Raises:
        ValueError: A state has no action, a row of probabilities does not sum to one, or a next
            state does not exist.
    """

    offsets: IntArray
    action: IntArray
    next_state: IntArray
    probability: FloatArray
    reward: FloatArray

    def __post_init__(self) -> None:
        """Refuse tables on which the backward pass would silently give wrong numbers."""
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.action):
            raise ValueError("offsets must run from 0 to the number of pairs")
        if np.any(np.diff(self.offsets) < 1):
            raise ValueError("every state needs at least one action")
        if not self.next_state.shape == self.probability.shape == self.reward.shape:
            raise ValueError("next_state, probability and reward must have one shape")
        if np.any(self.probability < 0) or not np.allclose(self.probability.sum(axis=1), 1.0):
            raise ValueError("the outcome probabilities of a pair must sum to 1")
        if np.any((self.next_state < END) | (self.next_state >= self.states)):
            raise ValueError(f"next_state must be in [{END}, {self.states - 1}]")

    @property
    def states(self) -> int:
        """Number of states Z."""
        return len(self.offsets) - 1

    @cached_property
    def running(self) -> FloatArray:
        """Running sum of the probabilities of each pair's outcomes. (P, K)."""
        return np.cumsum(self.probability, axis=1)

    def pairs_of(self, state: int) -> slice:
        """Slice of the pairs of a state."""
        return slice(int(self.offsets[state]), int(self.offsets[state + 1]))

    def state_of(self, pair: int) -> int:
        """The state that owns a pair."""
        return int(np.searchsorted(self.offsets, pair, side="right")) - 1


def action_values(
    model: Model, next_value: FloatArray, *, gamma: float, pairs: slice = slice(None)
) -> FloatArray:
    """Value of each action, given the values of the states one time step later.

        Q_t(s, a) = Σ_k p_k · (r_k + γ · V_{t+1}(s'_k)),   V(END) = 0

    Args:
        model: The task's transitions.
        next_value: V_{t+1}; zeros at the horizon. (Z,) float64.
        gamma: Discount per step, in [0, 1].
        pairs: Which pairs are wanted; all by default.

    Returns:
        (P,) float64, or as many as `pairs` selects.
    """
    # END is -1, so the appended zero is what an outcome that ends the episode looks up.
    future = np.append(next_value, 0.0)[model.next_state[pairs]]
    expected: FloatArray = np.einsum(
        "pk,pk->p", model.probability[pairs], model.reward[pairs] + gamma * future
    )
    return expected


def policy_values(model: Model, policy: FloatArray, *, horizon: int, gamma: float) -> FloatArray:
    """Exact value of a policy at every state and time, by backward induction.

        V_t(s) = Σ_a π_t(a | s) · Q_t(s, a),   V_H(s) = 0

    The horizon cuts the episode off: nothing is earned after it. With `gamma` 1 and a reward of 1
    for a success this is the probability to succeed in the H - t steps that are left.

    Args:
        model: The task's transitions.
        policy: π(a | s) of each pair, the same at all times, or one row a time step.
            (P,) or (H, P) float64.
        horizon: Number of steps H after which an episode is cut off; 0 gives zeros only.
        gamma: Discount per step, in [0, 1].

    Returns:
        V_t(s) in row t; the last row is zero. (H + 1, Z) float64.

    Raises:
        ValueError: The policy does not sum to one in every state.

    Source:
        Sutton and Barto, Reinforcement Learning, 2nd edition, section 4.1 (policy evaluation).
    """
    probability = np.broadcast_to(policy, (horizon, len(model.action)))
    value = np.zeros((horizon + 1, model.states))
    for time in reversed(range(horizon)):
        if not np.allclose(np.add.reduceat(probability[time], model.offsets[:-1]), 1.0):
            raise ValueError(f"the policy does not sum to 1 in every state at time {time}")
        quality = action_values(model, value[time + 1], gamma=gamma)
        value[time] = np.add.reduceat(probability[time] * quality, model.offsets[:-1])
    return value


def progress_reward(
    solved: BoolArray, before: FloatArray, after: FloatArray, milestones: float
) -> FloatArray:
    """Pays for a solved task and, on the way, for progress; what is undone is taken back.

        r = (1 - m) · solved + m · (φ' - φ)

    With φ from 0 at the start to 1 at the solution the rewards of an episode sum to 1 if it ends
    solved, and to m · φ of its last state if not.

    Args:
        solved: Whether the outcome solves the task. Any shape, bool.
        before: φ of the state before. The same shape, float64.
        after: φ of the state after; 1 where solved. The same shape, float64.
        milestones: m in [0, 1]; 0 pays at the end only.

    Returns:
        The same shape, float64.
    """
    paid: FloatArray = (1.0 - milestones) * solved + milestones * (after - before)
    return paid


def mixed_policy(model: Model, best: BoolArray, skill: float) -> FloatArray:
    """A mixture of good choice and blind choice.

        π(a | s) = k · [a ∈ B(s)] / |B(s)| + (1 - k) / |A(s)|

    Args:
        model: The task's transitions.
        best: Whether each pair is in B, at least one of every state. (P,) bool.
        skill: k in [0, 1].

    Returns:
        Sums to one over the pairs of each state. (P,) float64.
    """
    choices = np.diff(model.offsets)
    ties = np.add.reduceat(best.astype(np.float64), model.offsets[:-1])
    mixed: FloatArray = skill * best / np.repeat(ties, choices)
    return mixed + (1.0 - skill) / np.repeat(choices, choices)


def state_visits(model: Model, policy: FloatArray, *, start: int, horizon: int) -> FloatArray:
    """Probability to be in each state at each time, by forward induction.

        d_0(s) = [s = start],   d_{t+1}(s') = Σ_s d_t(s) Σ_a π(a | s) · P(s' | s, a)

    Args:
        model: The task's transitions.
        policy: π(a | s) of each pair. (P,) float64.
        start: Where every episode begins.
        horizon: Number of steps H.

    Returns:
        d_t(s) in row t; a row sums to the probability that the episode still goes on.
        (H, Z) float64.
    """
    owner = np.repeat(np.arange(model.states), np.diff(model.offsets))
    # END is -1, so the one bin more at the front collects what has ended.
    bins = model.next_state.ravel() + 1
    chance = policy[:, None] * model.probability
    visits = np.zeros((horizon, model.states))
    visits[0, start] = 1.0
    for time in range(1, horizon):
        mass = (visits[time - 1, owner][:, None] * chance).ravel()
        visits[time] = np.bincount(bins, weights=mass, minlength=model.states + 1)[1:]
    return visits


def policy_gradient(
    model: Model, policy: FloatArray, *, start: int, horizon: int, gamma: float
) -> FloatArray:
    """Exact gradient of the expected return by the logits of a tabular softmax policy.

        ∂J/∂θ(s, a) = Σ_t γ^t · d_t(s) · π(a | s) · (Q_t(s, a) - V_t(s)),   π = softmax of θ(s, ·)

    Args:
        model: The task's transitions.
        policy: π(a | s) of each pair. (P,) float64.
        start: Where every episode begins.
        horizon: Number of steps H after which an episode is cut off.
        gamma: Discount per step, in [0, 1].

    Returns:
        (P,) float64; sums to 0 over the pairs of each state.

    Source:
        Sutton et al., Policy Gradient Methods for Reinforcement Learning with Function
        Approximation, 1999, theorem 1.
    """
    value = policy_values(model, policy, horizon=horizon, gamma=gamma)
    visits = state_visits(model, policy, start=start, horizon=horizon)
    owner = np.repeat(np.arange(model.states), np.diff(model.offsets))
    gradient = np.zeros(len(policy))
    for time in range(horizon):
        quality = action_values(model, value[time + 1], gamma=gamma)
        gradient += gamma**time * visits[time, owner] * (quality - value[time, owner])
    return policy * gradient


def steps_to_end(model: Model) -> FloatArray:
    """Fewest steps to the end of the episode after each pair, itself included.

        d(s, a) = 1 + min_b d(s', b),   d = 1 where the pair ends the episode

    s' is the pair's most probable outcome, the first one among equals. An expert that takes the
    pairs of least d is optimal where every outcome but that one leaves the state as it was.

    Args:
        model: The task's transitions.

    Returns:
        Infinite where no path leads to the end. (P,) float64.
    """
    rows = np.arange(len(model.action))
    target = model.next_state[rows, model.probability.argmax(axis=1)]
    best = np.full(model.states, np.inf)
    while True:
        distance: FloatArray = 1.0 + np.append(best, 0.0)[target]
        shorter = np.minimum.reduceat(distance, model.offsets[:-1])
        if np.array_equal(shorter, best):
            return distance
        best = shorter


def sampled_returns(
    model: Model,
    policy: FloatArray,
    *,
    state: int,
    steps: int,
    gamma: float,
    samples: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Discounted returns of many independent episodes from one state: the check of exact values.

    Args:
        model: The task's transitions.
        policy: π(a | s) of each pair. (P,) float64.
        state: Where every episode begins.
        steps: Steps left until the horizon; 0 gives zeros.
        gamma: Discount per step, in [0, 1].
        samples: Number of episodes.
        rng: Source of all randomness.

    Returns:
        (samples,) float64.
    """
    # The policy sums to one in each state, so the running sum over all pairs passes z at the
    # first pair of state z: one search draws the actions of all episodes at once.
    running = np.cumsum(policy)
    returns = np.zeros(samples)
    alive = np.arange(samples)
    current = np.full(samples, state, dtype=np.int64)
    for step in range(steps):
        drawn = np.searchsorted(running, current + rng.random(len(alive)), side="right")
        pair = np.clip(drawn, model.offsets[current], model.offsets[current + 1] - 1)
        outcome = (rng.random(len(alive))[:, None] >= model.running[pair, :-1]).sum(axis=1)
        returns[alive] += gamma**step * model.reward[pair, outcome]
        current = model.next_state[pair, outcome]
        alive, current = alive[current != END], current[current != END]
    return returns
