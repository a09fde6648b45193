"""Invariants of a benchmark: the truth scores like the truth, noise like noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from scipy.stats import t as student

from workbench.bench.cells import ORACLES
from workbench.wording import number_of

EXACT = 1e-9
CHANCE = 1e-6
"""Probability with which a sound benchmark would fail one of its statistical bounds."""

_PERFECT = ("spearman", "kendall", "sign_agreement", "precision_at_k", "calibration_slope")
_LOWEST = {"spearman": -1.0, "kendall": -1.0, "gradient_cosine": -1.0} | dict.fromkeys(
    ("sign_agreement", "precision_at_k"), 0.0
)


class BoundError(Exception):
    """The benchmark itself is wrong: its numbers must not be read. Names every broken bound."""


def check_bounds(results: pl.DataFrame) -> None:
    """Check the bounds that hold for any list of methods.

    - The true advantage scores exactly 1 in rank, sign, precision and slope.
    - The true advantage, and a return less the true value, give the true gradient in expectation:
      the mean of <g, g*> - <g*, g*> over seeds is 0 within its error.
    - The control `random` has mean 0 in both correlations and the cosine, within the error.
    - No measure leaves its range.

    "Within its error" is a t-test over the seeds of a family at `CHANCE`; with one seed there is
    no error and nothing to test. That one method is better than another is never a bound.

    Args:
        results: In the columns of `cells.SCHEMA`.

    Raises:
        BoundError: A bound is broken.
    """
    broken = [*_ranges(results), *_truth(results), *_expectations(results)]
    if broken:
        raise BoundError("\n- ".join([f"{number_of(len(broken), 'bound')} broken:", *broken]))


def _ranges(results: pl.DataFrame) -> Iterator[str]:
    for name, low in _LOWEST.items():
        outside = results.filter(~pl.col(name).is_between(low - EXACT, 1.0 + EXACT))
        if outside.height:
            yield f"{name} must be in [{low:g}, 1]: {_place(outside, name)}"


def _truth(results: pl.DataFrame) -> Iterator[str]:
    rows = results.filter((pl.col("method") == "oracle-advantage") & (pl.col("ranked_groups") > 0))
    for name in _PERFECT:
        wrong = rows.filter(pl.col(name).is_null() | ((pl.col(name) - 1.0).abs() > EXACT))
        if wrong.height:
            yield f"{name} of the true advantage must be 1: {_place(wrong, name)}"


def _expectations(results: pl.DataFrame) -> Iterator[str]:
    for (family,), part in results.group_by("family", maintain_order=True):
        for method in ORACLES:
            surplus = pl.col("gradient_dot") - pl.col("true_square")
            yield from _not_zero(part, method, surplus, f"{family}: <g, g*> - <g*, g*>")
        for name in ("spearman", "kendall", "gradient_cosine"):
            yield from _not_zero(part, "random", pl.col(name), f"{family}: {name}")


def _not_zero(results: pl.DataFrame, method: str, value: pl.Expr, what: str) -> Iterator[str]:
    rows = results.filter(pl.col("method") == method)
    by_seed = rows.group_by("seed", maintain_order=True).agg(value.mean().alias("value"))
    values = by_seed["value"].drop_nulls().to_numpy()
    if len(values) < 2:
        return
    error = values.std(ddof=1) / np.sqrt(len(values))
    reach = student.isf(CHANCE / 2, len(values) - 1) * error
    if abs(values.mean()) > reach + EXACT:
        yield (
            f"{what} of {method} must be 0 on average, got {values.mean():.4g} "
            f"with standard error {error:.2g} over {len(values)} seeds"
        )


def _place(rows: pl.DataFrame, name: str) -> str:
    row = rows.row(0, named=True)
    where = ", ".join(str(row[key]) for key in ("family", "condition", "method"))
    return f"{rows.height} rows, first {row[name]} in {where}, seed {row['seed']}"
