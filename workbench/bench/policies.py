"""Policies that read text: softmax over the admissible actions, trained by policy gradient."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import or_
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from workbench.bench.prompts import Decision
from workbench.log.steps import Index, Real
from workbench.states.text import words

BUCKETS = 256
SOURCES = 4
"""Inputs of a decision: the task, the observation, the last action, all earlier ones."""


class Policy(Protocol):
    """Answers decisions, and learns which answers to give more often."""

    def probabilities(self, decisions: Sequence[Decision]) -> Real:
        """π of every option of every decision, one after the other. (P,) float64."""

    def restart(self, rate: float) -> None:
        """Forget the state of the optimiser and go on at another rate."""

    def learn(self, decisions: Sequence[Decision], chosen: Index, weight: Real) -> None:
        """Take one Adam step up the gradient of Σ_i weight_i · log π(option chosen_i | i).

        Weights that are all 0 leave the policy as it is.
        """


class LinearPolicy:
    """A linear score of hashed pairs of words, one word of what is read and one of the option.

        π(a | i) = exp s(i, a) / Σ_b exp s(i, b),   s(i, a) = Σ_{u in i} Σ_{w in a} W[u, w]

    A word of the task, of the observation, of the last action and of all earlier ones are four
    different u. Besides its words an option has one that says how many of them the task has, as
    in "take+2": it carries what was learned of one task over to others. Words hash into `BUCKETS`
    buckets by CRC-32; sets of words, not counts.

    Starts from W = 0, where all options are equally likely.
    """

    def __init__(self) -> None:
        self.weights = np.zeros((SOURCES * BUCKETS, BUCKETS))
        self._optimiser = Adam(0.0)

    def probabilities(self, decisions: Sequence[Decision]) -> Real:
        """π of every option of every decision, one after the other. (P,) float64."""
        return _Options(decisions).probabilities(self.weights)

    def restart(self, rate: float) -> None:
        """Forget the state of the optimiser and go on at another rate."""
        self._optimiser = Adam(rate)

    def gradient(self, decisions: Sequence[Decision], chosen: Index, weight: Real) -> Real:
        """Exact gradient of Σ_i weight_i · log π(option chosen_i | i) by W.

            Σ_i weight_i · (x_i,chosen_i − Σ_a π(a | i) · x_ia),   x_ia the pairs of words

        Args:
            decisions: D of them.
            chosen: Option of each. (D,) int64.
            weight: Of each. (D,) float64.

        Returns:
            (4 · BUCKETS, BUCKETS) float64.
        """
        options = _Options(decisions)
        slope = -weight[options.decision] * options.probabilities(self.weights)
        slope[options.start + chosen] += weight
        return options.spread(slope)

    def learn(self, decisions: Sequence[Decision], chosen: Index, weight: Real) -> None:
        """Take one Adam step up the gradient; weights that are all 0 leave the policy as it is."""
        if weight.any():
            self.weights += self._optimiser.step(self.gradient(decisions, chosen, weight))


class Adam:
    """Steps up a gradient, of a size that does not depend on the gradient's (where that is > 1e-8).

        m ← .9 m + .1 g,   v ← .999 v + .001 g²,   step = rate · m̂ / (√v̂ + 1e-8)

    m̂ and v̂ are corrected for their start at 0.

    Source: Kingma and Ba, https://arxiv.org/abs/1412.6980, algorithm 1.
    """

    FIRST, SECOND, EPS = 0.9, 0.999, 1e-8

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._first: Real | float = 0.0
        self._second: Real | float = 0.0
        self._steps = 0

    def step(self, gradient: Real) -> Real:
        """Update of the parameters."""
        self._steps += 1
        self._first = self.FIRST * self._first + (1 - self.FIRST) * gradient
        self._second = self.SECOND * self._second + (1 - self.SECOND) * gradient**2
        mean = self._first / (1 - self.FIRST**self._steps)
        size = np.sqrt(self._second / (1 - self.SECOND**self._steps))
        return np.asarray(self._rate * mean / (size + self.EPS), dtype=np.float64)


class _Options:
    """All options of some decisions: D decisions, P options, T words of options.

    Attributes:
        decision: Decision of each option. (P,) int64.
        start: First option of each decision. (D,) int64.
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        offers = [_offer(each.task, each.options) for each in decisions]
        size = np.array([len(each.options) for each in decisions])
        self.decision = np.repeat(np.arange(len(decisions)), size)
        self.start = np.cumsum(size) - size
        self._option = np.concatenate([option for option, _ in offers])
        self._option += np.repeat(self.start, [len(option) for option, _ in offers])
        self._word = np.concatenate([word for _, word in offers])
        self._read = _read(decisions)

    def probabilities(self, weights: Real) -> Real:
        """Softmax of the scores within each decision. (P,) float64."""
        by_word = self._read @ weights
        score = by_word[self.decision[self._option], self._word]
        logit = np.bincount(self._option, weights=score, minlength=len(self.decision))
        highest = np.maximum.reduceat(logit, self.start)
        power = np.exp(logit - highest[self.decision])
        total = np.add.reduceat(power, self.start)
        return np.asarray(power / total[self.decision], dtype=np.float64)

    def spread(self, slope: Real) -> Real:
        """Slope of a function by the weights, from its slope by the score of each option."""
        decisions = len(self.start)
        cell = self.decision[self._option] * BUCKETS + self._word
        by_word = np.bincount(cell, weights=slope[self._option], minlength=decisions * BUCKETS)
        return np.asarray(self._read.T @ by_word.reshape(decisions, BUCKETS), dtype=np.float64)


