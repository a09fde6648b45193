"""Method against method on one log: do they rank the steps alike, and where do they differ most?

Functions of credit tables: one row per step with group_id, trajectory_id, step_index, advantage
and, where a step is not scored, a reason in `excluded`. All numbers use the steps that *every*
given credit scores, so that the pairs can be compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.errors import ParameterError
from workbench.log.remarks import TOLERANCE, moments
from workbench.wording import are, number_of

TIE_DECIMALS = 12
"""Ranks are of numbers rounded to these, so that rounding errors of a sum break no tie."""

_STEP = ["group_id", "trajectory_id", "step_index"]
_TRAINED = "gradient_mask"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Agreement of two or more credits of one log.

    A correlation is null where one side is constant (there is nothing to rank) and where fewer
    than two steps are compared; it is never NaN, and 0 means no correlation.

    Args:
        names: The credits, in the order given.
        steps: Steps of the log.
        compared: Steps that every credit scores.
        credits: One row per credit: credit, scored, mean, std (ddof 1), minimum, maximum, zero,
            zero_share (of the steps compared).
        pairs: One row per pair: left, right, steps, spearman, pearson, sign_flips, sign_flip_share,
            zero_left_only, zero_right_only, zero_both, left_mean, left_std, right_mean, right_std.
        groups: The same columns by pair and group_id.
        disagreements: For each pair the steps with the largest absolute standardised difference:
            left, right, rank, group_id, trajectory_id, step_index, left_advantage,
            right_advantage, difference (right - left), standardised_difference.
    """

    names: tuple[str, ...]
    steps: int
    compared: int
    credits: pl.DataFrame
    pairs: pl.DataFrame
    groups: pl.DataFrame
    disagreements: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON-able data: frames become lists of rows."""
        return {
            "names": list(self.names),
            "steps": self.steps,
            "compared": self.compared,
            "credits": self.credits.to_dicts(),
            "pairs": self.pairs.to_dicts(),
            "groups": self.groups.to_dicts(),
            "disagreements": self.disagreements.to_dicts(),
        }


def compare(credits: Mapping[str, pl.DataFrame], *, top: int = 20) -> Comparison:
    """Compare credits of the same log pair by pair, over all steps and by group.

    - spearman: Pearson correlation of the ranks, ties averaged. By group the ranks are those
      within the group. Advantages are rounded to 12 decimals first, so that rounding errors of a
      sum break no tie.
    - sign flips: one side is above 0 and the other below, both by more than `TOLERANCE`; a zero
      on one side only is counted apart.
    - largest disagreements: methods have different units, so each credit is standardised over
      the compared steps, (A - mean) / std, and steps are ordered by the absolute difference of
      those. A constant credit is standardised to 0. Equal differences keep the log's order.
      Steps that a mask keeps from training are not listed, unless there are no others.

    Args:
        credits: Name -> credit table; at least two, of the same steps.
        top: How many disagreements to list for each pair.

    Raises:
        ParameterError: Fewer than two credits, or they are not of the same steps.
    """
    if len(credits) < 2:
        raise ParameterError(f"compare needs at least two credits, got {list(credits)}")
    if top < 0:
        raise ParameterError(f"top must be at least 0, got {top}")
    names = list(credits)
    table = _aligned(credits)
    scored = table.drop_nulls([_value(k) for k in range(len(names))])
    ranked = _with_ranks(scored, len(names))
    pairs = list(itertools.combinations(range(len(names)), 2))
    return Comparison(
        names=tuple(names),
        steps=table.height,
        compared=scored.height,
        credits=pl.concat(_summary(table, scored, k, name) for k, name in enumerate(names)),
        pairs=pl.concat(_overall(ranked, names, pair) for pair in pairs),
        groups=pl.concat(_by_group(ranked, names, pair) for pair in pairs),
        disagreements=pl.concat(_disagreements(scored, names, pair, top) for pair in pairs),
    )


def summaries(credits: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Each credit in numbers, as `Comparison.credits`; one is enough.

    Raises:
        ParameterError: They are not of the same steps.
    """
    table = _aligned(credits)
    scored = table.drop_nulls([_value(k) for k in range(len(credits))])
    return pl.concat(_summary(table, scored, k, name) for k, name in enumerate(credits))


def sign_table(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.int64]:
    """Steps by the sign of both advantages, (S,) each: left by row, right by column, (3, 3).

    Rows and columns stand in the order +, 0, −.

    Example:
        >>> sign_table(np.array([1.0, 1.0, 0.0]), np.array([2.0, -1.0, -1.0])).tolist()
        [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    """
    row, column = (np.where(np.abs(v) <= TOLERANCE, 1, 1 - np.sign(v)) for v in (left, right))
    return np.bincount((3 * row + column).astype(np.int64), minlength=9).reshape(3, 3)


