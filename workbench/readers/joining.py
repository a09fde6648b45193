"""Rows of many parts and files as one frame, and what of it is missing."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from workbench.log.rules import cast
from workbench.readers.base import Diagnostics
from workbench.readers.report import biased
from workbench.wording import number_of


def joined(frames: Sequence[pl.DataFrame], diagnostics: Diagnostics) -> pl.DataFrame:
    """All rows under one another, with `source_row`; none where types do not go together."""
    frames = [frame for frame in frames if frame.columns]
    if not frames:
        return pl.DataFrame()
    try:
        frame = pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError:
        report_types(frames, diagnostics)
        return pl.DataFrame()
    if "source_row" in frame.columns and frame["source_row"].is_duplicated().any():
        diagnostics.notice("source_row was not unique over the files and is renumbered")
        frame = frame.drop("source_row")
    if "source_row" not in frame.columns:
        rows = pl.int_range(pl.len(), dtype=pl.Int64)
        frame = frame.with_columns(rows.alias("source_row"))
    return frame


def report_types(frames: Sequence[pl.DataFrame], diagnostics: Diagnostics) -> None:
    """Name the columns whose types in different frames do not go together."""
    types: dict[str, set[str]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            types.setdefault(name, set()).add(str(dtype))
    for name, found in types.items():
        if len(found) > 1:
            rule = f"has types in different files that do not go together: {sorted(found)}"
            diagnostics.problem(name, rule)


def with_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Names trajectories that have none by their running number in the group, over all files."""
    first = pl.col("source_row").min().over("source_file", "source_line")
    rank = pl.col("__record").rank("dense").over("group_id") - 1
    numbered = pl.format("{}#{}", "group_id", rank)
    return (
        frame.with_columns(first.alias("__record"))
        .with_columns(pl.coalesce("trajectory_id", numbered).alias("trajectory_id"))
        .drop("__record")
    )


def remainder_of(frame: pl.DataFrame, diagnostics: Diagnostics) -> str | None:
    """Warning that the log without broken records is a biased remainder, and of how many groups.

    Rollouts of a group are missing where its reader says so, and where it has fewer than most.
    None where no record is broken.
    """
    if not diagnostics.problems or not {"group_id", "trajectory_id"} <= set(frame.columns):
        return None
    named = frame.group_by(pl.col("group_id").cast(pl.String))
    sizes = named.agg(pl.col("trajectory_id").n_unique().alias("size")).drop_nulls()
    counts = sizes["size"].value_counts().sort("count", "size", descending=[True, True])
    usual = counts["size"][0] if counts.height else 0
    fewer = set(sizes.filter(pl.col("size") < usual)["group_id"]) | diagnostics.lost
    total = len(set(sizes["group_id"]) | diagnostics.lost)
    broken = number_of(sum(problem.count for problem in diagnostics.problems), "broken record")
    return biased(broken, len(fewer), total)


def from_zero(frame: pl.DataFrame, diagnostics: Diagnostics) -> pl.DataFrame:
    """Rows whose steps count from 0, where those of every trajectory count from 1.

    A single trajectory that begins with 1 may as well lack its first step, and is left.
    """
    if not {"trajectory_id", "step_index"} <= set(frame.columns) or frame.is_empty():
        return frame
    step = _whole(frame["step_index"])
    if step is None:
        return frame
    firsts = frame.select("trajectory_id", step).group_by("trajectory_id").agg(pl.all().min())
    if firsts.height < 2 or not firsts["step_index"].eq_missing(1).all():
        return frame
    diagnostics.notice("step_index counts from 1 in every trajectory and is read from 0")
    return frame.with_columns(step - 1)


def _whole(values: pl.Series) -> pl.Series | None:
    """Whole numbers of a column; None where it holds anything else."""
    try:
        numbers, lost = cast(values, pl.Int32())
    except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError):
        return None
    return None if lost.any() else numbers
