"""CSV and TSV as tables of text: the names of the header, and row by row what stands under them."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO

from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import NOT_UTF8, UTF8_HINT, refuse_table

_SEPARATORS = ",\t;"
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d+)?([eE][-+]?\d+)?", re.ASCII)


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


class _Lines(Iterator[str]):
    """The lines of a file as text; those that are not UTF-8 are reported."""

    def __init__(self, path: Path, file: IO[bytes], diagnostics: Diagnostics) -> None:
        self._path = path
        self._lines = enumerate(file, start=1)
        self._diagnostics = diagnostics
        self.read = 0
        self.garbled = False

    def __next__(self) -> str:
        number, line = next(self._lines)
        self.read += len(line)
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            place = f"{self._path}:{number} (byte {error.start})"
            self._diagnostics.problem("line", NOT_UTF8, place, UTF8_HINT)
            self.garbled = True
            return line.decode("utf-8", errors="replace")


def csv_rows(path: Path, diagnostics: Diagnostics) -> Generator[tuple[int, dict[str, str], float]]:
    """The rows of a CSV file; one is in memory at a time.

    Args:
        path: The file; fields are separated by commas, tabs or semicolons.
        diagnostics: Gets what cannot be read.

    Yields:
        The line on which a row begins; name -> field, without columns that have no name; the share
        of the file that is read.
    """
    if refuse_table(path, diagnostics):
        return
    csv.field_size_limit(sys.maxsize)  # an observation may be longer than csv's own limit
    size = path.stat().st_size
    with path.open("rb") as file:
        lines = _Lines(path, file, diagnostics)
        try:
            names, separator = _header(next(lines))
        except csv.Error as error:
            diagnostics.problem("header", f"cannot be read ({error})", f"{path}:1")
            return
        lines.garbled = False
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            diagnostics.problem("header", f"has {twice} more than once", f"{path}:1")
            return
        rows = csv.reader(lines, delimiter=separator, strict=True)
        start = 2
        try:
            for fields in rows:
                end, place = rows.line_num + 1, f"{path}:{start}"
                if lines.garbled:
                    lines.garbled = False
                elif fields and len(fields) != len(names):
                    rule = f"has {len(fields)} fields, the header has {len(names)}"
                    diagnostics.problem("row", rule, place)
                elif fields:
                    row = zip(names, fields, strict=True)
                    yield start, {name: field for name, field in row if name}, lines.read / size
                start = end + 1
        except csv.Error as error:
            rule = f"cannot be read from here on ({error})"
            diagnostics.problem("file", rule, f"{path}:{start}")


def typed(text: str) -> str | int | float | None:
    """A field as what it is written as: null where it is empty, a number, or text."""
    if not _NUMBER.fullmatch(text):
        return text or None
    return float(text) if set(text) & set(".eE") else int(text)
