"""Tables as files and back: Parquet, and JSON with one object per line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import ArtefactError

ROWS = 1024
"""Rows of a row group: few enough that one of long sequences fits into memory many times."""


def write_parquet(rows: pl.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Write the columns of a schema; the same rows give the same bytes."""
    table = rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest())
    write_tables([table.cast(schema)], path, schema)


def write_tables(tables: Iterable[pa.Table], path: Path, schema: pa.Schema) -> None:
    """Write tables one behind the other; where one ends does not show in the file."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in row_groups(tables):
            writer.write_table(group, row_group_size=ROWS)


def row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of tables of one schema, `ROWS` at a time."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        whole = pa.concat_tables(held)
        full = count - count % ROWS
        for start in range(0, full, ROWS):
            yield whole.slice(start, ROWS).combine_chunks()
        held, count = [whole.slice(full)], count - full
    if count:
        yield pa.concat_tables(held).combine_chunks()


def tables_of(paths: Iterable[Path]) -> Iterator[pa.Table]:
    """The rows of Parquet files, one behind the other, never many at a time."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)


def read_parquet(path: Path, schema: pa.Schema) -> pl.DataFrame:
    """The rows of `write_parquet`.

    Raises:
        ArtefactError: The file is no Parquet, or has other columns.
    """
    try:
        found = pq.read_schema(path)
        rows = pl.read_parquet(path, glob=False)
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error
    if not found.equals(schema):
        raise ArtefactError(f"{path} has columns {_types(found)}, expected {_types(schema)}")
    return rows


def _types(schema: pa.Schema) -> dict[str, str]:
    return {entry.name: str(entry.type) for entry in schema}


def write_lines(rows: pl.DataFrame, path: Path) -> None:
    """One JSON object per row; a float32 is written with as many digits as bring it back."""
    rows.write_ndjson(path)


def read_lines(
    path: Path, schema: Mapping[str, pl.DataType], *, optional: Collection[str] = ()
) -> pl.DataFrame:
    """The rows of `write_lines`.

    Args:
        path: The file.
        schema: Its columns.
        optional: Those that may be null.

    Raises:
        ArtefactError: The file is not of these columns, or one is missing in a line.
    """
    try:
        rows = pl.read_ndjson(path, schema=dict(schema))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error
    for name in rows.columns:
        missing = np.flatnonzero(rows[name].is_null().to_numpy())
        if missing.size and name not in optional:
            raise ArtefactError(f"{path}: {name} is missing in line {missing[0] + 1}")
    return rows
