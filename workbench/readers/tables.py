"""Parquet files as tables: their columns, and their rows part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import PARQUET

_PART = 2**23  # bytes of columns
_FIRST = 1024  # rows of the first part, whose size tells that of the next


def parquet_columns(path: Path, head: bytes) -> tuple[str, ...]:
    """The names of a Parquet file's columns; none where it is no such file or a damaged one."""
    return tuple(parquet_schema(path)) if head.startswith(PARQUET) else ()


def parquet_schema(path: Path) -> Mapping[str, pl.DataType]:
    """Column -> type of a Parquet file; empty where it cannot be read."""
    try:
        # Opened here, since polars would read brackets in a path as a pattern.
        with path.open("rb") as file:
            return pl.read_parquet_schema(file)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return {}


def parquet_frames(
    path: Path,
    diagnostics: Diagnostics,
    *,
    only: Collection[str] | None = None,
    first: int = _FIRST,
) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, part by part; at least one part, which may have no row.

    Args:
        path: The file.
        diagnostics: Gets that it is damaged, if so.
        only: Columns to read, where the file has them; None means all.
        first: Rows of the first part.
    """
    try:
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        if only is not None:
            scan = scan.select(name for name in scan.collect_schema() if name in only)
        height = int(scan.select(pl.len()).collect().item())
        start, rows = 0, first
        while start < height or not start:
            frame = scan.slice(start, rows).collect()
            yield frame
            start += max(frame.height, 1)
            # As many as fill a part, if they are like those before; a little more each time.
            rows = min(2 * rows, max(1, rows * _PART // max(1, int(frame.estimated_size()))))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        hint = "it is damaged, cut off or no Parquet file; write it anew"
        rule = f"cannot be read as Parquet ({str(error).splitlines()[0]})"
        diagnostics.problem("file", rule, str(path), hint)


def null_arguments(value: Any) -> bool:
    """Whether a call in a cell has an argument without a value beside one that has some."""
    if isinstance(value, list):
        return any(null_arguments(item) for item in value)
    if not isinstance(value, dict):
        return False
    given = value.get("arguments")
    if isinstance(given, dict):
        lacking = [item is None for item in given.values()]
        return any(lacking) and not all(lacking)
    return any(null_arguments(item) for item in value.values())


def plain_value(value: Any) -> Any:
    """A cell as the JSON value that it stands for.

    Structures lose the keys that only their table had. Bytes, such as those of an image, become
    their digest; dates and the like become text.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items() if item is not None}
    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return str(value)


def without_nulls(value: Any) -> Any:
    """Messages without the keys that only their table had: every row has every field there."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value
