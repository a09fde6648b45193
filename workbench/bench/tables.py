"""Summaries as rows of text: value, interval, and whether it differs from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from workbench.bench.gradient_measures import Measures
from workbench.bench.summary import SUMMARISED
from workbench.errors import UnknownNameError
from workbench.wording import decimals

MARKS = {"above": "▲", "below": "▼", "unresolved": "~", None: " "}

RANKS = ("spearman", "kendall", "sign_agreement", "precision_at_k")
SIZES = ("gradient_cosine", "mean_gradient_cosine", "signal_to_noise", "calibration_slope")
ORDER = "gradient_cosine"
"""Measure by which the methods of a table are sorted, largest first."""

TRAINED = ("area", "final")
"""Columns of a training table, which is sorted by the first."""


def legend(reference: str) -> str:
    """Legend of the tables."""
    return (
        f"[ ] 95 % bootstrap over seeds; the paired difference to {reference} is "
        "▲ above 0, ▼ below 0, ~ unresolved (its interval touches 0)"
    )


REGRET_LEGEND = (
    "[ ] 95 % bootstrap over seeds, paired; gain = tuned − default; regret = best fixed − tuned, "
    "the best fixed value being chosen in hindsight for the row; best of each log takes the best "
    "value of every single log"
)
"""Legend of `regret_rows`."""


def regret_rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    """One row per method and condition of one family and measure, all conditions together first.

    Args:
        table: Rows of `tuning.Tuning.table`.
    """
    return [
        {
            "method": row["method"],
            "condition": row["condition"] or "all",
            "default": decimals(row["default"]),
            "tuned": decimals(row["tuned"]),
            "mostly to": f"{row['chosen']} ({row['chosen_share']:.0%})",
            "gain": with_interval(row["gain"], row["gain_low"], row["gain_high"]),
            "best fixed": f"{decimals(row['best_fixed'])} at {row['best_setting']}",
            "regret": with_interval(row["regret"], row["regret_low"], row["regret_high"]),
            "best of each log": decimals(row["best_of_each_log"]),
        }
        for row in table.sort(
            "method", pl.col("condition").is_not_null(), maintain_order=True
        ).iter_rows(named=True)
    ]


def family_rows(
    summary: pl.DataFrame, family: str, measures: tuple[str, ...]
) -> list[dict[str, Any]]:
    """One row per method, one column per measure, averaged over the conditions of a family."""
    rows = summary.filter((pl.col("family") == family) & pl.col("condition").is_null())
    found = {(row["method"], row["measure"]): row for row in rows.iter_rows(named=True)}
    return [
        {"method": method, **{name: cell(found[method, name]) for name in measures}}
        for method in _sorted_methods(rows, ORDER)
    ]


def training_rows(
    summary: pl.DataFrame, family: str, condition: str | None, references: Sequence[str]
) -> list[dict[str, Any]]:
    """One row per method: area and final success, and their differences to the other references.

    Args:
        summary: Of a training benchmark.
        family: Which world.
        condition: Which of its conditions; None for the mean over them.
        references: As the benchmark had them; the marks of the values are of the first.
    """
    here = pl.col("condition").eq_missing(pl.lit(condition))
    rows = summary.filter((pl.col("family") == family) & here)
    found = {
        (row["reference"], row["method"], row["measure"]): row for row in rows.iter_rows(named=True)
    }
    first, *others = references
    return [
        {
            "method": method,
            **{name: cell(found[first, method, name]) for name in TRAINED},
            **{
                f"{name} − {other}": difference(found[other, method, name])
                for other in others
                for name in TRAINED
            },
        }
        for method in _sorted_methods(rows.filter(reference=first), TRAINED[0])
    ]


def condition_rows(summary: pl.DataFrame, family: str, measure: str) -> list[dict[str, Any]]:
    """One row per condition, one column per method, for one measure of a family.

    Raises:
        UnknownNameError: No such measure.
    """
    if measure not in SUMMARISED:
        raise UnknownNameError("measure", measure, SUMMARISED)
    of_family = summary.filter(pl.col("family") == family)
    rows = of_family.filter(pl.col("condition").is_not_null() & (pl.col("measure") == measure))
    found = {(row["condition"], row["method"]): row for row in rows.iter_rows(named=True)}
    methods = _sorted_methods(of_family.filter(pl.col("condition").is_null()), ORDER)
    return [
        {"condition": name, **{method: short(found[name, method]) for method in methods}}
        for name in rows["condition"].unique(maintain_order=True)
    ]


def fact_rows(results: pl.DataFrame) -> list[dict[str, Any]]:
    """Facts of the conditions: steps, success, singletons, groups with both outcomes."""
    by = ["family", "condition"]
    seeds = results.unique([*by, "seed"], maintain_order=True)
    shares = seeds.group_by(by, maintain_order=True).agg(
        pl.col("steps").mean().round(0).cast(pl.Int64),
        pl.col("success", "singletons", "live_groups", "ranked_groups").mean().round(3),
    )
    return shares.to_dicts()


def gradient_rows(results: pl.DataFrame) -> list[dict[str, Any]]:
    """One row per method of one family: its `gradients.Measures`.

    Args:
        results: Rows of one family of `bench gradients`.
    """
    rows = []
    for (method,), part in results.drop_nulls("true").group_by(["method"], maintain_order=True):
        found = Measures.of(part)
        row = {
            "method": method,
            "adam cosine": decimals(found.score),
            "at the points": " ".join(map(decimals, found.adam_cosine)),
            "bias cosine": " ".join(map(decimals, found.bias_cosine)),
            "signal to noise": " ".join(map(decimals, found.signal_to_noise)),
        }
        rows.append((found.score, row))
    # What is not known comes last.
    rows.sort(key=lambda scored: -np.nan_to_num(scored[0], nan=-np.inf))
    return [row for _, row in rows]


def prediction_rows(predicted: pl.DataFrame) -> list[dict[str, Any]]:
    """One row per family and condition: the rank correlation with its interval."""
    return [
        {
            "world": row["family"] or "all",
            "condition": row["condition"] or "mean",
            "methods": row["methods"],
            "correlation": with_interval(row["correlation"], row["low"], row["high"]),
        }
        for row in predicted.iter_rows(named=True)
    ]


def training_fact_rows(results: pl.DataFrame) -> list[dict[str, Any]]:
    """Facts of each condition's runs, in the mean over methods and seeds.

    Episodes learned from, their steps, success at the start, shares of singletons and of groups
    with both outcomes.
    """
    shares = results.group_by("family", "condition", maintain_order=True).agg(
        pl.col("seed").n_unique().alias("seeds"),
        pl.col("samples").first().list.last().alias("episodes"),
        pl.col("steps").mean().round(0).cast(pl.Int64),
        pl.col("start", "singletons", "live_groups").mean().round(3),
    )
    return shares.to_dicts()


def cell(row: dict[str, Any]) -> str:
    """Such as ".312 [.298, .327] ▲"; – where there is no value."""
    if row["value"] is None:
        return "–"
    value = with_interval(row["value"], row["low"], row["high"])
    return f"{value} {MARKS[row['verdict']]}".rstrip()


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """Such as ".312 [.298, .327]"; without an interval the value alone; – where there is none."""
    if low is None or high is None:
        return decimals(value)
    return f"{decimals(value)} [{decimals(low)}, {decimals(high)}]"


def short(row: dict[str, Any]) -> str:
    """The same without the interval."""
    if row["value"] is None:
        return "–"
    return f"{decimals(row['value'])} {MARKS[row['verdict']]}".rstrip()


def difference(row: dict[str, Any]) -> str:
    """The paired difference, such as "+.032 [-.002, +.065] ~"; – for the reference itself."""
    if row["verdict"] is None or row["difference"] is None:
        return "–"
    numbers = [row["difference"], row["difference_low"], row["difference_high"]]
    value, *ends = [decimals(each, sign="+") for each in numbers if each is not None]
    interval = f" [{', '.join(ends)}]" if ends else ""
    return f"{value}{interval} {MARKS[row['verdict']]}"


def _sorted_methods(rows: pl.DataFrame, measure: str) -> list[str]:
    of_order = rows.filter(pl.col("measure") == measure)
    return of_order.sort("value", descending=True, nulls_last=True, maintain_order=True)[
        "method"
    ].to_list()
