"""Token-level rows of a batch: ids, masks, log-probabilities and advantages, aligned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.errors import ParameterError
from workbench.exporters.lists import Ints, flat, lengths, nested, row_has
from workbench.exporters.selection import places
from workbench.wording import number_of

_MAX_STEP = np.iinfo(np.int16).max


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Rows of a token-level batch.

    Args:
        rows: The batch, columns of `weighted_batch.TOKEN_SCHEMA` and of `row_facts`.
        prefix_property: Whether every prompt begins with the sequence of the step before.
        trajectories_as_steps: Trajectories written step by step because theirs does not.
    """

    rows: pl.DataFrame
    prefix_property: bool
    trajectories_as_steps: int


def token_rows(steps: pl.DataFrame, *, unit: str | None) -> TokenRows:
    """Lay steps out as token sequences.

    A trajectory is one row when each prompt begins with the whole sequence (prompt and response)
    of the step before: what a prompt adds is context, and every response stands once. Where it
    does not, because the context was cut or rewritten, each of its steps is a row.

    Args:
        steps: Kept steps in canonical order, with advantage, episode_reward and weight.
        unit: "step" for one row per step, "trajectory" to refuse what cannot be one row, None to
            write that step by step.

    Raises:
        ParameterError: Lengths differ, a mask or id is not one, a trained token has no finite
            log-probability, or (unit "trajectory") a prompt does not extend the step before.
    """
    steps = _checked(steps)
    context, extends = _context()
    steps = steps.with_columns(
        (pl.col("prompt_ids").list.len() + pl.col("response_ids").list.len()).alias(
            "sequence_length"
        ),
        extends.alias("extends"),
    )
    broken = steps.filter(~pl.col("extends"))
    if unit == "trajectory" and not broken.is_empty():
        raise ParameterError(
            f"prompts of {number_of(broken.height, 'step')} do not begin with the sequence of the "
            f"step before: {places(broken)}. Hint: leave the unit open or export steps"
        )
    joined = pl.col("extends").all().over("trajectory_id") & (unit != "step")
    starts = (~joined | (pl.col("step_index") == 0)).alias("starts")
    steps = steps.with_columns(starts)
    steps = steps.with_columns(context.alias("context"))
    return TokenRows(
        rows=_rows(steps),
        prefix_property=broken.is_empty(),
        trajectories_as_steps=0 if unit == "step" else broken["trajectory_id"].n_unique(),
    )


def row_facts(steps: pl.DataFrame, first: Ints, last: Ints) -> list[pl.Series]:
    """Columns that trainers need besides a row's lists, given its first and last step. (R,) each.

    Returns:
        step_index of the last step, policy_version of the first (the oldest that acted; null where
        not logged), and truncated, whether a limit cut the last step.
    """
    version, truncated = (
        steps[name] if name in steps.columns else pl.Series(name, [None] * steps.height)
        for name in ("policy_version", "truncated")
    )
    return [
        steps["step_index"].gather(last),
        version.cast(pl.Int64).gather(first),
        truncated.cast(pl.Boolean).fill_null(value=False).gather(last),
    ]


def _context() -> tuple[pl.Expr, pl.Expr]:
    """Tokens that a prompt adds to its row, and whether it extends the step before."""
    now, prompt, response = (
        pl.col("prompt_ids"), pl.col("prompt_ids").shift(1), pl.col("response_ids").shift(1)
    )  # fmt: skip
    cut = prompt.list.len()
    # Piece by piece: to join prompt and response would copy every token of the log once more.
    begins = (now.list.head(cut) == prompt) & (now.list.slice(cut, response.list.len()) == response)
    extends = (pl.col("step_index") == 0) | begins.fill_null(value=False)
    added = now.list.slice(pl.col("sequence_length").shift(1))
    return pl.when("starts").then("prompt_ids").otherwise(added), extends


def _checked(steps: pl.DataFrame) -> pl.DataFrame:
    """Steps with all token columns present: a missing mask is 1, missing log-probabilities null.

    Raises:
        ParameterError: As `token_rows` says.
    """
    count = pl.col("response_ids").list.len()
    ones = pl.lit(1, dtype=pl.Int8).repeat_by(count)
    mask = (pl.coalesce("response_mask", ones) if "response_mask" in steps.columns else ones).alias(
        "response_mask"
    )
    logprobs = (
        pl.col("response_logprobs").cast(pl.List(pl.Float32))
        if "response_logprobs" in steps.columns
        else pl.lit(None, dtype=pl.List(pl.Float32)).alias("response_logprobs")
    )
    steps = steps.with_columns(mask.cast(pl.List(pl.Int8)), logprobs)
    _refuse(steps, pl.col("step_index") > _MAX_STEP, f"step_index is above {_MAX_STEP} (int16)")
    for name in ("response_mask", "response_logprobs"):
        other = pl.col(name).list.len() != count
        _refuse(steps, other, f"{name} has another length than response_ids")
    for name in ("prompt_ids", "response_ids", "response_mask"):
        elements = flat(steps[name])
        _refuse(steps, row_has(steps[name], elements.is_null()), f"null in {name}")
        _refuse(steps, row_has(steps[name], elements < 0), f"a number below 0 in {name}")
    not_a_mask = ~flat(steps["response_mask"]).is_in([0, 1])
    bad = row_has(steps["response_mask"], not_a_mask)
    _refuse(steps, bad, "response_mask has values other than 0 and 1")
    return steps


