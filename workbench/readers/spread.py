"""JSON values over any number of lines, piece by piece: an array, or objects in a row."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import (
    BYTE_ORDER_MARK,
    NOT_UTF8,
    UTF8_HINT,
    Record,
    checked_record,
    reason_of,
)

_DECODER = json.JSONDecoder()
_BLOCK = 2**20
_LONGEST_ESCAPE = 16  # characters of a value that may be cut in two otherwise than a text
_SPACE = re.compile(r"[ \t\n\r]*")


class _Window:
    """The text of a file around the place that is read, as much of it as a value needs."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._size = path.stat().st_size
        self._lines = 0
        self.read = 0
        self.text = ""
        self.at = 0

    def __enter__(self) -> _Window:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def done(self) -> float:
        """The share of the file that is read."""
        return self.read / self._size if self._size else 1.0

    @property
    def line(self) -> int:
        """The line of the place, from 1."""
        return self._lines + self.text.count("\n", 0, self.at) + 1

    def grow(self) -> bool:
        """Read on, twice as much as there is; whether there was more.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        self._lines += self.text.count("\n", 0, self.at)
        self.text = self.text[self.at :]
        self.at = 0
        block = self._file.read(max(_BLOCK, 2 * len(self.text)))
        if self.read == 0:
            block = block.removeprefix(BYTE_ORDER_MARK)
        before = self.read - len(self._decoder.getstate()[0])
        self.read += len(block)
        try:
            self.text += self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise _NotUtf8Error(before + error.start) from None
        return bool(block)

    def skip(self) -> str:
        """Pass over blanks; the character behind them, none at the end."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text) or not self.grow():
                return self.text[self.at : self.at + 1]

    def value(self) -> tuple[Any, str]:
        """The JSON value here, and its text.

        Raises:
            ValueError: There is none.
            RecursionError: It is nested too deeply.
        """
        is_whole = False
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if is_whole or not _may_go_on(error, self.text):
                    raise
                is_whole = not self.grow()
                continue
            if end == len(self.text) and self.text[end - 1] not in '}]"' and self.grow():
                continue
            text = self.text[self.at : end]
            self.at = end
            return value, text


class _NotUtf8Error(ValueError):
    """The byte at which a text is no UTF-8."""

    def __init__(self, byte: int) -> None:
        super().__init__(NOT_UTF8)
        self.byte = byte


def _may_go_on(error: json.JSONDecodeError, text: str) -> bool:
    """True where a value that is damaged here may be one whose rest is not there yet."""
    return error.msg.startswith("Unterminated") or error.pos > len(text) - _LONGEST_ESCAPE


def spread_records(
    path: Path, diagnostics: Diagnostics
) -> Generator[tuple[int, int, Record, float]]:
    """The objects of one JSON array, or objects one behind another, over any number of lines.

    Objects before a damage are given; behind it nothing can be told apart.

    Args:
        path: The file; one object of it at a time is in memory.
        diagnostics: Gets what cannot be read.

    Yields:
        Number of the object and the line that it begins on, both from 1; the object; the share of
        the file that is read.
    """
    with _Window(path) as window:
        try:
            yield from _spread(path, window, diagnostics)
        except _NotUtf8Error as error:
            diagnostics.problem("file", NOT_UTF8, f"{path} (byte {error.byte})", UTF8_HINT)


def _spread(
    path: Path, window: _Window, diagnostics: Diagnostics
) -> Generator[tuple[int, int, Record, float]]:
    is_array = window.skip() == "["
    end, number = "]" if is_array else "", 0
    window.at += is_array
    while window.skip() != end:
        number += 1
        line = window.line
        place = f"{path} record {number}" if is_array else f"{path}:{line}"
        try:
            value, text = window.value()
        except _NotUtf8Error:
            raise
        except (ValueError, RecursionError) as error:
            reason = reason_of(error, window.text, line - window.text.count("\n", 0, window.at))
            diagnostics.problem("file", "is not JSON from here on", f"{place} ({reason})")
            return
        record = checked_record(value, text, diagnostics, place)
        if record is not None:
            yield number, line, record, window.done
        if is_array and window.skip() == ",":
            window.at += 1
        elif is_array and window.skip() != "]":
            diagnostics.problem("file", "the array is cut off or damaged here", f"behind {place}")
            return
    window.at += len(end)
    if window.skip():
        diagnostics.problem("file", "has text behind its JSON array", str(path))
