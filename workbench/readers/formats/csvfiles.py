"""The step log itself as CSV, one step per row, under canonical, other or mapped names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from workbench.log.columns import STEP_LOG, Column, known
from workbench.log.verdicts import TRUTHS
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.bounds import loaded
from workbench.readers.csvrows import csv_rows, header_names, typed
from workbench.readers.formats.steps import is_step, parts_of_steps
from workbench.readers.jsonfiles import Record, sound

_WHOLE = re.compile(r"(-?\d+)\.0+", re.ASCII)
_ALIASES = {
    alias: column.name for column in STEP_LOG for alias in (*column.aliases, *column.negated)
}
_TEXTS = ("observation", "action")
"""Columns that need a value, and whose value may be no text at all."""


@reader("csv", description="step log as CSV or TSV, one step per row", generic=True)
class Csv:
    """A header with a step's trajectory, number, observation and action, or aliases of them.

    Fields are separated by commas, tabs or semicolons. An empty field is null, in observation and
    action an empty text. Columns of token ids and the like hold JSON lists. Columns that the step
    log does not know are kept, as numbers where they are written as such; one without a name, as an
    index has, is left out.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A first line that names the columns of a step."""
        return is_step(header_names(head))

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The rows, renamed, part by part."""
        diagnostics = Diagnostics()
        return parts_of_steps(path, _Rows(path, columns, diagnostics), columns, diagnostics)


class _Rows:
    """The records of a CSV file with the line on which each begins; one is in memory at a time."""

    is_typed = False

    def __init__(self, path: Path, columns: Mapping[str, str], diagnostics: Diagnostics) -> None:
        self._path = path
        self._names = {old: new for new, old in columns.items()}
        self._findings = diagnostics
        self.done = 0.0

    def place(self, number: int) -> str:
        """Place of a record, in words."""
        return f"{self._path}:{number}"

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        with closing(csv_rows(self._path, self._findings)) as rows:
            for start, row, done in rows:
                self.done = done
                typed_row = {name: self._value(name, text) for name, text in row.items()}
                record = sound(typed_row, self._findings, self.place(start))
                if record is not None:
                    yield start, record

    def _value(self, name: str, text: str) -> Any:
        """A field as the value that JSON would have."""
        column = known(self._names.get(name, _ALIASES.get(name, name)))
        if not text:
            return "" if column and column.name in _TEXTS else None
        return _typed(column, text) if column else typed(text)


def _typed(column: Column, text: str) -> Any:
    """A field of a known column; what is no value of its stays text, to be refused."""
    if column.dtype == pl.Boolean:
        return TRUTHS.get(text.strip().lower(), text)
    if column.dtype.is_integer():
        # As pandas writes integers where a field of their column is empty.
        whole = _WHOLE.fullmatch(text)
        return whole[1] if whole else text
    if isinstance(column.dtype, pl.List):
        try:
            return loaded(text)
        except ValueError:
            return text
    return text
