"""Selection of a batch's steps from a scored log, with counts of the rest by reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters.options import Options
from workbench.log.credit import READ_FROM_LOG
from workbench.log.pairing import require_same_rewards
from workbench.wording import are, number_of

STEP = ["group_id", "trajectory_id", "step_index"]

REASONS: Mapping[str, str] = {
    "not_selected": "not asked for",
    "excluded_trajectories": "no usable reward",
    "nonfinite_advantage": "advantage not finite",
    "no_token_ids": "no token ids",
    "zero_advantage_groups": "zero groups",
    "template": "the chat template cannot render it",
}
"""Reasons for dropping trajectories, in words; one with several reasons has the first."""

IN_FILTER = "in_filter"
"""Column of a log: whether the filter of an export leaves a step."""

UNTRAINED: Mapping[str, str] = {
    "masked_in_log": "masked in the log",
    "by_mark": "by people's marks",
    "by_filter": "not left by the filter",
    "not_positive": "advantage not above 0",
    "below_top_share": "below the top share",
    "no_prompt": "its reply opens the conversation, so there is no prompt",
    "no_label": "an advantage of 0 is no label",
    "other_history": "same observation as others, but after another history",
    "only_reply": "no other trained reply to the same history",
    "no_margin": "no other reply to the same history has an advantage apart by the margin",
    "same_text": "the replies apart by the margin have the same text",
    "already_paired": "the replies it could be paired with are in other pairs",
}
"""Reasons for not training steps of a batch, in words."""

PAIRLESS = {"other_history", "only_reply", "no_margin", "same_text", "already_paired"}
"""Those for which a reply is in no pair."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The steps of a batch.

    Args:
        steps: The log's rows that are kept, in canonical order, with `advantage` (Float32, as it
            is trained), `gradient_mask` (whether it is), `untrained` (a key of `UNTRAINED`; null
            for a trained step), `clipped` (whether its advantage was limited) and
            `episode_reward` (the undiscounted sum of the trajectory's rewards).
        token_level: Whether every kept step has prompt_ids and response_ids.
        input: groups, trajectories and steps of the log.
        dropped: Reason -> groups (that lost a trajectory), trajectories, steps.
        masks_changed: Trajectories that count or train differently from the log that was scored.
    """

    steps: pl.DataFrame
    token_level: bool
    input: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    masks_changed: int


def select(
    log: pl.DataFrame, credit: pl.DataFrame, options: Options, *, texts: bool = False
) -> Selection:
    """Join a log with its credit and drop whole trajectories that cannot be trained on.

    A trajectory is dropped when it is not among the groups or tasks asked for, when the filter
    leaves no step of it, when it is excluded in the log or in the credit, when a trained step's
    advantage is infinite as float32, or when a step lacks token ids while other trajectories have
    them all. A group whose trained steps all have advantage 0 is kept unless set otherwise. Of
    what is kept, steps are set aside by people's marks and by the filter first, then those without
    a positive advantage (where that is asked for), then advantages are limited, then the top share
    of the steps is taken.

    Args:
        log: A validated step log.
        credit: The credit of the same steps.
        options: What the user asks for.
        texts: Whether the batch is of messages even where the log has token ids.

    Raises:
        ParameterError: Credit and log are not of the same steps, a scored step has no advantage or
            one that is no number, or there is no such group or task.
        EmptyBatchError: Nothing is left.
    """
    steps, masks_changed = _joined(log, credit)
    token_level, has_tokens = (False, pl.lit(value=False)) if texts else _token_level(steps)
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
    masked = pl.when(~pl.col("gradient_mask")).then(pl.lit("masked_in_log"))
    steps = steps.with_columns(masked.alias("untrained"))
    steps = _by_mark(steps, options.marked)
    if options.filter is not None:
        steps = without(steps, _trainable() & ~pl.col(IN_FILTER), "by_filter")
    steps = _positive(steps, only=options.positive_only)
    steps = _clipped(steps, options.clip)
    steps = _top(steps, options.top_share)
    trained = pl.col("gradient_mask")
    idle = (pl.col("dropped").is_not_null() | ~trained | (pl.col("advantage") == 0)).all()
    zero = idle.over("group_id") & pl.col("dropped").is_null()
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
        masks_changed=masks_changed,
    )


def _selected(steps: pl.DataFrame, options: Options) -> pl.Expr:
    """Mask of steps in the selected groups and tasks.

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
    wanted = wanted.all().over("trajectory_id")
    if options.filter is None:
        return wanted
    if IN_FILTER not in steps.columns:
        raise ParameterError(
            f"the log has no column {IN_FILTER!r}, the steps that the filter leaves; "
            "`workspace.chosen.for_export` makes it"
        )
    return wanted & pl.col(IN_FILTER).any().over("trajectory_id")


def _trainable() -> pl.Expr:
    """Steps that nothing has set aside yet."""
    return pl.col("gradient_mask") & pl.col("dropped").is_null()


def _by_mark(steps: pl.DataFrame, marked: str) -> pl.DataFrame:
    """Steps of which only the marked, or all but them, are trained.

    Raises:
        ParameterError: The log has no marks to choose by.
    """
    if marked == "all":
        return steps
    if "mark" not in steps.columns:
        raise ParameterError(
            "the log has no column 'mark' to choose by. Hint: name the workspace whose marks are "
            "meant (--marks WORKSPACE), or take marked=all"
        )
    wanted = pl.col("mark").is_null() if marked == "without" else pl.col("mark").is_not_null()
    other = _trainable() & ~wanted
    return without(steps, other, "by_mark")


def _positive(steps: pl.DataFrame, *, only: bool) -> pl.DataFrame:
    """Steps of which only those with an advantage above 0 are trained."""
    if not only:
        return steps
    return without(steps, _trainable() & (pl.col("advantage") <= 0), "not_positive")


def _clipped(steps: pl.DataFrame, limit: float | None) -> pl.DataFrame:
    """Steps with advantages limited to ±limit; `clipped` says which of the trained ones were."""
    if limit is None:
        return steps.with_columns(pl.lit(value=False).alias("clipped"))
    trained = pl.col("gradient_mask") & pl.col("dropped").is_null()
    beyond = trained & (pl.col("advantage").abs() > limit)
    return steps.with_columns(
        pl.col("advantage").clip(-limit, limit), beyond.fill_null(value=False).alias("clipped")
    )


def _top(steps: pl.DataFrame, share: float) -> pl.DataFrame:
    """Steps of which only the top share by |advantage| is trained.

    With n trained steps the threshold is the ⌈share · n⌉-th largest |advantage| (to nine digits of
    that product); all that reach it are trained, so that equal steps are treated alike.
    """
    trained = pl.col("gradient_mask") & pl.col("dropped").is_null()
    size = steps.select(pl.col("advantage").filter(trained).abs().sort(descending=True)).to_series()
    if share == 1 or not size.len():
        return steps
    threshold = size[max(math.ceil(share * size.len() - 1e-9), 1) - 1]
    return without(steps, trained & (pl.col("advantage").abs() < threshold), "below_top_share")


def without(steps: pl.DataFrame, which: pl.Expr, reason: str) -> pl.DataFrame:
    """Steps of which these are not trained, for a reason of `UNTRAINED`."""
    which = which.fill_null(value=False)
    untrained = pl.when(which).then(pl.lit(reason)).otherwise(pl.col("untrained"))
    return steps.with_columns(pl.col("gradient_mask") & ~which, untrained.alias("untrained"))


def training_counts(steps: pl.DataFrame) -> dict[str, int]:
    """Counts of selected steps: not trained (all and by reason), and clipped."""
    untrained = steps["untrained"]
    return {
        "masked_steps": untrained.count(),
        **{reason: int((untrained == reason).sum()) for reason in UNTRAINED},
        "clipped_steps": int(steps["clipped"].sum()),
    }


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


def _joined(log: pl.DataFrame, credit: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The log in canonical order with the credit's advantage and both reasons for exclusion.

    And how many trajectories count or train otherwise than in the log that was scored.
    """
    log = _ordered(log)
    missing = [name for name in (*STEP, "advantage", "excluded") if name not in credit.columns]
    if missing:
        raise ParameterError(f"not a credit table: missing columns {missing}")
    known = [name for name in READ_FROM_LOG if name in credit.columns]
    credit = credit.select(*STEP, "advantage", pl.col("excluded").alias("unscored"), *known).sort(
        STEP
    )
    if not log.select(STEP).equals(credit.select(STEP)):
        _raise_other_steps(log, credit)
    if "reward" in known:
        require_same_rewards(log, credit)
    steps = log.with_columns(
        credit["advantage"],
        pl.coalesce("excluded", credit["unscored"]).alias("excluded"),
        pl.col("reward").sum().over("trajectory_id").alias("episode_reward"),
    )
    empty = steps.filter(pl.col("excluded").is_null() & pl.col("advantage").is_null())
    if not empty.is_empty():
        raise ParameterError(
            f"{are(empty.height, 'scored step', 'have')} no advantage in the credit: "
            f"{places(empty)}. Hint: score this log again"
        )
    no_number = steps.filter(pl.col("excluded").is_null() & pl.col("advantage").is_nan())
    if not no_number.is_empty():
        raise ParameterError(
            f"the advantage of {number_of(no_number.height, 'scored step')} is NaN: "
            f"{places(no_number)}. Hint: score this log again"
        )
    return steps.with_columns(pl.col("advantage").cast(pl.Float32)), _masks_changed(log, credit)


def _masks_changed(log: pl.DataFrame, credit: pl.DataFrame) -> int:
    changed = [
        log[name] != credit[name]
        for name in ("in_group_statistics", "gradient_mask")
        if name in credit.columns
    ]
    other = log.select("trajectory_id").filter(pl.any_horizontal(changed)) if changed else log[:0]
    return other["trajectory_id"].n_unique()


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
            problems.append(f"{are(alone.height, 'step')} only in the {name}: {places(alone)}")
    raise ParameterError(
        f"log and credit do not describe the same steps: {'; '.join(problems)}. "
        "Hint: score this log again"
    )


def _token_level(steps: pl.DataFrame) -> tuple[bool, pl.Expr]:
    """True if some trajectory has token ids at every step, and the mask of steps with them."""
    if not {"prompt_ids", "response_ids"} <= set(steps.columns):
        return False, pl.lit(value=False)
    has = pl.col("prompt_ids").is_not_null() & pl.col("response_ids").is_not_null()
    return bool(steps.select(has.all().over("trajectory_id").any()).item()), has
