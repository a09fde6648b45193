"""Moments of batches: computed at once, or merged from those of pieces of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from workbench.log.segments import EQUAL, segment_extremes, segment_mean, segment_sum
from workbench.log.steps import Index, Real, Steps, Truth


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Weighted moments of some values of each batch. All (B,) float64.

    Args:
        count: Σ w.
        mean: Σ w x / Σ w; 0 for a batch without weight.
        square: Σ w (x − mean)².
        low, high: The smallest and the largest value that counts; 0 where none does.
    """

    count: Real
    mean: Real
    square: Real
    low: Real
    high: Real

    @property
    def constant(self) -> Truth:
        """Batches whose values are equal up to rounding; true for one without values. (B,) bool."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        return np.asarray(self.high - self.low <= EQUAL * size)

    @property
    def level(self) -> Real:
        """The mean, which is exactly one of the values where those are equal. (B,) float64."""
        return np.where(self.constant, self.low, self.mean)

    def variance(self, ddof: int) -> Real:
        """Σ w (x − mean)² / (Σ w − ddof); 0 where Σ w ≤ ddof. (B,) float64."""
        count = self.count - ddof
        return np.where(count > 0, self.square, 0.0) / np.where(count > 0, count, 1.0)

    def deviation(self, ddof: int) -> Real:
        """Root of the variance. (B,) float64."""
        return np.sqrt(self.variance(ddof))


def moments(value: Real, batch: Index, batches: int, weight: Real) -> Moments:
    """Moments of each batch.

    Args:
        value: x. (S,) float64
        batch: Batch of each value. (S,) int64
        batches: B.
        weight: w, how often each value counts. (S,) float64
    """
    mean = segment_mean(value, batch, batches, weight)
    low, high = segment_extremes(value, batch, batches, weight > 0)
    return Moments(
        count=segment_sum(weight, batch, batches),
        mean=mean,
        square=segment_sum(weight * (value - mean[batch]) ** 2, batch, batches),
        low=low,
        high=high,
    )


def batch_moments(steps: Steps, value: Real, batch: Index, weight: Real) -> Moments:
    """Moments of each batch of a log; of a piece of a batch, those of the whole of it.

    A method that asks the other groups of a batch for nothing else, and whose questions do not
    depend on earlier answers, says `pools_batches`: its batches need not fit into one worker.

    Args:
        steps: The steps.
        value: x, one per step, trajectory or whatever is counted. (M,) float64
        batch: Batch of each. (M,) int64
        weight: w, how often each counts. (M,) float64
    """
    own = moments(value, batch, steps.batches, weight)
    return steps.of_whole(own) if isinstance(steps, PieceOfBatch) else own


def merged(pieces: Sequence[Moments]) -> Moments:
    """Moments of one batch out of those of its pieces, each (1,).

        n = Σ n_p        μ = Σ n_p μ_p / n        M = Σ M_p + n_p (μ_p − μ)²

    Equal to those of the whole up to rounding, about 1e-15 of their size a piece.

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, 1979.
    """
    used = [piece for piece in pieces if piece.count[0] > 0] or pieces[:1]
    count, mean, square, low, high = (
        np.array([float(getattr(piece, name)[0]) for piece in used])
        for name in ("count", "mean", "square", "low", "high")
    )
    total = float(count.sum())
    # What overflows is told from the advantages that it makes, with their step named.
    with np.errstate(over="ignore", invalid="ignore"):
        middle = float((count * mean).sum()) / total if total > 0 else 0.0
        around = float((square + count * (mean - middle) ** 2).sum())
    return Moments(
        count=np.array([total]),
        mean=np.array([middle]),
        square=np.array([around]),
        low=np.array([low.min()]),
        high=np.array([high.max()]),
    )


@dataclass(frozen=True)
class PieceOfBatch(Steps):
    """Steps of some groups of one batch, whose moments are those of the whole batch.

    Args:
        pooled: Moments of the batch, in the order in which a method asks for them; None in a first
            pass over the pieces, which finds those of this one.
        asked: Those of this piece, as far as a method has asked.
    """

    pooled: tuple[Moments, ...] | None = None
    asked: list[Moments] = field(default_factory=list)

    @classmethod
    def of(cls, steps: Steps, pooled: tuple[Moments, ...] | None) -> PieceOfBatch:
        """The same steps, as a piece of their batch."""
        return cls(**{one.name: getattr(steps, one.name) for one in fields(Steps)}, pooled=pooled)

    def of_whole(self, own: Moments) -> Moments:
        """Moments of the batch in place of the piece's own, where they are known."""
        self.asked.append(own)
        return own if self.pooled is None else self.pooled[len(self.asked) - 1]
