"""Tables as files and back: Parquet, and JSON with one object per line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import ArtefactError


def write_parquet(rows: pl.DataFrame, path: Path, schema: pa.Schema) -> None:
    """Writes the columns of a schema; the same rows give the same bytes."""
    table = rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest())
    pq.write_table(table.cast(schema), path, compression="zstd")


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
