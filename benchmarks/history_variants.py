"""Values of a history that were tried beside those of `history-gae`, as methods of this file.

    workbench bench training -o tried/ --families household --families 'helpdesk issues=1' \
        -m history-gae -m 'history-gae pool=0' -m ./benchmarks/history_variants.py:WithoutLeak \
        -m ./benchmarks/history_variants.py:Covered -m ./benchmarks/history_variants.py:Network

Each is `history-gae` with `pool=0`, each batch by itself, but for one thing. None is part of the
package: docs/benchmarks.md says what they were worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from workbench.log.credit import Term, no_peers
from workbench.log.segments import backward_sums, discounted_returns, td_errors
from workbench.log.steps import Index, Real, Steps
from workbench.methods import Method, method
from workbench.methods.parts.history import features, kinds_of, means_of_others
from workbench.states.space import Space
from workbench.states.text import words

GAMMA, LAMBDA, RIDGE, KINDS = 0.95, 0.9, 30.0, 64
MEAN = 3  # place of m among the features
UNITS = 128


class Variant(Method):
    """GAE over values that are fitted to the other trajectories of the batch."""

    def known(self, steps: Steps, mean: Real) -> Real:
        """The features of every step, of which the fourth is m. (S, F)."""
        kinds = kinds_of(steps)
        often = np.argsort(-np.bincount(kinds.code), kind="stable")[:KINDS]
        place = np.full(len(kinds.name), -1)
        place[often] = np.arange(len(often))
        first = steps.step_index == 0
        return features(_position(steps), place[kinds.code], first, mean, len(often))

    def fitted(self, steps: Steps, returns: Real) -> Real:
        """V of every step. (S,)."""
        known = self.known(steps, means_of_others(steps, returns))
        gram, moment = known.T @ known, known.T @ returns
        value = np.zeros(len(steps))
        for own in _trajectories(steps):
            mine = known[own]
            value[own] = mine @ _solved(gram - mine.T @ mine, moment - mine.T @ returns[own])
        return value

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The sum of what the rewards were beyond the values."""
        returns = discounted_returns(steps.reward, steps.step_index, GAMMA)
        with threadpool_limits(limits=1, user_api="blas"):
            value = self.fitted(steps, returns)
        delta = td_errors(steps.reward, value, steps.step_index, GAMMA)
        gain = backward_sums(delta, GAMMA * LAMBDA, steps.step_index)
        live = float(np.ptp(steps.episode_reward) > 0.0)
        return {
            "step": Term(
                score=value + gain,
                baseline=value,
                factor=np.full(len(steps), live),
                peers=no_peers,
                facts=lambda step: {},
            )
        }


@method("without-leak", summary="m of others without the judged trajectory", source="tried")
@dataclass(frozen=True, kw_only=True)
class WithoutLeak(Variant):
    """Before β_−i is fitted, i is also taken out of m of the other trajectories of its group."""

    def fitted(self, steps: Steps, returns: Real) -> Real:
        """V of every step. (S,)."""
        known = self.known(steps, means_of_others(steps, returns))
        gram, moment = known.T @ known, known.T @ returns
        total = np.array([returns[own].sum() for own in _trajectories(steps)])
        count = np.diff(steps.trajectory_start)
        value = np.zeros(len(steps))
        for number, own in enumerate(_trajectories(steps)):
            group = slice(*steps.group_start[steps.group[own.start] :][:2].tolist())
            there = known[group]
            others = steps.trajectory[group] != number
            changed = there[others]
            mates = np.unique(steps.trajectory[group][others])
            of = steps.trajectory[group][others]
            left = total[mates].sum() - total, count[mates].sum() - count
            without = left[0][of] / np.maximum(left[1][of], 1)
            changed[:, MEAN] = np.where(left[1][of] > 0, without, changed[:, MEAN])
            fit_gram = gram - there.T @ there + changed.T @ changed
            fit_moment = moment - there.T @ returns[group] + changed.T @ returns[group][others]
            value[own] = known[own] @ _solved(fit_gram, fit_moment)
        return value


@method("covered", summary="no kinds: the task's words that were used so far", source="tried")
@dataclass(frozen=True, kw_only=True)
class Covered(Variant):
    """Features that any text has: the share of the task's words that earlier actions had."""

    def known(self, steps: Steps, mean: Real) -> Real:
        """Position, constant, m, and the covered share: its value, square and last gain."""
        tasks, actions = steps.column("task").to_list(), steps.column("action").to_list()
        share = np.zeros(len(steps))
        for own in _trajectories(steps):
            wanted, had = words(tasks[own.start] or ""), set[str]()
            for step in range(own.start, own.stop):
                share[step] = len(had) / max(len(wanted), 1)
                had |= wanted & words(actions[step])
        last = np.where(steps.step_index > 0, share - np.append(0.0, share[:-1]), 0.0)
        t, one = _position(steps), np.ones(len(steps))
        return np.stack([t, t**2, one, mean, share, share**2, last, t * share], axis=1)


@method("network", summary="a hidden layer of fixed random weights over φ", source="tried")
@dataclass(frozen=True, kw_only=True)
class Network(Variant):
    """V is linear in tanh(W φ) beside φ; W is drawn once, so the fit stays in closed form."""

    def known(self, steps: Steps, mean: Real) -> Real:
        """φ and the hidden units. (S, F + UNITS)."""
        known = super().known(steps, mean)
        rng = np.random.default_rng(0)
        weights = rng.normal(size=(len(known[0]), UNITS)) / np.sqrt(3.0)
        return np.hstack([known, np.tanh(known @ weights)])


def _position(steps: Steps) -> Real:
    return steps.step_index / float(steps.step_index.max() + 1)


def _trajectories(steps: Steps) -> list[slice]:
    edges: Index = steps.trajectory_start
    return [slice(a, b) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def _solved(gram: Real, moment: Real) -> Real:
    return np.asarray(np.linalg.solve(gram + RIDGE * np.identity(len(gram)), moment))
