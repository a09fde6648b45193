"""From the rows of all seeds to numbers with intervals, and differences that may be unresolved."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

from workbench.bench.cells import MEASURES

Array = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000
LEAST_SIGNAL = 0.1


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number of a method, made of columns of the results.

    Args:
        columns: The columns.
        of_seeds: From one array per column, seeds along the last axis, to one value per condition.
    """

    columns: tuple[str, ...]
    of_seeds: Callable[..., Array]


def _mean(value: Array) -> Array:
    defined = ~np.isnan(value)
    total = np.where(defined, value, 0.0).sum(axis=-1)
    count = defined.sum(axis=-1)
    return _ratio(total, count.astype(np.float64))


def mean_of(column: str) -> Measure:
    """The mean over seeds of a column; nulls are left out."""
    return Measure(columns=(column,), of_seeds=_mean)


def _mean_gradient_cosine(dot: Array, cross: Array, square: Array, true: Array) -> Array:
    signal = cross.sum(axis=-1)
    size = np.sqrt(np.maximum(signal, 0.0) * true.sum(axis=-1))
    heard = signal > LEAST_SIGNAL**2 * (square.sum(axis=-1) - signal)
    return _ratio(dot.sum(axis=-1), np.where(heard, size, 0.0))


def _signal_to_noise(cross: Array, square: Array) -> Array:
    signal = cross.sum(axis=-1)
    noise = square.sum(axis=-1) - signal
    return np.sqrt(_ratio(np.maximum(signal, 0.0), noise))


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


SUMMARISED: Mapping[str, Measure] = {
    **{name: mean_of(name) for name in MEASURES},
    "mean_gradient_cosine": Measure(
        columns=("gradient_dot", "gradient_cross", "gradient_square", "true_square"),
        of_seeds=_mean_gradient_cosine,
    ),
    "signal_to_noise": Measure(
        columns=("gradient_cross", "gradient_square"), of_seeds=_signal_to_noise
    ),
}
"""Measures by name. The last two split the gradient of a batch, over the tasks of all seeds:

    mean_gradient_cosine = <E g, g*> / (‖E g‖ ‖g*‖)      1 without bias in direction
    signal_to_noise      = ‖E g‖ / √(E ‖g − E g‖²)       of the gradient of one batch

‖E g‖² is estimated without bias by the inner products of independent batches of the same tasks.
A negative estimate counts as no signal; below a signal-to-noise of `LEAST_SIGNAL` the direction of
the mean is not defined, as it is not for a credit that is noise.
"""

SCHEMA: dict[str, Any] = {
    "family": pl.String,
    "condition": pl.String,
    "method": pl.String,
    "measure": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "verdict": pl.String,
    "undefined": pl.Float64,
    "seeds": pl.Int64,
}
"""Columns of a summary; `condition` is null where all conditions of the family are averaged."""


