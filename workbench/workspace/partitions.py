"""Parts of a step log that can be scored apart from all others, and the log without its texts.

A method compares steps inside a group, inside the batch that a group was rolled out for, or with
earlier batches of a run. Where no such unit is divided, scoring is a map over parts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from workbench.errors import ArtefactError, pass_on_interrupt
from workbench.files import digest, file_digest
from workbench.log.columns import CONTENTS
from workbench.log.steps import Index, Steps, Truth
from workbench.methods.base import Method
from workbench.states.space import Space
from workbench.workspace.store import Workspace

Unit = Literal["group", "batch", "run"]
"""Unit that a method must see whole."""

ROWS = 25_000
"""Rows of a part unless a unit alone has more: few, so that workers end at the same time."""

BATCH_ROWS = 1_000_000
"""Rows of a batch from which on it is divided, for methods that pool batches."""

_AT_ONCE = 2**16


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of a step log that can be scored apart from all others.

    Args:
        path: A Parquet file of step rows in canonical order.
        start: The first of them.
        rows: How many there are.
    """

    path: Path
    start: int
    rows: int

    def __str__(self) -> str:
        return f"rows {self.start:,} to {self.start + self.rows - 1:,} of {self.path}"

    def read(self, without: Collection[str] = ()) -> pl.DataFrame:
        """The rows.

        Args:
            without: Columns that are not needed.

        Raises:
            ArtefactError: They cannot be read.
        """
        try:
            scan = pl.scan_parquet(self.path, glob=False).slice(self.start, self.rows)
            return scan.select(pl.exclude(*without) if without else pl.all()).collect()
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            pass_on_interrupt(error)
            raise ArtefactError(
                f"{self} cannot be read: {error}. Hint: remove the file and run again"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A log in parts.

    Args:
        parts: The parts.
        order: Row of the log of each row of the parts, one after the other; None where they are in
            the order of the log. (L,)
        pieces: Of each batch that is divided, which parts are its pieces.
    """

    parts: tuple[Part, ...]
    order: Index | None = None
    pieces: tuple[tuple[int, ...], ...] = ()

    def in_order(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of all parts, one after the other, in the order of the log."""
        return rows if self.order is None else rows[np.argsort(self.order)]


def narrow(path: Path, needed: Sequence[str] = ()) -> pl.DataFrame:
    """A step log without its texts and lists, which is what is asked of it outside of methods.

    Args:
        path: The log, as Parquet.
        needed: Columns that are kept nevertheless.
    """
    scan = pl.scan_parquet(path, glob=False)
    dropped = CONTENTS - set(needed)
    return scan.select(pl.exclude(dropped)).collect()


def bytes_per_row(path: Path) -> int:
    """Bytes of a row of a Parquet file, unpacked, in the mean; at least 1."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    sizes: list[int] = [
        metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups)
    ]
    rows: int = metadata.num_rows
    return max(1, sum(sizes) // max(1, rows))


def unit_of(method: Method, space: Space) -> Unit:
    """The smallest unit that a method must see whole under these fields."""
    if method.couples_batches():
        return "run"
    return "batch" if method.couples(space) else "group"


def partition(
    path: Path,
    steps: Steps,
    unit: Unit,
    folder: Path,
    *,
    rows: int = ROWS,
    most: int | None = None,
) -> Partition:
    """Parts of a log of which none divides a unit, except batches that are too large.

    By groups they are slices of the file; by batches, whose groups lie anywhere in it, they are
    files of their own, written once and found again.

    Args:
        path: The log, as Parquet, in canonical order.
        steps: Its steps; of the log they need ids, rewards and updates alone.
        unit: What is not divided.
        folder: Where parts are written that are no slices.
        rows: Rows of a part; one that is a larger unit has more.
        most: The most rows of a unit that is not divided into pieces of whole groups, each a part;
            None divides none.
    """
    group = steps.log["group_id"].rle_id().to_numpy().astype(np.int64)
    part_of_group, pieces = _packed(steps, group, unit, rows, most)
    part = part_of_group[group]
    if np.all(np.diff(part) >= 0):
        edges = np.searchsorted(part, np.arange(int(part[-1]) + 2)).tolist()
        slices = pairwise(edges)
        return Partition(
            parts=tuple(Part(path=path, start=a, rows=b - a) for a, b in slices),
            pieces=pieces,
        )
    order = np.argsort(part, kind="stable").astype(np.int64)
    return Partition(parts=_written(path, part, folder), order=order, pieces=pieces)


def _packed(
    steps: Steps, group: Index, unit: Unit, rows: int, most: int | None
) -> tuple[Index, tuple[tuple[int, ...], ...]]:
    """Part of each group of the log, those without a scored step too; `Partition.pieces`. (G,)."""
    groups = int(group[-1]) + 1
    size = np.bincount(group, minlength=groups)
    if unit == "group":
        label, alone = np.arange(groups, dtype=np.int64), np.zeros(groups, dtype=bool)
    else:
        label, alone = _labels(steps, group, groups, unit)
    divided = [] if most is None else _divide(label, alone, size, rows, most)
    units = int(label.max()) + 1
    size = np.bincount(label, weights=size, minlength=units)
    single = np.zeros(units, dtype=bool)
    single[label[alone]] = True
    first = np.full(units, groups)
    np.minimum.at(first, label, np.arange(groups))
    part_of_unit = np.zeros(units, dtype=np.int64)
    part, filled, closed = -1, 0.0, True
    for here in np.argsort(first, kind="stable").tolist():
        if closed or single[here] or filled + size[here] > rows:
            part, filled = part + 1, 0.0
        part_of_unit[here] = part
        filled += float(size[here])
        closed = bool(single[here])
    pieces = tuple(tuple(part_of_unit[there].tolist()) for there in divided)
    return part_of_unit[label], pieces


def _divide(label: Index, alone: Truth, size: Index, rows: int, most: int) -> list[Index]:
    """Label pieces of units that have more rows than `most`, in place; the labels of each unit."""
    of_unit = np.bincount(label, weights=size)
    found: list[Index] = []
    for unit in np.flatnonzero(of_unit > most).tolist():
        there = np.flatnonzero(label == unit)
        piece = (np.cumsum(size[there]) - size[there]) // rows
        piece = np.unique(piece, return_inverse=True)[1]
        if piece[-1] == 0:
            continue  # one group, or parts that are larger still: the unit is whole
        label[there] = int(label.max()) + 1 + piece
        alone[there] = True
        found.append(np.unique(label[there]))
    return found


def _labels(steps: Steps, group: Index, groups: int, unit: Unit) -> tuple[Index, Truth]:
    """Unit of each group, and whether that must have a part of its own. (G,), (G,).

    A group without a scored step is of no batch; it goes with the first. Steps that name no update
    would, by themselves, be taken for one batch whatever their run, so such batches stand alone.
    """
    label, alone = np.zeros(groups, dtype=np.int64), np.zeros(groups, dtype=bool)
    if not steps.has_updates:
        return label, alone
    updates = [steps.update_of(number) for number in range(steps.batches)]
    runs = {run: number for number, run in enumerate(dict.fromkeys(run for run, _ in updates))}
    by_batch = [runs[run] if unit == "run" else number for number, (run, _) in enumerate(updates)]
    unnamed = np.array([update is None for _, update in updates])
    scored = group[steps.row[steps.group_start[:-1]]]
    label[scored] = np.array(by_batch)[steps.group_batch]
    alone[scored] = unnamed[steps.group_batch]
    return label, alone


def _written(path: Path, part: Index, folder: Path) -> tuple[Part, ...]:
    """Parts as files of the workspace, written in one pass over the log."""
    import pyarrow.parquet as pq

    def build(new: Path) -> None:
        writers: dict[int, pq.ParquetWriter] = {}
        start = 0
        with ExitStack() as open_files, pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                here = part[start : start + batch.num_rows]
                start += batch.num_rows
                for number in np.unique(here).tolist():
                    if number not in writers:
                        made = pq.ParquetWriter(
                            _file(new, number), batch.schema, compression="zstd"
                        )
                        writers[number] = open_files.enter_context(made)
                    writers[number].write_batch(batch.filter(here == number))

    inputs = {"log": file_digest(path), "parts": digest(part.tolist())}
    made, _ = Workspace(folder).artefact("parts", "", inputs, build)
    rows = np.bincount(part).tolist()
    return tuple(Part(path=_file(made, n), start=0, rows=count) for n, count in enumerate(rows))


def _file(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05}.parquet"
