"""Which steps of a scored log go into a batch, and how many do not and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters.options import Options

STEP = ["group_id", "trajectory_id", "step_index"]

REASONS: Mapping[str, str] = {
    "not_selected": "not asked for",
    "excluded_trajectories": "no usable reward",
    "nonfinite_advantage": "advantage not finite",
    "no_token_ids": "no token ids",
    "zero_advantage_groups": "zero groups",
}
"""Why trajectories are dropped, each in words; one with several reasons has the first."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The steps of a batch.

    Args:
        steps: The log's rows that are kept, in canonical order, with `advantage` (Float32, as it
            is trained), `gradient_mask` (whether it is) and `episode_reward` (the undiscounted
            sum of the trajectory's rewards).
        token_level: Whether every kept step has prompt_ids and response_ids.
        input: groups, trajectories and steps of the log.
        dropped: Reason -> groups (that lost a trajectory), trajectories, steps.
        zero_advantage_groups: Kept groups in which no trained step has an advantage.
        by_mark: Kept steps that are not trained because of people's marks.
        not_positive: Kept steps that are not trained because their advantage is not above 0.
        clipped_steps: Kept steps whose advantage was limited.
        below_top_share: Kept steps that are not trained because others have more |advantage|.
    """

    steps: pl.DataFrame
    token_level: bool
    input: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    zero_advantage_groups: int
    by_mark: int
    not_positive: int
    clipped_steps: int
    below_top_share: int


def select(log: pl.DataFrame, credit: pl.DataFrame, options: Options) -> Selection:
    """Joins a log with its credit and drops whole trajectories that cannot be trained on.

    A trajectory is dropped when it is not among the groups or tasks asked for, when it is excluded
    in the log or in the credit, when a trained step's advantage is infinite as float32, or when a
    step lacks token ids while other trajectories have them all. A group whose trained steps all
    have advantage 0 is kept unless told otherwise. Of what is kept, steps are set aside by people's
    marks first, then those without a positive advantage (where that is asked for), then advantages
    are limited, then the top share of the steps is taken.

    Raises:
        ParameterError: Credit and log are not of the same steps, a scored step has no advantage or
            one that is no number, or there is no such group or task.
        EmptyBatchError: Nothing is left.
    """
    steps = _joined(log, credit)
    token_level, has_tokens = _token_level(steps)
    finite = pl.col("advantage").is_finite() | ~pl.col("gradient_mask")
    one = "trajectory_id"
    reason = (
        pl.when(~_selected(steps, options))
        .then(pl.lit("not_selected"))
        .when(pl.col("excluded").is_not_null().any().over(one))
        .then(pl.lit("excluded_trajectories"))
        .when((~finite).any().over(one))
        .then(pl.lit("nonfinite_advantage"))
        .when((~has_tokens).any().over(one) & token_level)
        .then(pl.lit("no_token_ids"))
    )
    steps = steps.with_columns(reason.alias("dropped"))
    steps, by_mark = _by_mark(steps, options.marked)
    steps, not_positive = _positive(steps, only=options.positive_only)
    steps, clipped = _clipped(steps, options.clip)
    steps, below = _top(steps, options.top_share)
    trained = pl.col("gradient_mask")
    idle = (pl.col("dropped").is_not_null() | ~trained | (pl.col("advantage") == 0)).all()
    zero = idle.over("group_id") & pl.col("dropped").is_null()
    zero_groups = steps.select(pl.col("group_id").filter(zero).n_unique()).item()
    if options.drop_zero_groups:
        new = pl.when(zero).then(pl.lit("zero_advantage_groups")).otherwise(pl.col("dropped"))
        steps = steps.with_columns(new.alias("dropped"))
    ids = steps.select(*STEP, "dropped")  # a filter copies what it keeps, token ids too
    dropped = {name: counts(ids.filter(pl.col("dropped") == name)) for name in REASONS}
    whole = ids["dropped"].null_count() == ids.height
    kept = steps if whole else steps.filter(pl.col("dropped").is_null())
    if kept.is_empty():
        lost = {REASONS[name]: entry["trajectories"] for name, entry in dropped.items()}
        why = ", ".join(f"{count} ({reason})" for reason, count in lost.items() if count)
        raise EmptyBatchError(f"no trajectory is left to export; left out: {why or 'none'}")
    return Selection(
        steps=kept.drop("dropped"),
        token_level=token_level,
        input=counts(steps),
        dropped=dropped,
        zero_advantage_groups=0 if options.drop_zero_groups else zero_groups,
        by_mark=by_mark,
        not_positive=not_positive,
        clipped_steps=clipped,
        below_top_share=below,
    )


def _selected(steps: pl.DataFrame, options: Options) -> pl.Expr:
    """Which steps are of the groups and tasks asked for.

    Raises:
        ParameterError: One of them is not in the log.
    """
    wanted = pl.lit(value=True)
    for column, names in (("group_id", options.groups), ("task", options.tasks)):
        if names is None:
            continue
        if column not in steps.columns:
            raise ParameterError(
                f"the log has no column {column!r} to choose by. Hint: choose groups (--group)"
            )
        known = steps[column].drop_nulls().unique()
        unknown = sorted(set(names) - set(known))
        if unknown:
            kind, some = column.removesuffix("_id"), sorted(known)[:3]
            raise ParameterError(
                f"the log has no {kind} {unknown[0]!r}; it has {known.len()}, the first {some}"
            )
        wanted &= pl.col(column).is_in(list(names)).fill_null(value=False)
    # A trajectory whose steps name different tasks comes whole or not at all.
    return wanted.all().over("trajectory_id")


def _by_mark(steps: pl.DataFrame, marked: str) -> tuple[pl.DataFrame, int]:
    """Steps of which only the marked, or all but them, are trained; and how many others were.

    Raises:
        ParameterError: The log has no marks to choose by.
    """
    if marked == "all":
        return steps, 0
    if "mark" not in steps.columns:
        raise ParameterError(
            "the log has no column 'mark' to choose by. Hint: name the workspace whose marks are "
            "meant (--marks WORKSPACE), or take marked=all"
        )
    wanted = pl.col("mark").is_null() if marked == "without" else pl.col("mark").is_not_null()
    other = pl.col("gradient_mask") & pl.col("dropped").is_null() & ~wanted
    return steps.with_columns(pl.col("gradient_mask") & wanted), _number(steps, other)


def _positive(steps: pl.DataFrame, *, only: bool) -> tuple[pl.DataFrame, int]:
    """Steps of which only those with an advantage above 0 are trained, and how many others were."""
    if not only:
        return steps, 0
    other = pl.col("gradient_mask") & pl.col("dropped").is_null() & (pl.col("advantage") <= 0)
    other = other.fill_null(value=False)
    return steps.with_columns(pl.col("gradient_mask") & ~other), _number(steps, other)


def _clipped(steps: pl.DataFrame, limit: float | None) -> tuple[pl.DataFrame, int]:
    """Steps with advantages limited to ±limit, and how many of the kept and trained ones were."""
    if limit is None:
        return steps, 0
    trained = pl.col("gradient_mask") & pl.col("dropped").is_null()
    beyond = trained & (pl.col("advantage").abs() > limit)
    return steps.with_columns(pl.col("advantage").clip(-limit, limit)), _number(steps, beyond)


def _top(steps: pl.DataFrame, share: float) -> tuple[pl.DataFrame, int]:
    """Steps of which only the top share by |advantage| is trained, and how many others lost that.

    With n trained steps the threshold is the ⌈share · n⌉-th largest |advantage| (to nine digits of
    that product); all that reach it are trained, so that equal steps are treated alike.
    """
    trained = pl.col("gradient_mask") & pl.col("dropped").is_null()
    size = steps.select(pl.col("advantage").filter(trained).abs().sort(descending=True)).to_series()
    if share == 1 or not size.len():
        return steps, 0
    threshold = size[max(math.ceil(share * size.len() - 1e-9), 1) - 1]
    below = (trained & (pl.col("advantage").abs() < threshold)).fill_null(value=False)
    return steps.with_columns(pl.col("gradient_mask") & ~below), _number(steps, below)


def _number(steps: pl.DataFrame, which: pl.Expr) -> int:
    """How many steps an expression holds for."""
    return int(steps.select(which.sum()).item())


def counts(steps: pl.DataFrame) -> dict[str, int]:
    """groups, trajectories and steps of a frame of steps."""
    return {
        "groups": steps["group_id"].n_unique(),
        "trajectories": steps["trajectory_id"].n_unique(),
        "steps": steps.height,
    }


def places(steps: pl.DataFrame) -> str:
    """The first three steps in words, with file and line where the log says so."""
    texts = []
    for row in steps.head(3).iter_rows(named=True):
        text = f"group {row['group_id']!r} trajectory {row['trajectory_id']!r}"
        text += f" step {row['step_index']}"
        if row.get("source_file") is not None and row.get("source_line") is not None:
            text += f" ({row['source_file']}:{row['source_line']})"
        texts.append(text)
    return ", ".join(texts)


def _joined(log: pl.DataFrame, credit: pl.DataFrame) -> pl.DataFrame:
    """The log in canonical order with the credit's advantage and both reasons for exclusion."""
    log = _ordered(log)
    missing = [name for name in (*STEP, "advantage", "excluded") if name not in credit.columns]
    if missing:
        raise ParameterError(f"not a credit table: missing columns {missing}")
    credit = credit.select(*STEP, "advantage", pl.col("excluded").alias("unscored")).sort(STEP)
    if not log.select(STEP).equals(credit.select(STEP)):
        _raise_other_steps(log, credit)
    steps = log.with_columns(
        credit["advantage"],
        pl.coalesce("excluded", credit["unscored"]).alias("excluded"),
        pl.col("reward").sum().over("trajectory_id").alias("episode_reward"),
    )
    empty = steps.filter(pl.col("excluded").is_null() & pl.col("advantage").is_null())
    if not empty.is_empty():
        raise ParameterError(
            f"{empty.height} scored steps have no advantage in the credit: {places(empty)}. "
            "Hint: score this log again"
        )
    no_number = steps.filter(pl.col("excluded").is_null() & pl.col("advantage").is_nan())
    if not no_number.is_empty():
        raise ParameterError(
            f"the advantage of {no_number.height} scored steps is NaN: {places(no_number)}. "
            "Hint: score this log again"
        )
    return steps.with_columns(pl.col("advantage").cast(pl.Float32))


def _ordered(log: pl.DataFrame) -> pl.DataFrame:
    """The log in canonical order; one that is in order is not copied."""
    order = log.select(*STEP).with_row_index("row").sort(STEP)["row"]
    return log if order.is_sorted() else log[order]


def _raise_other_steps(log: pl.DataFrame, credit: pl.DataFrame) -> None:
    problems = []
    for name, one, other in (("log", log, credit), ("credit", credit, log)):
        repeated = one.filter(pl.struct(STEP).is_duplicated())
        if not repeated.is_empty():
            problems.append(f"the {name} has steps twice: {places(repeated)}")
        alone = one.join(other, on=STEP, how="anti", maintain_order="left")
        if not alone.is_empty():
            problems.append(f"{alone.height} steps are only in the {name}: {places(alone)}")
    raise ParameterError(
        f"log and credit do not describe the same steps: {'; '.join(problems)}. "
        "Hint: score this log again"
    )


def _token_level(steps: pl.DataFrame) -> tuple[bool, pl.Expr]:
    """Whether some trajectory has token ids at every step, and which steps have them."""
    if not {"prompt_ids", "response_ids"} <= set(steps.columns):
        return False, pl.lit(value=False)
    has = pl.col("prompt_ids").is_not_null() & pl.col("response_ids").is_not_null()
    return bool(steps.select(has.all().over("trajectory_id").any()).item()), has