def _refuse(steps: pl.DataFrame, bad: pl.Expr | pl.Series, rule: str) -> None:
    rows = steps.filter(bad.fill_null(value=False))
    if not rows.is_empty():
        raise ParameterError(f"{rule} in {number_of(rows.height, 'step')}: {places(rows)}")


def _rows(steps: pl.DataFrame) -> pl.DataFrame:
    """Concatenates context and response of the steps of each row."""
    pieces = steps.select(pl.concat_list("context", "response_ids").alias("ids"))["ids"]
    context, response = lengths(steps["context"]), lengths(steps["response_ids"])
    # [context_0, response_0, context_1, response_1, …] -> which tokens are responses.
    alternating = np.stack([context, response], axis=1).ravel()
    is_response = np.repeat(np.tile([False, True], steps.height), alternating)
    sampled = np.zeros(is_response.size, dtype=bool)
    sampled[is_response] = flat(steps["response_mask"]).to_numpy() == 1
    size = context + response
    trained = sampled & np.repeat(steps["gradient_mask"].to_numpy(), size)
    step_ids = np.repeat(steps["step_index"].to_numpy().astype(np.int16), size)
    step_ids[~sampled] = -1
    advantages = np.repeat(steps["advantage"].fill_null(0.0).to_numpy(), size)
    advantages[~trained] = 0.0

    starts = np.flatnonzero(steps["starts"].to_numpy())
    row_size = np.add.reduceat(size, starts)
    first, last = steps[starts], np.append(starts[1:], steps.height) - 1
    return first.select("group_id", "trajectory_id").with_columns(
        nested(flat(pieces).cast(pl.Int32), row_size, "input_ids"),
        nested(trained.astype(np.int8), row_size, "loss_mask"),
        nested(step_ids, row_size, "step_ids"),
        _logprobs(steps, is_response, sampled, trained, row_size),
        nested(advantages.astype(np.float32), row_size, "advantages"),
        first["episode_reward"].cast(pl.Float32).alias("reward"),
        first["weight"].cast(pl.Float32),
        *row_facts(steps, starts, last),
    )


def _logprobs(
    steps: pl.DataFrame,
    is_response: np.ndarray[tuple[int], np.dtype[np.bool_]],
    sampled: np.ndarray[tuple[int], np.dtype[np.bool_]],
    trained: np.ndarray[tuple[int], np.dtype[np.bool_]],
    row_size: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> pl.Series:
    """Log-probabilities, 0 where nothing was sampled; null for a row in which a step lacks them.

    Raises:
        ParameterError: One of a trained token is not finite.
    """
    known = pl.col("response_logprobs").is_not_null()
    row = pl.col("starts").cum_sum()
    whole = steps.select(known.all().over(row)).to_series()
    zeros = pl.lit(0.0, dtype=pl.Float32).repeat_by(pl.col("response_ids").list.len())
    filled = steps.select(
        pl.when(whole).then(pl.col("response_logprobs")).otherwise(zeros)
    ).to_series()
    values = np.zeros(is_response.size, dtype=np.float32)
    values[is_response] = flat(filled).fill_null(float("nan")).to_numpy()
    bad = trained & ~np.isfinite(values)
    if bad.any():
        size = lengths(steps["context"]) + lengths(steps["response_ids"])
        rows = steps[np.unique(np.repeat(np.arange(steps.height), size)[bad])]
        raise ParameterError(
            "response_logprobs of trained tokens are not finite in "
            f"{number_of(rows.height, 'step')}: {places(rows)}. Hint: a log "
            "without that column is exported too, and the trainer "
            "computes the old ones"
        )
    values[~sampled | ~np.isfinite(values)] = 0.0
    lists = nested(values, row_size, "old_logprobs")
    has = whole.filter(steps["starts"])
    return pl.select(pl.when(has).then(lists).alias("old_logprobs")).to_series()
