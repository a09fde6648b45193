"""Votes: who counts in its group and who is trained, by a log's words on a trajectory's end.

Two things are kept apart: a vote in the statistics of the group (`in_group_statistics`) and a part
in the loss (`gradient_mask`). What a trainer masked has neither; what a limit cut off has both, if
it was rewarded; what the user leaves untrained keeps its vote.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from workbench.errors import ParameterError
from workbench.log.rules import cast
from workbench.log.verdicts import TRUTHS

_BY = "finish_reason"
_LIMIT = (
    r"(?i)^(length|tokens?|time|context|message|working|cost|iterations?|budget)$"
    r"|max[_ -]|context|truncat|time[_ -]?out|timed[_ -]?out|limit|exceed|exit_cost|exit_total"
)
_NO_LIMIT = r"(?i)rate[_ -]?limit|quota"
"""Reasons in which a service, not the rollout, came to its limit."""

_ABORTED = frozenset({"abort", "aborted", "cancelled", "canceled"})
_CALLS = r"(?i)^(tool_calls?|tool_use|function_call)$"
"""Reasons that say of a reply that it calls a tool, and nothing of how the rollout went on."""

_MASKS = (
    "mask_sample", "remove_sample", "exclude", "is_excluded", "overlong_filtered", "is_filtered",
)  # fmt: skip
_WEIGHTS = ("sample_loss_mask", "sample_weight", "loss_weight")
_OF_RECORD = ("masked", "is_masked")
"""Masks of a step where a log says them of steps; of the rollout where a record is one."""

_ZERO_OF_RECORD = ("loss_mask", "trainable")
READ = frozenset({*_MASKS, *_WEIGHTS})
"""Columns that are read here, besides those of the step log."""

_DEEP_MASKS, _DEEP_WEIGHTS = ("mask_sample", "remove_sample", "is_masked"), ("sample_loss_mask",)
_TRAINS = ("loss_mask", "weight", "train", "trainable", "training", "loss")
_STATES = ("status", "stop_reason", _BY)
_DEEPEST = 3


def is_limit(reason: str | None) -> bool | None:
    """True if a stop reason means that a limit cut the rollout; None where none is given.

    Example:
        >>> [is_limit(reason) for reason in ("max_iterations", "stop", "RateLimitError", None)]
        [True, False, False, None]
    """
    if reason is None:
        return None
    return re.search(_LIMIT, reason) is not None and re.search(_NO_LIMIT, reason) is None


def wanted_reasons(untrained: Sequence[str]) -> tuple[str, ...]:
    """The reasons for stopping whose trajectories the user leaves untrained.

    Args:
        untrained: Each as `finish_reason=max_iterations`.

    Raises:
        ParameterError: One is of another form.
    """
    given = [untrained] if isinstance(untrained, str) else list(untrained)
    reasons = []
    for one in given:
        name, equals, reason = one.partition("=") if isinstance(one, str) else ("", "", "")
        if name != _BY or not equals or not reason:
            raise ParameterError(f"untrained takes {_BY}=REASON, such as {_BY}=length, got {one!r}")
        reasons.append(reason)
    return tuple(reasons)


def mask_of(record: Mapping[str, Any]) -> str | None:
    """The key by which the record of a rollout masks it, at its top or in an object inside it.

    Example:
        >>> mask_of({"is_masked": "true"}), mask_of({"loss_mask": 0}), mask_of({"masked": False})
        ('is_masked', 'loss_mask', None)
    """
    own = _mask_in(record, (*_MASKS, *_OF_RECORD), (*_WEIGHTS, *_ZERO_OF_RECORD))
    return own or nested_mask(record)


def without_masks(fields: dict[str, Any]) -> None:
    """Put the opposite names of `gradient_mask` that a record has for its rollout under its own.

    What is no truth value stays, to be refused.
    """
    for name in _OF_RECORD:
        masked = is_true(fields.get(name))
        if masked is not None:
            del fields[name]
            fields.setdefault("gradient_mask", not masked)


def untrained_by(message: Mapping[str, Any]) -> str | None:
    """The key by which a message of the policy says that it is not trained, such as `weight: 0`."""
    return _mask_in(message, _OF_RECORD, _TRAINS)


def is_trained_key(key: str, value: Any) -> bool:
    """True if this key of a message states, with such a value, that it is trained or not."""
    return key in {*_OF_RECORD, *_TRAINS} and is_true(value) is not None


def is_true(value: Any) -> bool | None:
    """A truth value, 0 or 1, or a word of one; None for anything else."""
    if isinstance(value, str):
        return TRUTHS.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def _mask_in(record: Mapping[str, Any], on: Sequence[str], off: Sequence[str]) -> str | None:
    """The first key of a record that is true of the first names, or false or 0 of the others."""
    found = (name for name in on if name in record and is_true(record[name]))
    zeros = (name for name in off if name in record and is_true(record[name]) is False)
    return next(found, None) or next(zeros, None)


def nested_mask(record: Mapping[str, Any], depth: int = _DEEPEST) -> str | None:
    """The key by which an object inside a record masks its rollout, such as `mask_sample`."""
    for value in record.values():
        if isinstance(value, dict):
            found = _mask_in(value, _DEEP_MASKS, _DEEP_WEIGHTS)
            if found is None and depth > 1:
                found = nested_mask(value, depth - 1)
            if found is not None:
                return found
    return None


def with_mask_reason(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `mask_reason` to the rows that a column of a trainer masks, under any known name."""
    said: list[pl.Expr] = []
    for name in (*_MASKS, *_WEIGHTS):
        dtype = frame.schema.get(name)
        if dtype is None or not (dtype in {pl.Boolean, pl.String} or dtype.is_numeric()):
            continue
        values = cast(frame[name], pl.Boolean())[0] if dtype == pl.String else frame[name]
        on = pl.lit(values.cast(pl.Float64))
        masks = (on == 0) if name in _WEIGHTS else (on != 0)
        said.append(pl.when(masks).then(pl.lit(name)))
    said += [
        pl.when(pl.col(name).str.to_lowercase().is_in(_ABORTED)).then(pl.lit("aborted"))
        for name in _STATES
        if frame.schema.get(name) == pl.String
    ]
    if not said:
        return frame
    given = [pl.col("mask_reason")] if frame.schema.get("mask_reason") == pl.String else []
    reasons = frame.select(pl.coalesce(*given, *said).alias("mask_reason"))
    if not given and reasons["mask_reason"].null_count() == frame.height:
        return frame
    return frame.with_columns(reasons["mask_reason"])


