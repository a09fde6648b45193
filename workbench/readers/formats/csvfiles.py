"""The step log itself as CSV, one step a row, under canonical, other or mapped names."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.log.columns import STEP_LOG, Column, known
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.formats.steps import is_step, parts_of_steps
from workbench.readers.jsonfiles import NOT_UTF8, UTF8_HINT, Record, mended

_SEPARATORS = ",\t;"
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_WHOLE = re.compile(r"(-?\d+)\.0+", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_ALIASES = {
    alias: column.name for column in STEP_LOG for alias in (*column.aliases, *column.negated)
}
_TEXTS = ("observation", "action")
"""Columns that need a value, and whose value may be no text at all."""


@reader("csv", description="step log as CSV or TSV, one step a row", generic=True)
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


def header_names(head: bytes) -> list[str]:
    """The names that the first line of a table gives, or what else stands between its commas.

    Bytes that are no text have no names, and neither has JSON.

    Args:
        head: The first bytes of the file.
    """
    line = head.split(b"\n", 1)[0]
    if line.startswith((b"{", b"[")) or b"\0" in line:
        return []
    try:
        return _header(line.decode("utf-8-sig", errors="replace"))[0]
    except csv.Error:
        return []


def _header(line: str) -> tuple[list[str], str]:
    """The names of a first line, and what separates them: what makes most fields of it."""
    line = line.rstrip("\r\n")
    found = [(next(csv.reader([line], delimiter=mark), []), mark) for mark in _SEPARATORS]
    return max(found, key=lambda names: len(names[0]))


class _Rows:
    """The records of a CSV file with the line on which each begins; one is in memory at a time."""

    def __init__(self, path: Path, columns: Mapping[str, str], diagnostics: Diagnostics) -> None:
        self._path = path
        self._names = {old: new for new, old in columns.items()}
        self._findings = diagnostics
        self._size = path.stat().st_size
        self._read = 0
        self._garbled = False

    @property
    def done(self) -> float:
        """The share of the file that is read."""
        return self._read / self._size

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        csv.field_size_limit(sys.maxsize)  # an observation may be longer than csv's own limit
        with self._path.open("rb") as file:
            lines = self._lines(file)
            try:
                names, separator = _header(next(lines))
            except csv.Error as error:
                self._findings.problem("header", f"cannot be read ({error})", f"{self._path}:1")
                return
            self._garbled = False
            twice = sorted({name for name in names if name and names.count(name) > 1})
            if twice:
                self._findings.problem("header", f"has {twice} more than once", f"{self._path}:1")
                return
            rows = csv.reader(lines, delimiter=separator, strict=True)
            start = 2
            try:
                for fields in rows:
                    end, place = rows.line_num + 1, f"{self._path}:{start}"
                    if self._garbled:
                        self._garbled = False
                    elif fields and len(fields) != len(names):
                        rule = f"has {len(fields)} fields, the header has {len(names)}"
                        self._findings.problem("row", rule, place)
                    elif fields:
                        record = self._record(zip(names, fields, strict=True))
                        yield start, mended(record, self._findings, place)
                    start = end + 1
            except csv.Error as error:
                rule = f"cannot be read from here on ({error})"
                self._findings.problem("file", rule, f"{self._path}:{start}")

    def _lines(self, file: Any) -> Iterator[str]:
        for number, line in enumerate(file, start=1):
            self._read += len(line)
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                place = f"{self._path}:{number} (byte {error.start})"
                self._findings.problem("line", NOT_UTF8, place, UTF8_HINT)
                self._garbled = True
                yield line.decode("utf-8", errors="replace")

    def _record(self, fields: Any) -> Record:
        return {name: self._value(name, text) for name, text in fields if name}

    def _value(self, name: str, text: str) -> Any:
        """A field as the value that JSON would have."""
        column = known(self._names.get(name, _ALIASES.get(name, name)))
        if not text:
            return "" if column and column.name in _TEXTS else None
        return _typed(column, text) if column else _untyped(text)


def _typed(column: Column, text: str) -> Any:
    """A field of a known column; what is no value of its stays text, to be refused."""
    if column.dtype == pl.Boolean:
        return _TRUTH.get(text.lower(), text)
    if column.dtype.is_integer():
        # As pandas writes integers where a field of their column is empty.
        whole = _WHOLE.fullmatch(text)
        return whole[1] if whole else text
    if isinstance(column.dtype, pl.List):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _untyped(text: str) -> str | int | float:
    """A field of another column: a number where it is written as one."""
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if set(text) & set(".eE") else int(text)
