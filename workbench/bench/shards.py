"""Work in cells on all cores, one atomic file per cell, nothing done twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import polars as pl
from threadpoolctl import threadpool_limits

from workbench.engines import Here, Processes
from workbench.errors import ArtefactError
from workbench.files import atomic_file, digest
from workbench.wording import Progress
from workbench.workspace.store import read_table

_OPTIONAL = {"setting"}  # shards of methods that are not tuned may be without it


class Work(Protocol):
    """Work that can be done apart from all other, and in part: a frozen dataclass.

    A key is a digest of all that decides the row of a method.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def methods(self) -> Mapping[str, Any]:
        """Name in the tables -> what is measured."""

    @property
    def keys(self) -> Mapping[str, str]:
        """Name in the tables -> key."""

    def rows(self) -> pl.DataFrame:
        """One row per method, with `method` and `key` among its columns."""


C = TypeVar("C", bound=Work)


def measure(
    cells: Sequence[C],
    folder: Path,
    *,
    schema: Mapping[str, Any],
    workers: int | None,
    progress: Progress,
) -> pl.DataFrame:
    """The rows of all cells, from the shards that are there and from work where one lacks.

    A shard holds the rows of one cell that were measured together, under the digest of their
    keys. An interrupted run loses the cells under way and nothing else; a new method adds one
    shard a cell. The rows do not depend on the number of workers, nor on what was there.

    Args:
        cells: What is wanted.
        folder: Where shards are; made when first written to.
        schema: Columns of the rows.
        workers: Processes, one thread each, as many as there are cores by default; 1 works in this
            process.
        progress: Told about progress.

    Raises:
        ArtefactError: A shard cannot be read, or is of another benchmark.
    """
    known = _read(folder, schema)
    named = [(key, name) for cell in cells for name, key in cell.keys.items()]
    missing = list(_unmeasured(cells, set(known["key"])))
    progress("measure", len(cells) - len(missing), len(cells))
    finished = _worked(missing, folder, workers or os.cpu_count() or 1)
    for number, found in enumerate(finished, start=len(cells) - len(missing) + 1):
        known = known.vstack(found)
        progress("measure", number, len(cells))
    # Rows are found by key: a shard may have been written under another name of the method.
    wanted = pl.DataFrame(named, schema={"key": pl.String, "method": pl.String}, orient="row")
    rows = known.unique("key", keep="first", maintain_order=True).drop("method")
    return wanted.join(rows, on="key", how="left", maintain_order="left").select(list(schema))


def lacking(results: pl.DataFrame) -> dict[str, str]:
    """Method -> what simulated logs lack of what it needs, for those that were not measured."""
    rows = results.filter(pl.col("missing").is_not_null()).unique("method", maintain_order=True)
    return dict(rows.select("method", "missing").iter_rows())


def _read(folder: Path, schema: Mapping[str, Any]) -> pl.DataFrame:
    tables = [pl.DataFrame(schema=schema)]
    for file in sorted(folder.glob("*.parquet")):
        table = read_table(file)
        if set(schema) - set(table.columns) - _OPTIONAL or set(table.columns) - set(schema):
            raise ArtefactError(
                f"{file} has other columns than this benchmark. Hint: give each benchmark a "
                "directory of its own"
            )
        tables.append(table)
    return pl.concat(tables, how="diagonal")


def _unmeasured(cells: Sequence[C], known: set[str]) -> Iterator[C]:
    """The cells of which something is missing, with what is missing alone."""
    for cell in cells:
        keys = cell.keys
        left = {name: made for name, made in cell.methods.items() if keys[name] not in known}
        if left:
            yield replace(cell, methods=left)


def _worked(cells: Sequence[Work], folder: Path, workers: int) -> Iterator[pl.DataFrame]:
    # One thread each: sums then come out alike everywhere.
    engine = Here() if workers == 1 or len(cells) <= 1 else Processes(workers, threads=1)
    for _, rows in engine.map(partial(_work, folder), cells):
        yield rows


def _work(folder: Path, cell: Work) -> pl.DataFrame:
    with threadpool_limits(1):
        rows = cell.rows()
    name = digest(rows["key"].to_list())[:16]
    with atomic_file(folder / f"{name}.parquet") as temporary:
        rows.write_parquet(temporary, compression="zstd")
    return rows
