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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from workbench.errors import Problem
from workbench.log.columns import STEP_LOG, Column, known
from workbench.log.increments import with_increments
from workbench.log.rules import cast, missing_columns
from workbench.log.schema import rename
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
"""Most runs, since each part may have rows of each run, in files of their own."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """One part of a log.

    Args:
        rows: Positions of its rows in the log.
        path: The large columns, and those that the step log does not know.
        size: Bytes of those, in memory.
        schema: Their types.
        renamed: Canonical name -> the name it had.
    """

    rows: range
    path: Path
    size: int
    schema: Mapping[str, pl.DataType]
    renamed: Mapping[str, str]


class Staging:
    """A folder of staged parts, in the order in which they came."""

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
        positions = pl.int_range(rows.start, rows.stop, dtype=pl.Int64)
        frame = frame.with_columns(positions.alias(_POSITION))
        self._height = rows.stop
        self._count += 1
        aside = [
            name
            for name in frame.columns
            if name in _LARGE or (known(name) is None and name != SYSTEM)
        ]
        large = frame.select(aside)
        path = self._folder / f"part-{self._count}.arrow"
        large.write_ipc(path, compression="zstd")
        staged = Staged(
            rows=rows,
            path=path,
            size=int(large.estimated_size()),
            schema=dict(large.schema),
            renamed=renamed,
        )
        return _narrow(frame), staged


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


def write_staged(
    path: Path, rows: pl.DataFrame, parts: Sequence[Staged], folder: Path
) -> Counter[str]:
    """Write the rows that a check of the narrow log left, whole and in its order, as Parquet.

    Args:
        path: The file.
        rows: What `schema.validate` made of the narrow log.
        parts: Where the large columns are.
        folder: Where rows are kept that wait for their turn.

    Returns:
        What was done to conversations, in words -> how often; see `log.increments`.
    """
    import pyarrow.parquet as pq

    own = rows.drop(name for name in _LARGE if name in rows.columns)
    if _SOURCE in rows.columns:  # rewards were given apart from the log, whose rows have their own
        own = own.with_columns(rows[_SOURCE].alias(_GIVEN))
    own = own.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_RANK))
    empty = pl.concat(
        [own.clear(), *(pl.DataFrame(schema=part.schema) for part in parts)], how="diagonal_relaxed"
    )
    types = {_SOURCE if name == _GIVEN else name: dtype for name, dtype in empty.schema.items()}
    if "messages" in types:
        types["segment"] = pl.Int32()
    names = _ordered(name for name in types if name not in (_POSITION, _RANK))
    changes: Counter[str] = Counter()
    runs = min(_RUNS, max(1, -(-sum(part.size for part in parts) // _RUN)))
    writer: pq.ParquetWriter | None = None
    try:
        for run in _runs(own, parts, folder, -(-own.height // runs)):
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


def _runs(
    own: pl.DataFrame, parts: Sequence[Staged], folder: Path, height: int
) -> Iterator[pl.DataFrame]:
    """The rows in order, whole trajectories of some `height` rows at a time.

    Each part is dealt out to the runs that it belongs to.
    """
    first_rank = pl.col(_RANK).min().over("trajectory_id")
    own = own.with_columns((first_rank // height).alias("__run"))
    positions = own[_POSITION].to_numpy()
    order = np.argsort(positions, kind="stable")
    waiting: dict[int, list[Path]] = {}
    for number, part in enumerate(parts):
        ends = (part.rows.start, part.rows.stop)
        first, last = np.searchsorted(positions, ends, sorter=order)
        here = own[order[first:last]]
        if here.is_empty():
            continue
        whole = here.join(_read(part.path), on=_POSITION, how="left")
        if _GIVEN in whole.columns:
            sources = [name for name in (_GIVEN, _SOURCE) if name in whole.columns]
            whole = whole.with_columns(pl.coalesce(sources).alias(_SOURCE)).drop(_GIVEN)
        for (run,), rows in whole.partition_by("__run", as_dict=True).items():
            file = folder / f"run-{run}-{number}.arrow"
            rows.drop("__run").write_ipc(file, compression="zstd")
            waiting.setdefault(int(str(run)), []).append(file)
    for run in sorted(waiting):
        files = waiting[run]
        yield pl.concat(map(_read, files), how="diagonal_relaxed").sort(_RANK)
        for file in files:
            file.unlink()


def _read(path: Path) -> pl.DataFrame:
    # Opened here, since polars would read brackets in a path as a pattern.
    with path.open("rb") as file:
        return pl.read_ipc(file)
