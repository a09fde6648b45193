"""Records of a file one by one, whatever contains them: lines, an array, a table.

A reader of records is given JSON objects by number. They come from JSON lines, from one JSON array,
from objects over several lines, from the rows of a Parquet file, or from those of CSV; which it is
shows in the content.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.readers.base import HEAD_BYTES, Diagnostics
from workbench.readers.csvrows import csv_rows, header_names, typed
from workbench.readers.jsonfiles import (
    BYTE_ORDER_MARK,
    PARQUET,
    Record,
    decoded_json,
    leading_keys,
    line_record,
    objects,
    sound,
)
from workbench.readers.spread import spread_records
from workbench.readers.tables import null_arguments, parquet_frames, parquet_schema, plain_value

_SMALL = 2**24  # bytes of a spread file that may be read once more to learn its keys
_UNFINISHED = re.compile(rb"\{(?:.*[,:\[{])?\s*\Z", re.DOTALL)
_FIRST_ROWS = 16  # a row may be a whole conversation
_TRUTH = {"true": True, "True": True, "false": False, "False": False}
_GOES_ON = re.compile(rb"[ \t]|[\"}\]]")


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Contents of the cells of a table, where records are its rows.

    JSON says of each value what it is; a table may have text where JSON has more.

    Args:
        objects: Keys of lists and objects, which a table may have as JSON text.
        texts: Keys of texts, which stay as they are; what is in both is a text or a list of
            objects. In CSV other cells are numbers and truth values where they are written as such,
            and null where they are empty.
        ids: Keys of ids: in CSV a whole number or text, since 1e3 and 1000 name different things.
    """

    objects: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()


class Records(Iterator[tuple[int, Record]]):
    """The records of a file with their numbers, counted from 1; a few of them are in memory.

    Whoever may stop before the end closes them: what is raised while Python lets go of a half-read
    generator by itself, such as a KeyboardInterrupt, goes no further than a line on standard error.

    Args:
        path: The file.
        diagnostics: Gets what cannot be read.
    """

    _unit = ":"
    is_typed = True
    """True where each value has a type of its own, other than the fields of CSV."""

    def __init__(self, path: Path, diagnostics: Diagnostics) -> None:
        self._path = path
        self._diagnostics = diagnostics
        self._done = 0.0
        self._records = self._iterate()

    def __next__(self) -> tuple[int, Record]:
        return next(self._records)

    def close(self) -> None:
        """Let go of the file."""
        self._records.close()

    @property
    def done(self) -> float:
        """The share of the file that is read."""
        return self._done

    def place(self, number: int) -> str:
        """Place of a record, in words."""
        return f"{self._path}{self._unit}{number}"

    def _iterate(self) -> Generator[tuple[int, Record]]:
        raise NotImplementedError


class JsonLines(Records):
    """JSON lines, numbered as lines; blank ones are passed over."""

    def _iterate(self) -> Generator[tuple[int, Record]]:
        size, read = self._path.stat().st_size, 0
        with self._path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                read += len(raw)
                self._done = read / size
                line = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
                record = line_record(line, self._diagnostics, f"{self._path}:{number}")
                if record is not None:
                    yield number, record


class JsonArray(Records):
    """The objects of one JSON array, numbered as they stand in it."""

    _unit = " record "

    def _iterate(self) -> Generator[tuple[int, Record]]:
        with closing(spread_records(self._path, self._diagnostics)) as records:
            for number, _, record, done in records:
                self._done = done
                yield number, record


class JsonObjects(Records):
    """Objects of which each may take several lines, numbered by the line that they begin on."""

    def _iterate(self) -> Generator[tuple[int, Record]]:
        with closing(spread_records(self._path, self._diagnostics)) as records:
            for _, line, record, done in records:
                self._done = done
                yield line, record


_NULL_ARGUMENTS = (
    "arguments of calls that are null in a structure are left out: a table writes so what is absent"
)


class ParquetRows(Records):
    """The rows of a Parquet file; keys without a value are left out of structures.

    Args:
        path: As above.
        diagnostics: As above.
        cells: What its cells hold.
        without: Columns that are not needed.
    """

    _unit = " row "

    def __init__(
        self, path: Path, diagnostics: Diagnostics, cells: Cells, without: Collection[str] = ()
    ) -> None:
        super().__init__(path, diagnostics)
        self._cells = cells
        self._without = without

    def _iterate(self) -> Generator[tuple[int, Record]]:
        names = [name for name in parquet_schema(self._path) if name not in self._without]
        number = 0
        frames = parquet_frames(
            self._path, self._diagnostics, only=names, first=_FIRST_ROWS, apart=True
        )
        with closing(frames):
            for row in (row for frame in frames for row in frame.iter_rows(named=True)):
                number += 1
                place = self.place(number)
                if any(null_arguments(row[name]) for name in names if name in self._cells.objects):
                    self._diagnostics.notice(_NULL_ARGUMENTS, place)
                record = _whole(row, self._cells, self._diagnostics, place)
                if record is not None:
                    yield number, record


