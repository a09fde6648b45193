"""The step log itself as JSON records, one step each, under canonical, other or mapped names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from workbench.errors import ParameterError
from workbench.log.columns import STEP_LOG, known
from workbench.log.schema import rename
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import CsvRows, ParquetRows, container_of, first_keys, records_of
from workbench.readers.jsonfiles import Record, lookup
from workbench.readers.rows import (
    Converter,
    checked_values,
    inferred,
    numbers,
    say_text_numbers,
    token_ids,
    truth,
)

_PART = 2**22  # characters of a part's texts
_TOLD_BY = ("trajectory_id", "step_index", "observation", "action")
_NAMES = {column.name: (column.name, *column.aliases) for column in STEP_LOG}
LISTS = {
    column.name: numbers if column.dtype.inner in {pl.Float32, pl.Float64} else token_ids
    for column in STEP_LOG
    if isinstance(column.dtype, pl.List)
}
"""Columns that hold lists -> what checks them."""


def _truth_or_word(value: Any) -> bool | str | None:
    """A truth value, or a word that the whole column has to give a meaning."""
    return value if isinstance(value, str) else truth(value)


_TRUTHS = {
    name: truth
    for column in STEP_LOG
    if column.dtype == pl.Boolean
    for name in (column.name, *column.aliases, *column.negated)
}
_CHECKED: dict[str, Converter] = {**LISTS, **_TRUTHS, "success": _truth_or_word}
_NUMBERS = ("reward", *(column.name for column in STEP_LOG if column.dtype.is_numeric()))


@reader("steps", description="step log as JSON lines or array, one step per record", generic=True)
class Steps:
    """Records with a step's trajectory, number, observation and action, as keys of the step log.

    A mapping gives other names, where a dotted one such as `info.score` reaches into objects.
    Keys that the step log does not know are kept; lists and objects as JSON text.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Records whose keys are those of a step, or aliases of them."""
        is_table = container_of(head) in {CsvRows, ParquetRows}
        return not is_table and is_step(first_keys(path, head))

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The rows as they are, renamed, part by part."""
        diagnostics = Diagnostics()
        return parts_of_steps(path, records_of(path, diagnostics), columns, diagnostics)


class Lines(Protocol):
    """Records with their numbers, counted from 1."""

    is_typed: bool

    def __iter__(self) -> Iterator[tuple[int, Record]]: ...

    @property
    def done(self) -> float:
        """The share of the file that is read."""

    def place(self, number: int) -> str:
        """Place of a record, in words."""


def parts_of_steps(
    path: Path, lines: Lines, columns: Mapping[str, str], diagnostics: Diagnostics
) -> Iterator[Part]:
    """The steps of a file whose records are steps, renamed, part by part.

    Args:
        path: The file.
        lines: Its records.
        columns: Canonical name -> name in the file.
        diagnostics: What `lines` finds and what is wrong with a record; told with the last part.

    Raises:
        ParameterError: `columns` names what no record has.
    """
    found: set[str] = set()
    rows: list[Record] = []
    size = 0
    for line, record in lines:
        row = _row(record, columns)
        values = {name: row[name] for name in _CHECKED if name in row}
        place = lines.place(line)
        checked = checked_values(values, _CHECKED, diagnostics, place, optional=_CHECKED)
        if checked is None:
            continue
        row |= {name: checked[name] for name in values}
        if lines.is_typed:
            say_text_numbers((row.get(name) for name in _NUMBERS), diagnostics, place)
        found |= {name for name, value in row.items() if value is not None}
        rows.append({"source_line": line, **row})
        size += sum(len(value) for value in row.values() if isinstance(value, str | list))
        if size >= _PART:
            yield _part(rows, columns, lines.done)
            rows, size = [], 0
    absent = sorted(columns[name] for name in set(columns) - found)
    if absent and found:
        raise ParameterError(
            f"the column mapping names {absent}, for which no record has a value; "
            f"found {sorted(found)}"
        )
    yield replace(_part(rows, columns, 1.0), diagnostics=diagnostics)


def is_step(names: Collection[str]) -> bool:
    """True if these are the keys of a step: its trajectory, number, observation and action."""
    return all(any(name in names for name in _NAMES[column]) for column in _TOLD_BY)


def _row(record: Record, columns: Mapping[str, str]) -> Record:
    """A record under the names of the mapping."""
    told = {name: lookup(record, key) for name, key in columns.items()}
    mapped = {*columns, *columns.values()}
    return told | {key: value for key, value in record.items() if key not in mapped}


def _part(rows: Sequence[Record], columns: Mapping[str, str], done: float) -> Part:
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: [row.get(name) for row in rows] for name in names}
    frame = pl.DataFrame(
        [
            pl.Series(name, column, dtype=entry.dtype)
            if name in LISTS and (entry := known(name))
            else inferred(name, column)
            for name, column in values.items()
        ]
    )
    frame, renamed = rename(frame, {})
    told = {name: key for name, key in columns.items() if name != key}
    return Part(frame=frame, diagnostics=Diagnostics(), renamed=renamed | told, done=done)