def _read(decisions: Sequence[Decision]) -> csr_array:
    """1 where a source of a decision has a word of a bucket. (D, 4 · BUCKETS) float64."""
    masks = [
        _mask(each.task)
        | _mask(each.observation) << BUCKETS
        # Every decision has the word "action", so that an option is liked or not by itself.
        | _mask(f"action {''.join(each.earlier[-1:])}") << 2 * BUCKETS
        | reduce(or_, map(_mask, each.earlier), 0) << 3 * BUCKETS
        for each in decisions
    ]
    shape = (len(decisions), SOURCES * BUCKETS)
    packed = b"".join([mask.to_bytes(shape[1] // 8, "little") for mask in masks])
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), bitorder="little").reshape(shape)
    column = np.flatnonzero(bits.view(np.bool_)) % shape[1]
    edges = np.append(0, np.cumsum(bits.sum(axis=1)))
    return csr_array((np.ones(len(column)), column, edges), shape=shape)


@lru_cache(maxsize=100_000)
def _mask(text: str) -> int:
    """The buckets of the words of a text, each a bit."""
    return reduce(or_, [1 << _bucket(word) for word in words(text)], 0)


@lru_cache(maxsize=100_000)
def _offer(task: str, options: tuple[str, ...]) -> tuple[Index, Index]:
    """Option and bucket of each word of all options of a decision. (T',) int64 each."""
    found = [_option(task, text) for text in options]
    option = np.repeat(np.arange(len(found)), [len(each) for each in found])
    return option, np.array([bucket for each in found for bucket in each])


@lru_cache(maxsize=100_000)
def _option(task: str, text: str) -> tuple[int, ...]:
    """Buckets of the words of an option, and of how many of them the task has."""
    return tuple(sorted({_bucket(word) for word in (*words(text), shared_words(task, text))}))


def shared_words(task: str, option: str) -> str:
    """Number of an option's words that the task has, as a word with the verb: "take+2"."""
    return f"{option.split(maxsplit=1)[0]}+{len(words(option) & words(task))}"


@lru_cache(maxsize=100_000)
def _bucket(word: str) -> int:
    return zlib.crc32(word.encode()) % BUCKETS
