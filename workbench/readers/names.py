"""Which names a file has, for someone who has to say which of them mean what."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from workbench.log.columns import STEP_LOG
from workbench.readers.base import FORMATS, HEAD_BYTES, Diagnostics, matching
from workbench.readers.formats.csvfiles import header_names
from workbench.readers.jsonfiles import json_lines

_ALIKE = 0.75
_DEEPEST = 3  # keys of objects in objects; a mapping reaches any depth, a list of names need not


def names_in(path: str | Path) -> tuple[str, ...]:
    """The columns of a Parquet or CSV file, or the keys of a JSONL file's first readable record.

    Keys of objects are given as a mapping names them, such as `info.score`. A file of another
    kind, or a damaged one, has no names.
    """
    try:
        # Opened here, since polars would read brackets in a path as a pattern.
        with Path(path).open("rb") as file:
            if names := _table_names(file.read(HEAD_BYTES)):
                return names
            file.seek(0)
            return tuple(pl.read_parquet_schema(file))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        _, record = next(json_lines(Path(path), Diagnostics()), (0, {}))
    except OSError:
        return ()
    return tuple(_keys(record))


def _table_names(head: bytes) -> tuple[str, ...]:
    """The names in the header of a CSV file that has a column for all that a step needs."""
    names = tuple(name for name in header_names(head) if name)
    return names if len(names) >= sum(column.required for column in STEP_LOG) else ()


def _keys(record: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterable[str]:
    for key, value in record.items():
        yield before + key
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _keys(value, f"{before}{key}.", depth + 1)


def guessed(names: Sequence[str], columns: Sequence[str]) -> Mapping[str, str]:
    """Column of the step log -> the name that most likely means it; each name at most once.

    A name counts where it is the column's, one of its aliases, or spelled much like either.
    """
    entries: dict[str, Any] = {column.name: column for column in STEP_LOG}
    found: dict[str, str] = {}
    for alike in (1.0, _ALIKE):
        for column in columns:
            free = [name for name in names if name not in found.values()]
            spelled = {name.rpartition(".")[2].lower(): name for name in reversed(free)}
            for known in (column, *entries[column].aliases):
                close = difflib.get_close_matches(known, spelled, n=1, cutoff=alike)
                if close and column not in found:
                    found[column] = spelled[close[0]]
    return found


def mapped_format(path: str | Path, given: str | None) -> str | None:
    """The format whose names a mapping of this file replaces; None where it has fixed ones.

    A table or JSON lines that no reader recognises are read once their names are mapped: JSON lines
    as chat where a key holds a list of objects, which may be messages, and as steps where none
    does.
    """
    with Path(path).open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = [FORMATS[given]] if given else list(matching(Path(path), head))
    if not found:
        return "csv" if _table_names(head) else _unrecognised(Path(path))
    return found[0].name if found[0].generic else None


def _unrecognised(path: Path) -> str | None:
    _, record = next(json_lines(path, Diagnostics()), (0, {}))
    if not record:
        return None
    lists = [value for value in record.values() if isinstance(value, list)]
    talks = any(all(isinstance(item, dict) for item in value) for value in lists)
    return "chat" if talks else "steps"