def summarise(
    results: pl.DataFrame, reference: str, measures: Mapping[str, Measure] = SUMMARISED
) -> pl.DataFrame:
    """Means over seeds with bootstrap intervals, and paired differences to a reference method.

    Seeds are resampled whole, with all conditions and both methods of a difference together
    (percentile bootstrap of scipy, 95 %). A verdict is "above" or "below" where the interval of
    the difference lies on one side of 0, else "unresolved"; with a single seed there is no
    interval and nothing is resolved. Intervals are not corrected for how many are looked at.

    Args:
        results: One row per family, condition, seed and method, with the columns of the measures.
        reference: The method that others are compared with; its own verdict is null.
        measures: What is summarised, by name.

    Returns:
        In the columns of `SCHEMA`: one row per family, method and measure, then the same for each
        condition. `undefined` is the share of results on which the measure has no value; they
        are left out of its mean, and a method without any has a null.
    """
    rows = []
    for (family,), part in results.group_by("family", maintain_order=True):
        table = _Table.of(part, measures)
        for method in table.methods:
            for name, measure in measures.items():
                here = {"family": family, "method": method, "measure": name}
                rows += [here | row for row in _compared(table, measure, method, reference)]
    frame = pl.DataFrame(rows, schema=SCHEMA)
    return frame.sort(pl.col("condition").is_not_null(), "family", maintain_order=True)


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The results of a family as one array: column, method, condition, seed."""

    methods: list[str]
    conditions: list[str]
    columns: list[str]
    values: Array

    @classmethod
    def of(cls, results: pl.DataFrame, measures: Mapping[str, Measure]) -> _Table:
        methods, conditions, seeds = (
            results[name].unique(maintain_order=True).to_list()
            for name in ("method", "condition", "seed")
        )
        columns = sorted({name for measure in measures.values() for name in measure.columns})
        shape = (len(methods), len(conditions), len(seeds))
        place = [
            results[name].replace_strict(known, range(len(known))).to_numpy()
            for name, known in (("method", methods), ("condition", conditions), ("seed", seeds))
        ]
        values = np.full((len(columns), *shape), np.nan)
        for number, name in enumerate(columns):
            values[number][tuple(place)] = results[name].fill_null(np.nan).to_numpy()
        return cls(methods=methods, conditions=conditions, columns=columns, values=values)

    def arrays(self, measure: Measure, method: str) -> list[Array]:
        """One array per column of the measure. (conditions, seeds) each."""
        row = self.methods.index(method)
        return [self.values[self.columns.index(name), row] for name in measure.columns]


def _compared(
    table: _Table, measure: Measure, method: str, reference: str
) -> Iterator[dict[str, Any]]:
    """Rows for the mean over conditions and for each condition of one method and measure."""
    own, other = table.arrays(measure, method), table.arrays(measure, reference)
    seeds = own[0].shape[-1]

    def difference(*arrays: Array) -> Array:
        half = len(arrays) // 2
        return measure.of_seeds(*arrays[:half]) - measure.of_seeds(*arrays[half:])

    values = _with_interval(measure.of_seeds, own)
    differences = _with_interval(difference, [*own, *other])
    undefined = np.isnan(own[0])
    shares = [float(undefined.mean()), *undefined.mean(axis=-1).tolist()]
    names = [None, *table.conditions]
    for name, value, against, share in zip(names, values, differences, shares, strict=True):
        yield {
            "condition": name,
            **dict(zip(("value", "low", "high"), value, strict=True)),
            **dict(zip(("difference", "difference_low", "difference_high"), against, strict=True)),
            "verdict": None if method == reference else _verdict(*against[1:]),
            "undefined": share,
            "seeds": seeds,
        }


def _verdict(low: float | None, high: float | None) -> str:
    if low is not None and high is not None and (low > 0 or high < 0):
        return "above" if low > 0 else "below"
    return "unresolved"


def _with_interval(
    of_seeds: Callable[..., Array], arrays: list[Array]
) -> list[tuple[float | None, ...]]:
    """Value, low and high of the mean over conditions, then of each condition; None for NaN."""

    def statistic(*resampled: Array, axis: int = -1) -> Array:
        # The conditions stay in front; what is not defined in one is left out of the mean.
        each = of_seeds(*resampled)
        return np.concatenate([_mean(np.moveaxis(each, 0, -1))[None], each])

    value = statistic(*arrays)
    low = high = np.full_like(value, np.nan)
    if arrays[0].shape[-1] > 1:
        with warnings.catch_warnings():
            # A resample without a value leaves its interval NaN, which is what the table shows.
            warnings.simplefilter("ignore", DegenerateDataWarning)
            found = bootstrap(
                arrays,
                statistic,
                paired=True,
                vectorized=True,
                axis=-1,
                n_resamples=RESAMPLES,
                confidence_level=CONFIDENCE,
                method="percentile",
                rng=np.random.default_rng(0),
            )
        low, high = found.confidence_interval
    numbers = np.stack([value, low, high], axis=1).tolist()
    return [tuple(None if np.isnan(number) else number for number in row) for row in numbers]