def with_votes(
    frame: pl.DataFrame, reasons: Sequence[str] = (), *, keep_masked: bool = False
) -> pl.DataFrame:
    """Says of every trajectory whether it counts, whether it is trained, and whether it was cut.

    What the log itself says in these columns stays.

    Args:
        frame: Step rows under canonical names.
        reasons: `finish_reason` of the trajectories that count, but are not trained.
        keep_masked: Count and train what the log masks.
    """
    if not {"trajectory_id", "step_index"} <= set(frame.columns):
        return frame
    if frame.schema.get("mask_reason") == pl.String:
        frame = _masked(frame, keep_masked=keep_masked)
    if frame.schema.get(_BY) == pl.String:
        frame = _cut(frame)
        if reasons:
            frame = _untrained(frame, reasons)
    return frame


def _masked(frame: pl.DataFrame, *, keep_masked: bool) -> pl.DataFrame:
    frame = _as_truth(frame, "in_group_statistics", "gradient_mask")
    if frame.schema["in_group_statistics"] != pl.Boolean:
        return frame
    one = "trajectory_id"
    masked = pl.col("mask_reason").is_not_null().any().over(one)
    # A log that says who counts was decided on before, such as one that kept what was masked.
    open_ = pl.col("in_group_statistics").is_null().all().over(one)
    changed = masked if keep_masked else masked & open_
    value = pl.lit(keep_masked)
    values = {"in_group_statistics": value}
    if frame.schema["gradient_mask"] == pl.Boolean:
        # Single turns that the log does not train are no part of what masks the whole.
        trained = pl.col("gradient_mask").fill_null(value=True)
        kept = pl.when(trained.any().over(one)).then(trained).otherwise(value)
        values["gradient_mask"] = kept if keep_masked else value
    return frame.with_columns(
        pl.when(changed).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def _cut(frame: pl.DataFrame) -> pl.DataFrame:
    """Says of last steps whether a limit ended them, by their reason, where nothing else does.

    Where no trajectory was cut and the log does not speak of it, nothing is said.
    """
    limit = pl.col(_BY).str.contains(_LIMIT) & ~pl.col(_BY).str.contains(_NO_LIMIT)
    says = _is_last() & pl.col(_BY).is_not_null() & ~pl.col(_BY).str.contains(_CALLS)
    if "truncated" not in frame.columns and not frame.select((limit & says).any()).item():
        return frame
    frame = _as_truth(frame, "truncated")
    if frame.schema["truncated"] != pl.Boolean:
        return frame
    known = pl.col("truncated")
    value = pl.when(known.is_null() & says).then(limit).otherwise(known)
    return frame.with_columns(value.alias("truncated"))


def _untrained(frame: pl.DataFrame, reasons: Sequence[str]) -> pl.DataFrame:
    frame = _as_truth(frame, "gradient_mask")
    if frame.schema["gradient_mask"] != pl.Boolean:
        return frame
    asked = ends_with(reasons)
    value = pl.when(asked).then(pl.lit(value=False)).otherwise(pl.col("gradient_mask"))
    return frame.with_columns(value.alias("gradient_mask"))


def require_reasons(frame: pl.DataFrame, reasons: Sequence[str]) -> None:
    """Refuse reasons for stopping that no trajectory has: a misspelt one would leave none out.

    Args:
        frame: Step rows under canonical names.
        reasons: As `wanted_reasons` gives them.

    Raises:
        ParameterError: With the reasons that there are.
    """
    if not reasons or not {"trajectory_id", "step_index"} <= set(frame.columns):
        return
    ends: list[str] = []
    if frame.schema.get(_BY) == pl.String:
        ends = frame.select(last_reason().drop_nulls().unique().sort()).to_series().to_list()
    for reason in reasons:
        if reason not in ends:
            close = difflib.get_close_matches(reason, ends, n=1)
            there = ", ".join(map(repr, ends[:8])) + ", …" * (len(ends) > 8)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ParameterError(
                f"no trajectory ended with {_BY} {reason!r}. Hint: {hint}"
                + (f"the log has {there}" if ends else f"the log has no {_BY}")
            )


def last_reason() -> pl.Expr:
    """Stop reason of a row's trajectory, by its last step with one."""
    return pl.col(_BY).sort_by("step_index").drop_nulls().last().over("trajectory_id")


def ends_with(reasons: Sequence[str]) -> pl.Expr:
    """True if a row's trajectory ended with one of these, by its last step that has a reason."""
    return last_reason().is_in(list(reasons)).fill_null(value=False)


def _is_last() -> pl.Expr:
    return pl.col("step_index") == pl.col("step_index").max().over("trajectory_id")


def _as_truth(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Columns as truth values, null where the log has none; what is none stays, to be refused."""
    for name in names:
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.Boolean).alias(name))
            continue
        try:
            values, lost = cast(frame[name], pl.Boolean())
        except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError):
            continue
        if not lost.any():
            frame = frame.with_columns(values.alias(name))
    return frame
