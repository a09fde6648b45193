"""Rows of token ids as prompt and response, and as padded matrices."""

from __future__ import annotations

import numpy as np
import polars as pl

from workbench.exporters.lists import Array, Ints, flat, lengths, nested

IDS, MASK, REALS = pl.List(pl.Int32), pl.List(pl.Int8), pl.List(pl.Float32)
KEY = {"group_id": pl.String(), "trajectory_id": pl.String(), "step_index": pl.Int32()}
"""The columns that name a row's last step."""

_CUT = pl.col("loss_mask").list.arg_max()  # where the first trained token of a row is


def split(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows cut before their first trained token, as most trainers take them.

    Returns:
        The rows' other columns with prompt_ids and, for what comes after, response_ids, loss_mask,
        old_logprobs (null where the row has none) and advantages: a prompt has none of these.
    """
    names = {"input_ids": "response_ids"}
    after = [
        pl.col(name).list.slice(_CUT).alias(names.get(name, name))
        for name in ("input_ids", "loss_mask", "old_logprobs", "advantages")
    ]
    prompt = pl.col("input_ids").list.head(_CUT).alias("prompt_ids")
    return rows.with_columns(prompt, *after).drop("input_ids", "step_ids")


def logprobs_after_cut() -> pl.Expr:
    """The log-probabilities that `split` keeps, 0 before; null where the row has none."""
    before = pl.lit(0.0, dtype=pl.Float32).repeat_by(_CUT)
    return pl.concat_list(before, pl.col("old_logprobs").list.slice(_CUT)).alias("old_logprobs")


def joined(parts: pl.DataFrame) -> pl.DataFrame:
    """The inverse of `split` for the columns that there are."""
    size = pl.col("prompt_ids").list.len()
    columns = [pl.concat_list("prompt_ids", "response_ids").alias("input_ids")]
    for name, dtype in (("loss_mask", MASK), ("old_logprobs", REALS), ("advantages", REALS)):
        if name in parts.columns:
            zeros = pl.lit(0, dtype=dtype.inner).repeat_by(size)
            columns.append(pl.concat_list(zeros, pl.col(name)).cast(dtype).alias(name))
    return parts.with_columns(columns).drop("prompt_ids", "response_ids")


def trained_advantage(rows: pl.DataFrame) -> pl.Series:
    """The advantage of the first trained token: that of all in a row of one step. (R,) float32."""
    return rows.select(pl.col("advantages").list.get(_CUT)).to_series()


def broadcast(value: pl.Series, mask: pl.Series) -> pl.Series:
    """One value per row at the tokens where its mask is 1, 0 elsewhere. (R,) lists."""
    size = lengths(mask)
    spread = np.repeat(value.to_numpy(), size) * (flat(mask).to_numpy() == 1)
    return nested(spread.astype(np.float32), size, "advantages")


def padded(lists: pl.Series, width: int, dtype: type, *, left: bool = False) -> Array:
    """Lists as rows of a matrix, filled up with 0. (R, width).

    Args:
        lists: None longer than `width`.
        width: Number of columns.
        dtype: Type of the matrix.
        left: Fill up on the left.
    """
    size = lengths(lists)
    matrix: Array = np.zeros((lists.len(), width), dtype=dtype)
    matrix[placed(size, width, left=left)] = flat(lists).to_numpy()
    return matrix


def placed(size: Ints, width: int, *, left: bool = False) -> Array:
    """Mask of filled cells in a padded matrix, given lengths of rows. (R, width) bool."""
    column = np.arange(width)
    return column >= width - size[:, None] if left else column < size[:, None]
