"""Measures of a policy gradient against that of the true advantage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.log.steps import Real

PARTS = ("gain", "stepped", "along", "signal", "square", "true")
"""Inner products of gradients, whose sums over seeds and conditions make the measures."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Measures of the gradients under a method, at each of `POINTS`.

        adam cosine     = Σ gain / √(Σ stepped · Σ true)
        bias cosine     = Σ along / √(Σ signal · Σ true)             1 without bias in direction
        signal to noise = √(Σ signal / Σ (square − signal))          of the gradient of one batch

    Sums run over seeds and conditions: eight batches of one seed may leave a mean square, which is
    a mean of products, below 0. Where a sum still is, the measure is NaN; under a credit that is 0
    the Adam cosine is 0.

    Args:
        adam_cosine: (points,).
        bias_cosine: (points,).
        signal_to_noise: (points,).
    """

    adam_cosine: Real
    bias_cosine: Real
    signal_to_noise: Real

    @classmethod
    def of(cls, results: pl.DataFrame) -> Measures:
        """The measures of rows of one method, none of it missing."""
        sums = {name: np.sum(results[name].to_list(), axis=0) for name in PARTS}
        signal, true = (np.maximum(sums[name], 0.0) for name in ("signal", "true"))
        cosine = _ratio(sums["gain"], np.sqrt(sums["stepped"] * true))
        return cls(
            adam_cosine=np.where(sums["stepped"] == 0.0, 0.0, cosine),
            bias_cosine=_ratio(sums["along"], np.sqrt(signal * true)),
            signal_to_noise=np.sqrt(_ratio(signal, sums["square"] - sums["signal"])),
        )

    @property
    def score(self) -> float:
        """The Adam cosine in the mean of the points where it is known; NaN where it is nowhere."""
        known = self.adam_cosine[~np.isnan(self.adam_cosine)]
        return float(known.mean()) if known.size else float("nan")


def _ratio(top: Real, bottom: Real) -> Real:
    """The quotient where the divisor is above 0, else NaN."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def over_points(points: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Each measure at each point."""
    return {name: [point[name] for point in points] for name in (points[0] if points else ())}
