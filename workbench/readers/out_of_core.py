"""Step rows that need not fit into memory: whole on disk, and in memory what rules are about.

The rules of the step log ask little of long texts and lists: whether a text is there, whether
lists have one length, whether two rows are alike. Each part of a log is therefore written to disk,
and a narrow row stays in memory, in which `observation` is a hash of all of these, `action` is
empty and lists are short. `schema.validate` checks the narrow log as it checks any other, and the
rows that it leaves are joined with what is on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from workbench.errors import Problem
from workbench.log.columns import STEP_LOG, Column, known
from workbench.log.increments import with_increments
from workbench.log.rules import cast, missing_columns
from workbench.log.schema import rename
from workbench.log.steps import Index
from workbench.readers.base import SYSTEM, Diagnostics
from workbench.readers.joining import report_types

_POSITION = "__position"
_RANK = "__rank"
_SOURCE = "reward_source"
_GIVEN = "__reward_source"
_LARGE: Mapping[str, Column] = {column.name: column for column in STEP_LOG if column.large}

_RUN = 2**23
"""Bytes of staged rows, in memory, that are sorted at a time."""

_RUNS = 512
"""Most runs, since each run may have rows of each part, which is opened for it."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """One part of a file.

    Args:
        rows: Positions of its rows: in the file, or in the log once they are placed there.
        path: The large columns, and those that the step log does not know.
        size: Bytes of those, in memory.
        schema: Their types.
        renamed: Canonical name -> the name it had.
    """

    rows: range
    path: Path
    size: int
    schema: pl.Schema
    renamed: Mapping[str, str]

    def placed(self, narrow: pl.DataFrame, start: int) -> tuple[pl.DataFrame, Staged]:
        """The same, and its narrow rows, in a log where the file begins at a position."""
        rows = range(start + self.rows.start, start + self.rows.stop)
        return narrow.with_columns(pl.col(_POSITION) + start), replace(self, rows=rows)

    def large(self, positions: Index) -> pl.DataFrame:
        """The large columns of some rows, of which alone pages of the disk are read."""
        import pyarrow as pa
        import pyarrow.ipc

        # Through pyarrow, since polars reads a file as a whole.
        with pa.memory_map(str(self.path)) as file:
            mapped = pl.DataFrame(pa.ipc.open_file(file).read_all())
        rows = mapped[positions - self.rows.start]
        # Arrow has no types of polars' own.
        return rows if rows.schema == self.schema else rows.cast(self.schema)


class Staging:
    """A folder of the staged parts of a file, in the order in which they came."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._height = 0
        self._count = 0

    def add(
        self, frame: pl.DataFrame, diagnostics: Diagnostics
    ) -> tuple[pl.DataFrame, Staged] | None:
        """Stages rows; returns the narrow ones and where the rest is, or None without a row.

        Args:
            frame: Step rows under canonical names or their aliases, with their places.
            diagnostics: Gets rows whose large columns are not of the type of the step log; these
                are left out.
        """
        frame, renamed = rename(frame, {})
        frame = _typed(frame, diagnostics)
        if frame.is_empty():
            return None
        rows = range(self._height, self._height + frame.height)
        self._height = rows.stop
        self._count += 1
        aside = [
            name
            for name in frame.columns
            if name in _LARGE or (known(name) is None and name != SYSTEM)
        ]
        large = frame.select(aside)
        path = self._folder / f"part-{self._count}.arrow"
        large.write_ipc(path, compression="uncompressed")  # so that it can be mapped
        positions = pl.int_range(rows.start, rows.stop, dtype=pl.Int64)
        staged = Staged(
            rows=rows,
            path=path,
            size=int(large.estimated_size()),
            schema=large.schema,
            renamed=renamed,
        )
        return _narrow(frame.with_columns(positions.alias(_POSITION))), staged


def _typed(frame: pl.DataFrame, diagnostics: Diagnostics) -> pl.DataFrame:
    """The rows whose large columns have the types of the step log, or are cast without a loss."""
    for name, column in _LARGE.items():
        dtype = column.dtype
        if name not in frame.columns or frame.schema[name] == dtype:
            continue
        rule = f"is {frame.schema[name]}, expected {dtype}"
        try:
            values, lost = cast(frame[name], dtype)
        except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError):
            values, lost = frame[name], frame[name].is_not_null()
            rule_rows = frame
        else:
            rule = f"is not a valid {dtype}"
            rule_rows = frame.filter(lost)
        for row in rule_rows.iter_rows(named=True):
            diagnostics.problem(name, rule, f"{row['source_file']}:{row.get('source_line', '?')}")
        kept = ~lost.fill_null(value=False)
        empty = pl.Series(name, [None] * frame.height, dtype=dtype)
        frame = frame.with_columns(values if values.dtype == dtype else empty).filter(kept)
    return frame


