"""Who counts in its group and who is trained, by what a log says of the end of a trajectory.

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

_BY = "finish_reason"
_LIMIT = (
    r"(?i)^(length|tokens?|time|context|message|working|cost|iterations?|budget)$"
    r"|max[_ -]|context|time[_ -]?out|timed[_ -]?out|limit|exceed|exit_cost|exit_total"
)
_NO_LIMIT = r"(?i)rate[_ -]?limit|quota"
"""Reasons in which a service, not the rollout, came to its limit."""

_ABORTED = frozenset({"abort", "aborted", "cancelled", "canceled"})
_MASKS = ("mask_sample", "remove_sample")
_WEIGHT = "sample_loss_mask"
_STATES = ("status", "stop_reason", _BY)
_DEEPEST = 3


def is_limit(reason: str | None) -> bool | None:
    """Whether a reason for stopping means that a limit cut the rollout; None where none is given.

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


def nested_mask(record: Mapping[str, Any], depth: int = _DEEPEST) -> str | None:
    """The key by which an object inside a record masks its rollout, such as `mask_sample`."""
    for value in record.values():
        if isinstance(value, dict):
            found = next((name for name in _MASKS if value.get(name) is True), None)
            if found is None and _is_zero(value.get(_WEIGHT)):
                found = _WEIGHT
            if found is None and depth > 1:
                found = nested_mask(value, depth - 1)
            if found is not None:
                return found
    return None


def _is_zero(value: Any) -> bool:
    return isinstance(value, bool | int | float) and not value


def with_mask_reason(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `mask_reason` to the rows that a column of a trainer masks, under any known name."""
    said: list[pl.Expr] = []
    for name in (*_MASKS, _WEIGHT):
        dtype = frame.schema.get(name)
        if dtype is None or not (dtype == pl.Boolean or dtype.is_numeric()):
            continue
        on = pl.col(name).cast(pl.Float64)
        masks = (on == 0) if name == _WEIGHT else (on != 0)
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
    return frame.with_columns(
        pl.when(changed).then(value).otherwise(pl.col(name)).alias(name)
        for name in ("in_group_statistics", "gradient_mask")
        if frame.schema[name] == pl.Boolean
    )


def _cut(frame: pl.DataFrame) -> pl.DataFrame:
    """Marks the last steps of trajectories that a limit ended, where nothing says otherwise."""
    limit = pl.col(_BY).str.contains(_LIMIT) & ~pl.col(_BY).str.contains(_NO_LIMIT)
    cut = limit & _is_last()
    if not frame.select(cut.any()).item():
        return frame
    frame = _as_truth(frame, "truncated")
    if frame.schema["truncated"] != pl.Boolean:
        return frame
    known = pl.col("truncated")
    value = pl.when(known.is_null() & cut).then(pl.lit(value=True)).otherwise(known)
    return frame.with_columns(value.alias("truncated"))


def _untrained(frame: pl.DataFrame, reasons: Sequence[str]) -> pl.DataFrame:
    frame = _as_truth(frame, "gradient_mask")
    if frame.schema["gradient_mask"] != pl.Boolean:
        return frame
    asked = ends_with(reasons)
    value = pl.when(asked).then(pl.lit(value=False)).otherwise(pl.col("gradient_mask"))
    return frame.with_columns(value.alias("gradient_mask"))


def require_reasons(frame: pl.DataFrame, reasons: Sequence[str]) -> None:
    """Refuses reasons for stopping that no trajectory has: a misspelt one would leave none out.

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
    """Why the trajectory of a row ended, by its last step that says so."""
    return pl.col(_BY).sort_by("step_index").drop_nulls().last().over("trajectory_id")


def ends_with(reasons: Sequence[str]) -> pl.Expr:
    """Whether the trajectory of a row ended with one of these, by its last step that says so."""
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
