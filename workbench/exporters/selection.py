"""Which steps of a scored log go into a batch, and how many do not and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from workbench.errors import MissingInputError, ParameterError

STEP = ["group_id", "trajectory_id", "step_index"]

REASONS = ("excluded_trajectories", "nonfinite_advantage", "no_token_ids", "zero_advantage_groups")
"""Why trajectories are dropped; one with several reasons counts under the first."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The steps of a batch.

    Args:
        steps: The log's rows that are kept, in canonical order, with `advantage` (Float32) and
            `episode_reward` (the undiscounted sum of the trajectory's rewards).
        token_level: Whether every kept step has prompt_ids and response_ids.
        input: groups, trajectories and steps of the log.
        dropped: Reason -> groups (that lost a trajectory), trajectories, steps.
        zero_advantage_groups: Kept groups in which no trained step has an advantage.
    """

    steps: pl.DataFrame
    token_level: bool
    input: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    zero_advantage_groups: int


def select(log: pl.DataFrame, credit: pl.DataFrame, *, drop_zero_groups: bool) -> Selection:
    """Joins a log with its credit and drops whole trajectories that cannot be trained on.

    A trajectory is dropped when it is excluded in the log or in the credit, when a trained step's
    advantage is not finite as float32, or when a step lacks token ids while other trajectories
    have them all. A group whose trained steps all have advantage 0 is kept unless told otherwise.

    Raises:
        ParameterError: Credit and log are not of the same steps, or a scored step has no advantage.
        MissingInputError: Nothing is left.
    """
    steps = _joined(log, credit)
    token_level, has_tokens = _token_level(steps)
    trained = pl.col("gradient_mask")
    finite = pl.col("advantage").is_finite() | ~trained
    one = "trajectory_id"
    reason = (
        pl.when(pl.col("excluded").is_not_null().any().over(one))
        .then(pl.lit("excluded_trajectories"))
        .when((~finite).any().over(one))
        .then(pl.lit("nonfinite_advantage"))
        .when((~has_tokens).any().over(one) & token_level)
        .then(pl.lit("no_token_ids"))
    )
    steps = steps.with_columns(reason.alias("dropped"))
    idle = (pl.col("dropped").is_not_null() | ~trained | (pl.col("advantage") == 0)).all()
    zero = idle.over("group_id") & pl.col("dropped").is_null()
    zero_groups = steps.filter(zero)["group_id"].n_unique()
    if drop_zero_groups:
        new = pl.when(zero).then(pl.lit("zero_advantage_groups")).otherwise(pl.col("dropped"))
        steps = steps.with_columns(new.alias("dropped"))
    dropped = {name: counts(steps.filter(pl.col("dropped") == name)) for name in REASONS}
    kept = steps.filter(pl.col("dropped").is_null())
    if kept.is_empty():
        why = {name: entry["trajectories"] for name, entry in dropped.items()}
        raise MissingInputError(f"no trajectory is left to export; dropped: {why}")
    return Selection(
        steps=kept.drop("dropped"),
        token_level=token_level,
        input=counts(steps),
        dropped=dropped,
        zero_advantage_groups=0 if drop_zero_groups else zero_groups,
    )


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
    log = log.sort(STEP)
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
            f"{empty.height} scored steps have no advantage in the credit: {places(empty)}"
        )
    return steps.with_columns(pl.col("advantage").cast(pl.Float32))


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
