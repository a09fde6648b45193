"""Logs whose steps had to be chained by guess: the source does not say what follows what."""

from __future__ import annotations

import polars as pl

from workbench.wording import number_of

INFERRED = "groups and trajectories"
"""Value of the column `reconstructed` for a step whose trajectory a reader inferred."""


def guessed_chains(log: pl.DataFrame) -> str | None:
    """Sentence on how the reader guessed the order of the steps; None if the source states it."""
    if "reconstructed" not in log.columns or log["reconstructed"].dtype != pl.String:
        return None
    rows = log.filter(pl.col("reconstructed") == INFERRED, pl.col("excluded").is_null())
    if rows.is_empty():
        return None
    later = rows.filter(pl.col("step_index") > 0)
    text = "the source does not say which steps follow each other"
    if later.is_empty():
        return f"{text}, and nothing in it tells: every row is a trajectory of its own"
    text += f", so {number_of(rows['trajectory_id'].n_unique(), 'trajectory')} were inferred"
    if "ambiguous" in rows.columns:
        several = int(later["ambiguous"].cast(pl.Boolean).fill_null(value=False).sum())
        text += f"; {several:,} of {number_of(later.height, 'later step')} may follow several"
    return text
