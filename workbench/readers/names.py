"""The names that a file has, for someone who has to say which of them mean what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.readers.base import FORMATS, HEAD_BYTES, matching
from workbench.readers.chat_records import MESSAGES
from workbench.readers.containers import (
    CsvRows,
    JsonArray,
    JsonObjects,
    ParquetRows,
    container_of,
    first_record,
)
from workbench.readers.csvrows import header_names
from workbench.readers.dialects import is_conversation
from workbench.readers.nested_steps import are_steps
from workbench.readers.tables import parquet_schema

_DEEPEST = 3  # keys of objects in objects; a mapping reaches any depth, a list of names need not
_FEWEST = 3  # columns of a table that may hold records
_WORDS = {
    CsvRows: "a table of text (CSV)",
    JsonArray: "a JSON array",
    JsonObjects: "JSON objects",
    ParquetRows: "a Parquet table",
}


def names_in(path: str | Path) -> tuple[str, ...]:
    """The columns of a Parquet or CSV file, or the keys of the first readable record of another.

    Keys of objects are given as a mapping names them, such as `info.score`. A file of another
    kind, or a damaged one, has no names.
    """
    try:
        head = head_bytes(Path(path))
        container = container_of(head)
        if container is ParquetRows:
            return tuple(_fields(parquet_schema(Path(path))))
        if container is CsvRows:
            return _table_names(head)
        return tuple(_keys(first_record(Path(path), head)))
    except OSError:
        return ()


def head_bytes(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def container_words(head: bytes) -> str:
    """The container of the records of a file, in words."""
    return _WORDS.get(container_of(head), "JSON lines")


def _table_names(head: bytes) -> tuple[str, ...]:
    """The names in the header of a CSV file that has enough of them to hold records."""
    names = tuple(name for name in header_names(head) if name)
    return names if len(names) >= _FEWEST else ()


def _keys(record: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterable[str]:
    for key, value in record.items():
        yield before + key
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _keys(value, f"{before}{key}.", depth + 1)


def _fields(types: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterable[str]:
    for key, dtype in types.items():
        yield before + key
        if isinstance(dtype, pl.Struct) and depth < _DEEPEST:
            inner = {field.name: field.dtype for field in dtype.fields}
            yield from _fields(inner, f"{before}{key}.", depth + 1)


def mapped_format(path: str | Path, given: str | None, columns: Collection[str] = ()) -> str | None:
    """The format whose names a mapping of this file replaces; None where it has fixed ones.

    Records that no reader recognises are read once their names are mapped: as chat where a key
    holds messages, or the mapping names one, and as steps where none does or the mapping names what
    only a step has.

    Args:
        path: The file.
        given: The format that the user named.
        columns: The columns that the mapping names.
    """
    head = head_bytes(Path(path))
    found = [FORMATS[given]] if given else list(matching(Path(path), head))
    if not found:
        return _unrecognised(Path(path), head, columns)
    return found[0].name if found[0].generic else None


def _unrecognised(path: Path, head: bytes, columns: Collection[str]) -> str | None:
    container = container_of(head)
    if container is CsvRows and not _table_names(head):
        return None
    record = first_record(path, head)
    if container is ParquetRows:
        record = record or dict.fromkeys(parquet_schema(path))
    if not record:
        return None
    inner = list(_inner(record))
    talks = (
        any(map(is_conversation, inner))
        or any(map(are_steps, inner))
        or any(isinstance(record.get(key), list) for key in MESSAGES)
    )
    if "step_index" not in columns and (talks or "messages" in columns):
        return "chat"
    return {CsvRows: "csv", ParquetRows: "parquet"}.get(container, "steps")


def _inner(record: Mapping[str, Any], depth: int = 1) -> Iterable[Any]:
    """The values of a record and of the objects in it."""
    for value in record.values():
        yield value
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _inner(value, depth + 1)