def _narrow(frame: pl.DataFrame) -> pl.DataFrame:
    has = set(frame.columns)
    contents = [
        pl.col(name) if name in has else pl.lit(None, dtype=column.dtype).alias(name)
        for name, column in _LARGE.items()
    ]
    # Twelve digits are what polars keeps of a text without a place of its own. Two rows that claim
    # to be the same step and differ are taken for copies once in a million million times.
    content = (pl.struct(contents).hash(seed=0) % 10**12).cast(pl.String)
    narrow = [
        pl.when(pl.col(name).is_not_null()).then(value).alias(name)
        for name, value in (("observation", content), ("action", pl.lit("")))
        if name in has
    ]
    for name, column in _LARGE.items():
        dtype = column.dtype
        if name in has and isinstance(dtype, pl.List):
            empty, one = pl.lit([], dtype=dtype), pl.lit([0], dtype=dtype)
            if column.aligned_with in has:
                length = pl.col(column.aligned_with).list.len()
                differs = (pl.col(name).list.len() != length).fill_null(value=False)
                empty = pl.when(differs).then(one).otherwise(empty)
            narrow.append(pl.when(pl.col(name).is_not_null()).then(empty).alias(name))
    if "model" in has:
        # Only whether two are the same is asked.
        short = (pl.col("model").hash(seed=0) % 10**12).cast(pl.String)
        narrow.append(pl.when(pl.col("model").is_not_null()).then(short).alias("model"))
    small = [name for name in frame.columns if name not in _LARGE and known(name) is not None]
    small += [SYSTEM] * (SYSTEM in has)
    return frame.select(*small, _POSITION, *narrow)


def missing_in(parts: Sequence[Staged], narrow: pl.DataFrame) -> Problem | None:
    """Problem of a log whose parts lack a required column, all names of it in view."""
    names = [*narrow.columns, *(name for part in parts for name in part.schema)]
    return missing_columns(_ordered(dict.fromkeys(name for name in names if name != _POSITION)))


def report_types_of(parts: Sequence[Staged], diagnostics: Diagnostics) -> None:
    """Name the columns whose types in different parts do not go together."""
    frames = [pl.DataFrame(schema=part.schema) for part in parts]
    types: dict[str, set[type[pl.DataType]]] = {}
    for part in parts:
        for name, dtype in part.schema.items():
            types.setdefault(name, set()).add(type(dtype))
    # Of lists and texts polars makes texts where there is no row, and refuses where there is one.
    mixed = any(
        len(found - {pl.Null}) > 1 and found & {pl.List, pl.Struct, pl.Array}
        for found in types.values()
    )
    try:
        pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError:
        mixed = True
    if mixed:
        report_types(frames, diagnostics)


def write_staged(path: Path, rows: pl.DataFrame, parts: Sequence[Staged]) -> Counter[str]:
    """Write the rows that a check of the narrow log left, whole and in its order, as Parquet.

    Args:
        path: The file.
        rows: What `schema.validate` made of the narrow log.
        parts: Where the large columns are, in the order of their rows.

    Returns:
        What was done to conversations, in words -> how often; see `log.increments`.
    """
    import pyarrow.parquet as pq

    own = rows.drop(name for name in _LARGE if name in rows.columns)
    if _SOURCE in rows.columns:  # rewards were given apart from the log, whose rows have their own
        own = own.with_columns(rows[_SOURCE].alias(_GIVEN))
    empty = pl.concat(
        [own.clear(), *(pl.DataFrame(schema=part.schema) for part in parts)], how="diagonal_relaxed"
    )
    types = {_SOURCE if name == _GIVEN else name: dtype for name, dtype in empty.schema.items()}
    if "messages" in types:
        types["segment"] = pl.Int32()
    names = _ordered(name for name in types if name != _POSITION)
    changes: Counter[str] = Counter()
    runs = min(_RUNS, max(1, -(-sum(part.size for part in parts) // _RUN)))
    writer: pq.ParquetWriter | None = None
    try:
        for run in _runs(own, parts, -(-own.height // runs)):
            missing = [
                pl.lit(None, dtype=types[name]).alias(name)
                for name in names
                if name not in run.columns
            ]
            whole = run.with_columns(missing).select(
                pl.col(name).cast(types[name]) for name in names
            )
            whole, changed = with_increments(whole)
            changes += changed
            table = whole.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    return changes


def _ordered(names: Iterable[str]) -> list[str]:
    """Columns of the step log first, in its order."""
    given = list(names)
    ordered = [name for column in STEP_LOG for name in given if column.matches(name)]
    return ordered + [name for name in given if name not in ordered]


def _runs(own: pl.DataFrame, parts: Sequence[Staged], height: int) -> Iterator[pl.DataFrame]:
    """The rows in order, whole trajectories of some `height` rows at a time."""
    starts = np.array([part.rows.start for part in parts])
    own = own.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_RANK))
    run = own.select(pl.col(_RANK).min().over("trajectory_id") // height).to_series().to_numpy()
    order = np.argsort(run, kind="stable")
    ends = np.flatnonzero(np.diff(run[order], append=-1)) + 1
    for first, last in pairwise([0, *ends.tolist()]):
        rows = own[order[first:last]]
        positions = rows[_POSITION].to_numpy()
        part = np.searchsorted(starts, positions, side="right") - 1
        found = []
        for number in np.unique(part).tolist():
            here = np.flatnonzero(part == number)
            large = parts[number].large(positions[here])
            found.append(_with_given_source(rows[here].hstack(large)))
        yield pl.concat(found, how="diagonal_relaxed").sort(_RANK).drop(_RANK)


def _with_given_source(rows: pl.DataFrame) -> pl.DataFrame:
    if _GIVEN not in rows.columns:
        return rows
    sources = [name for name in (_GIVEN, _SOURCE) if name in rows.columns]
    return rows.with_columns(pl.coalesce(sources).alias(_SOURCE)).drop(_GIVEN)