class CsvRows(Records):
    """The rows of a CSV or TSV file, numbered by the line that they begin on.

    Args:
        path: As above.
        diagnostics: As above.
        cells: What its cells hold.
    """

    is_typed = False

    def __init__(self, path: Path, diagnostics: Diagnostics, cells: Cells) -> None:
        super().__init__(path, diagnostics)
        self._cells = cells

    def _iterate(self) -> Generator[tuple[int, Record]]:
        with closing(csv_rows(self._path, self._diagnostics)) as rows:
            for number, row, done in rows:
                self._done = done
                typed_row = {name: self._value(name, text) for name, text in row.items()}
                record = _whole(typed_row, self._cells, self._diagnostics, self.place(number))
                if record is not None:
                    yield number, record

    def _value(self, name: str, text: str) -> Any:
        if name in self._cells.texts:
            return text
        value = typed(text)
        if name in self._cells.ids:
            return text if isinstance(value, float) else value
        return _TRUTH.get(text, value)


def _whole(
    row: Mapping[str, Any], cells: Cells, diagnostics: Diagnostics, place: str
) -> Record | None:
    """A row as the JSON object that it stands for; None where it nests too deep."""
    record = {name: _value(name, value, cells) for name, value in row.items()}
    return sound(record, diagnostics, place)


def _value(name: str, value: Any, cells: Cells) -> Any:
    if not isinstance(value, str) or name not in cells.objects:
        return plain_value(value)
    found = decoded_json(value)
    is_one = isinstance(found, list | dict)
    if name in cells.texts:
        is_one = isinstance(found, list) and bool(found) and found == objects(found)
    return found if is_one else value


def records_of(
    path: Path,
    diagnostics: Diagnostics,
    cells: Cells | None = None,
    *,
    without: Collection[str] = (),
) -> Records:
    """The records of a file, from the container that its content shows.

    Args:
        path: The file.
        diagnostics: Gets what cannot be read.
        cells: What the cells hold where it is a table.
        without: Keys that are not needed; a table that can leaves them unread.
    """
    with path.open("rb") as file:
        container = container_of(file.read(HEAD_BYTES))
    if container is ParquetRows:
        return ParquetRows(path, diagnostics, cells or Cells(), without)
    if container is CsvRows:
        return CsvRows(path, diagnostics, cells or Cells())
    return container(path, diagnostics)


def container_of(head: bytes) -> type[Records]:
    """The container of the records of a file; lines where nothing tells.

    Args:
        head: Its first bytes.
    """
    if head.startswith(PARQUET):
        return ParquetRows
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if text.startswith(b"["):
        return JsonArray
    first, _, rest = text.partition(b"\n")
    if text.startswith(b"{"):
        is_spread = _UNFINISHED.match(first.rstrip()) and _GOES_ON.match(rest)
        return JsonObjects if is_spread else JsonLines
    is_table = len(header_names(text)) > 1 and not rest.lstrip().startswith(b"{")
    return CsvRows if is_table else JsonLines


def is_document(head: bytes) -> bool:
    """True for one JSON array or an object over several lines, rather than JSON lines."""
    return container_of(head) in {JsonArray, JsonObjects}


def first_keys(path: Path, head: bytes) -> frozenset[str]:
    """The keys of the first sound record of a file, or the columns of a table; none of another."""
    container = container_of(head)
    if container is ParquetRows:
        return frozenset(parquet_schema(path))
    if container is CsvRows:
        return frozenset(filter(None, header_names(head)))
    if container is JsonObjects and path.stat().st_size > _SMALL:
        return leading_keys(head)
    return frozenset(first_record(path, head)) or leading_keys(head)


def first_record(path: Path, head: bytes, cells: Cells | None = None) -> Record:
    """The first sound record of a file; empty where there is none near its beginning.

    A damaged line does not hide the next ones, and a first line that is longer than the head is
    read to its end.
    """
    found = path.stat()
    return _first_record(path, head, cells or Cells(), (found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=2)
def _first_record(path: Path, head: bytes, cells: Cells, stamp: tuple[int, int]) -> Record:
    container = container_of(head)
    start = head.removeprefix(BYTE_ORDER_MARK)
    if container is not JsonLines or (b"\n" not in head and start.lstrip().startswith(b"{")):
        with closing(records_of(path, Diagnostics(), cells)) as records:
            _, record = next(records, (0, {}))
        return record
    for line in start.splitlines():
        if line.lstrip().startswith(b"{"):
            record = line_record(line, Diagnostics(), "") or {}
            if record:
                return record
    return {}
