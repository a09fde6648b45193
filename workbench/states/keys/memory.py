"""Memory of events so far, for the keys of whole environments."""

from __future__ import annotations

import numpy as np
import polars as pl

from workbench.log.steps import Index, Steps

EVENTS = {"step": pl.Int64, "slot": pl.String, "value": pl.String}
"""An event: known from step `step` on, slot `slot` holds `value`, or nothing where that is null."""


def remembered(events: pl.DataFrame, segment: Index) -> pl.Series:
    """The slots and their last values at every step, as one text.

    Args:
        events: Columns `EVENTS`; of several events of a slot at a step the last row counts.
        segment: Part of the log in which an event is remembered, usually the trajectory; steps of
            a segment are adjacent and it never falls. (S,) int64

    Returns:
        `slot=value` of every slot that holds something, sorted by slot, one per line. (S,) string

    Example:
        >>> events = pl.DataFrame([(0, "at", "sink"), (2, "at", "desk")], EVENTS, orient="row")
        >>> remembered(events, np.array([0, 0, 0, 1])).to_list()
        ['at=sink', 'at=sink', 'at=desk', '']
    """
    ends = np.searchsorted(segment, segment, side="right")
    spans = (
        events.with_columns(
            segment=pl.Series(segment).gather(events["step"]),
            end=pl.Series(ends).gather(events["step"]),
        )
        .sort("segment", "slot", "step", maintain_order=True)
        .with_columns(next=pl.col("step").shift(-1).over("segment", "slot"))
        .with_columns(end=pl.min_horizontal("end", "next"))
        .filter(pl.col("value").is_not_null() & (pl.col("step") < pl.col("end")))
    )
    at_steps = spans.select(
        pl.int_ranges("step", "end").alias("step"),
        pl.concat_str("slot", pl.lit("="), "value").alias("held"),
    ).explode("step")
    texts = at_steps.sort("step", "held").group_by("step").agg(pl.col("held").str.join("\n"))
    every = pl.DataFrame({"step": np.arange(len(segment), dtype=np.int64)})
    return every.join(texts, on="step", how="left", maintain_order="left")["held"].fill_null("")


def before_and_after(steps: Steps) -> pl.DataFrame:
    """Each step with the action that led to it: step, action (null at the start), observation."""
    action = steps.column("action").shift(1)
    starts = pl.Series(steps.step_index == 0)
    return pl.DataFrame(
        {
            "step": np.arange(len(steps), dtype=np.int64),
            "action": action.set(starts, None),
            "observation": steps.column("observation"),
        }
    )


def events_of(steps: pl.DataFrame, slot: pl.Expr, value: pl.Expr) -> pl.DataFrame:
    """One event for each row of a frame with a column `step`; rows without a slot give none."""
    return steps.select(
        pl.col("step"), slot.cast(pl.String).alias("slot"), value.cast(pl.String).alias("value")
    ).filter(pl.col("slot").is_not_null())
