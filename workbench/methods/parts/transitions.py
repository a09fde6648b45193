"""Transition graph of a group: where each action led from a state, and its value.

The rollouts of a group are pooled into one empirical decision process. Its states and actions are
the labels of two keys; each step is one observed transition, from its state under its action to
the state of the next step, or to the end of its trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy.sparse import csc_array, identity

from workbench.log.credit import Term
from workbench.log.segments import segment_constant, segment_mean, segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.parts.anchor import anchor_term
from workbench.states.keys import labels

END = -1
"""The `next_state` of a step after which its trajectory is over."""


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """The observed transitions of a log, one per step; the states of a group are adjacent.

    Args:
        state: State of each step. (S,) int64
        pair: State and action of each step, as one number. (S,) int64
        next_state: State of the next step; `END` at the end of a trajectory. (S,) int64
        reward: What the step paid. (S,) float64
        weight: How often each step counts as evidence. (S,) float64
        group: Group of each step. (S,) int64
    """

    state: Index
    pair: Index
    next_state: Index
    reward: Real
    weight: Real
    group: Index

    @cached_property
    def states(self) -> int:
        """Number of states."""
        return int(self.state.max()) + 1

    @cached_property
    def pairs(self) -> int:
        """Number of pairs of state and action."""
        return int(self.pair.max()) + 1

    @cached_property
    def visits(self) -> Real:
        """Evidence per state. (states,) float64."""
        return segment_sum(self.weight, self.state, self.states)

    @cached_property
    def pair_visits(self) -> Real:
        """Evidence per pair. (pairs,) float64."""
        return segment_sum(self.weight, self.pair, self.pairs)

    @cached_property
    def actions(self) -> Index:
        """Distinct actions tried in each state. (states,) int64."""
        of_pair = np.zeros(self.pairs, dtype=np.int64)
        of_pair[self.pair] = self.state
        return np.bincount(of_pair[self.pair_visits > 0], minlength=self.states)

    def outcome(self, value: Real, discount: float) -> Real:
        """R + λ V(s') of each step, given the values of the states; V(END) = 0. (S,) float64."""
        return np.asarray(self.reward + discount * np.append(value, 0.0)[self.next_state])

    def state_mean(self, outcome: Real) -> Real:
        """Mean of a number per step over the evidence of each state; 0 without any. (states,)."""
        return segment_mean(outcome, self.state, self.states, self.weight)

    def pair_mean(self, outcome: Real) -> Real:
        """Mean over the evidence of each step's pair; its own number without any. (S,) float64."""
        mean = segment_mean(outcome, self.pair, self.pairs, self.weight)[self.pair]
        return np.where(self.pair_visits[self.pair] > 0, mean, outcome)

    def values(self, discount: float) -> Real:
        """Value of each state, backed up through the transitions of all rollouts.

            V(s) = mean over the steps in s of  r + λ V(s')        V(END) = 0

        One sparse linear system per group, solved exactly. As every trajectory that counts comes to
        its end, the system has one solution for each λ in [0, 1].

        Returns:
            (states,) float64; 0 for a state without evidence.
        """
        from scipy.sparse.linalg import splu

        known = self.visits > 0
        share = self.weight / np.where(known, self.visits, 1.0)[self.state]
        constant = segment_sum(share * self.reward, self.state, self.states)
        on = self.next_state != END
        places, shape = (self.state[on], self.next_state[on]), (self.states, self.states)
        moved = csc_array((share[on], places), shape=shape)
        system = csc_array(identity(self.states) - discount * moved)
        value = np.zeros(self.states)
        start = np.flatnonzero(np.diff(self.group, prepend=-1))
        edges = [*np.minimum.reduceat(self.state, start), self.states]
        # Building the blocks one by one, or by slices of `system`, takes longer than solving them.
        for first, last in pairwise(edges):
            column = system.indptr[first : last + 1]
            inside = slice(column[0], column[-1])
            parts = system.data[inside], system.indices[inside] - first, column - column[0]
            block = csc_array(parts, shape=(last - first, last - first))
            value[first:last] = splu(block).solve(constant[first:last])
        return value

    def values_to_depth(self, discount: float, returns: Real, depth: int) -> Real:
        """The same, backed up `depth` times from the mean return of each state. (states,)."""
        value = self.state_mean(returns)
        for _ in range(depth):
            value = self.state_mean(self.outcome(value, discount))
        return value


def next_states(steps: Steps, state: Index) -> Index:
    """State of the next step of the same trajectory; `END` where there is none. (S,) int64."""
    following = np.append(state[1:], END)
    following[last_steps(steps)] = END
    return following


def last_steps(steps: Steps) -> Truth:
    """Mask of the last steps of trajectories. (S,) bool."""
    last = np.zeros(len(steps), dtype=bool)
    last[steps.trajectory_start[1:] - 1] = True
    return last


def transitions(
    steps: Steps,
    state: Index,
    action: Index,
    *,
    reward: Real,
    truncated_as: Literal["failure", "bootstrap", "exclude"] = "failure",
) -> Transitions:
    """The transitions of a log.

    Args:
        steps: The steps.
        state: Label of each step's state. (S,)
        action: Label of each step's action. (S,)
        reward: What each step paid, in the unit wanted. (S,)
        truncated_as: What a trajectory that a limit cut off came to: its logged end ("failure"),
            its last state once more ("bootstrap"), or it is no evidence at all ("exclude").
    """
    following = next_states(steps, state)
    weight = steps.counted.astype(np.float64)
    cut = steps.column("truncated").fill_null(value=False).to_numpy() & last_steps(steps)
    if truncated_as == "bootstrap":
        following = np.where(cut, state, following)
    if truncated_as == "exclude":
        of_cut = np.logical_or.reduceat(cut, steps.trajectory_start[:-1])
        weight = weight * ~of_cut[steps.trajectory]
    return Transitions(
        state=state,
        pair=labels(steps, state, action),
        next_state=following,
        reward=reward,
        weight=weight,
        group=steps.group,
    )


def gap_term(
    score: Real,
    state: Index,
    weight: Real,
    *,
    factor: Real | float,
    facts: Callable[[int], Mapping[str, Any]],
) -> Term:
    """Value of a step's action against the mean of those taken in its state.

        w · (x_i − mean_s x)

    Equal values of a state give exactly 0, and so does a state that no other step is in.

    Args:
        score: x. (S,)
        state: State of each step. (S,)
        weight: How often each step counts in its state. (S,)
        factor: w, one number or one per step.
        facts: Numbers behind a step's score.
    """
    term = anchor_term(state, score, weight, norm="mean", eps=0.0, factor=1.0)
    # A last bit of difference between equal values must not be blown up by a large factor.
    constant = segment_constant(score, state, int(state.max()) + 1)[state]
    return replace(
        term,
        baseline=np.where(constant, score, term.baseline),
        factor=np.broadcast_to(np.asarray(factor, dtype=np.float64), score.shape),
        facts=lambda step: {**facts(step), "state_visits": term.facts(step)["anchor_group_size"]},
    )