def why_unranked(table: pl.DataFrame) -> pl.Series:
    """Reason why rows of `pairs` or `groups` have no rank correlation; empty where they have."""
    left, right = (pl.col(f"{side}_std").fill_null(0) <= TOLERANCE for side in ("left", "right"))
    gives = " gives all its steps the same credit"
    reason = (
        pl.when(pl.col("spearman").is_not_null())
        .then(pl.lit(""))
        .when(pl.col("steps") < 2)
        .then(pl.lit("fewer than two steps"))
        .when(left & right)
        .then(pl.lit("each" + gives))
        .when(left)
        .then(pl.col("left") + gives)
        .otherwise(pl.col("right") + gives)
    )
    return table.select(reason.alias("why_unranked")).to_series()


def _value(k: int) -> str:
    return f"value_{k}"


def _aligned(credits: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The steps in the log's order with one column of advantages per credit.

    Raises:
        ParameterError: A table is malformed, or two are not of the same steps.
    """
    tables = [_checked(name, table) for name, table in credits.items()]
    names = list(credits)
    first = tables[0].rename({"advantage": _value(0)})
    columns = [first.drop(_TRAINED)]
    for k, table in enumerate(tables[1:], start=1):
        hint = "score the same log with both methods"
        _require_same_steps(repr(names[0]), tables[0], repr(names[k]), table, hint)
        columns.append(table.select(pl.col("advantage").alias(_value(k))))
    trained = pl.DataFrame([table[_TRAINED].alias(str(k)) for k, table in enumerate(tables)])
    both = trained.select(pl.all_horizontal(pl.all()).alias(_TRAINED))
    return pl.concat([*columns, both], how="horizontal")


def _checked(name: str, table: pl.DataFrame) -> pl.DataFrame:
    """Step columns and advantage in canonical order."""
    missing = [column for column in (*_STEP, "advantage") if column not in table.columns]
    if missing:
        raise ParameterError(
            f"{name!r} is not a credit table: missing columns {missing}; found {table.columns}"
        )
    if _TRAINED not in table.columns:
        table = table.with_columns(pl.lit(value=True).alias(_TRAINED))
    table = table.select(*_STEP, pl.col("advantage").cast(pl.Float64), _TRAINED).sort(_STEP)
    repeated = table.filter(pl.all_horizontal(pl.col(c) == pl.col(c).shift() for c in _STEP))
    if not repeated.is_empty():
        raise ParameterError(
            f"{name!r} has {number_of(repeated.height, 'step')} twice: {_places(repeated)}"
        )
    infinite = table.filter(~pl.col("advantage").is_finite())
    if not infinite.is_empty():
        raise ParameterError(
            f"{name!r}: the advantage of {number_of(infinite.height, 'step')} is not finite: "
            f"{_places(infinite)}. Hint: a step without credit has null and a reason in `excluded`"
        )
    return table


def require_steps_of(log: pl.DataFrame, credit: pl.DataFrame) -> None:
    """Refuse a credit whose steps are not those of a log.

    Raises:
        ParameterError: Steps are in one of them alone; the first are named.
    """
    hint = "name the log that was scored"
    _require_same_steps("the log", log.sort(_STEP), "the credit", credit.sort(_STEP), hint)


def _require_same_steps(
    left_name: str, left: pl.DataFrame, right_name: str, right: pl.DataFrame, hint: str
) -> None:
    if left.select(_STEP).equals(right.select(_STEP)):
        return
    problems = []
    for name, table, other in ((left_name, left, right), (right_name, right, left)):
        alone = table.join(other, on=_STEP, how="anti", maintain_order="left")
        if not alone.is_empty():
            problems.append(f"{are(alone.height, 'step')} only in {name}: {_places(alone)}")
    raise ParameterError(
        f"{left_name} and {right_name} do not describe the same steps: {'; '.join(problems)}. "
        f"Hint: {hint}"
    )


def _places(steps: pl.DataFrame) -> str:
    """The first three steps in words."""
    rows = steps.select(_STEP).head(3).iter_rows()
    return ", ".join(f"group {g!r} trajectory {t!r} step {s}" for g, t, s in rows)


def _with_ranks(scored: pl.DataFrame, count: int) -> pl.DataFrame:
    """Add the rank of each advantage in the log and in its group."""
    values = {k: pl.col(_value(k)).round(TIE_DECIMALS) for k in range(count)}
    # One partition for all columns: polars reuses it when the expressions stand together.
    return scored.with_columns(
        *(value.rank("average").alias(f"rank_{k}") for k, value in values.items()),
        *(
            value.rank("average").over("group_id").alias(f"group_rank_{k}")
            for k, value in values.items()
        ),
    )


def _summary(table: pl.DataFrame, scored: pl.DataFrame, k: int, name: str) -> pl.DataFrame:
    value = pl.col(_value(k))
    numbers = scored.select(
        *moments(value), (value.abs() <= TOLERANCE).sum().cast(pl.Int64).alias("zero")
    ).select("mean", "std", "minimum", "maximum", "zero", "zero_share")
    count = table[_value(k)].count()
    return numbers.select(
        pl.lit(name).alias("credit"), pl.lit(count, dtype=pl.Int64).alias("scored"), pl.all()
    )


def _overall(ranked: pl.DataFrame, names: Sequence[str], pair: tuple[int, int]) -> pl.DataFrame:
    return ranked.select(_measures(pair, "rank")).select(*_labels(names, pair), pl.all())


def _by_group(ranked: pl.DataFrame, names: Sequence[str], pair: tuple[int, int]) -> pl.DataFrame:
    grouped = ranked.group_by("group_id").agg(_measures(pair, "group_rank")).sort("group_id")
    return grouped.select(*_labels(names, pair), pl.all())


def _labels(names: Sequence[str], pair: tuple[int, int]) -> list[pl.Expr]:
    return [pl.lit(names[pair[0]]).alias("left"), pl.lit(names[pair[1]]).alias("right")]


def _measures(pair: tuple[int, int], rank: str) -> list[pl.Expr]:
    """Readings on two columns of advantages, of the log or of one group."""
    left, right = (pl.col(_value(k)) for k in pair)
    left_zero, right_zero = left.abs() <= TOLERANCE, right.abs() <= TOLERANCE
    flips = (left * right.sign() < 0) & ~left_zero & ~right_zero
    varies = pl.all_horizontal(side.max() - side.min() > TOLERANCE for side in (left, right))

    def correlation(one: pl.Expr, other: pl.Expr) -> pl.Expr:
        value = pl.corr(one, other).clip(-1.0, 1.0)
        return pl.when(varies & value.is_finite()).then(value)

    def count(condition: pl.Expr) -> pl.Expr:
        return condition.sum().cast(pl.Int64)

    return [
        pl.len().cast(pl.Int64).alias("steps"),
        correlation(*(pl.col(f"{rank}_{k}") for k in pair)).alias("spearman"),
        correlation(left, right).alias("pearson"),
        count(flips).alias("sign_flips"),
        flips.mean().alias("sign_flip_share"),
        count(left_zero & ~right_zero).alias("zero_left_only"),
        count(right_zero & ~left_zero).alias("zero_right_only"),
        count(left_zero & right_zero).alias("zero_both"),
        left.mean().alias("left_mean"),
        left.std(ddof=1).alias("left_std"),
        right.mean().alias("right_mean"),
        right.std(ddof=1).alias("right_std"),
    ]


def _standardised(value: pl.Expr) -> pl.Expr:
    varies = value.max() - value.min() > TOLERANCE
    return pl.when(varies).then((value - value.mean()) / value.std(ddof=1)).otherwise(0.0)


def _disagreements(
    scored: pl.DataFrame, names: Sequence[str], pair: tuple[int, int], top: int
) -> pl.DataFrame:
    left, right = (pl.col(_value(k)) for k in pair)
    difference = _standardised(right) - _standardised(left)
    table = scored.select(
        *_labels(names, pair),
        *_STEP,
        left.alias("left_advantage"),
        right.alias("right_advantage"),
        (right - left).alias("difference"),
        difference.alias("standardised_difference"),
        _TRAINED,
    ).with_row_index("order")
    # A step that is masked pulls at nothing, whatever its credit.
    if table[_TRAINED].any():
        table = table.filter(_TRAINED)
    # Rounded, so that two steps with the same credits do not change places by a rounding error.
    size = pl.col("standardised_difference").abs().round(TIE_DECIMALS)
    table = table.with_columns(size.alias("size"))
    candidates = table.filter(pl.col("size") >= pl.col("size").top_k(top).min())
    ordered = candidates.sort("size", "order", descending=[True, False])
    largest = ordered.head(top).drop("order", "size", _TRAINED)
    rank = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("rank")
    return largest.select("left", "right", rank, pl.exclude("left", "right"))
