"""JSON as logs hold it: one record a line or one array, possibly damaged.

Records are yielded one by one; what cannot be read becomes a problem with its place, and reading
goes on behind it where the format allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.halves import Mender

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|["{}\[\]:,]', re.DOTALL)
NOT_UTF8 = "is not UTF-8"
UTF8_HINT = "convert the file, for example with iconv -f latin1 -t utf-8"

_KINDS = {
    list: "a list",
    str: "a string",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    type(None): "null",
}

Record = dict[str, Any]


class JsonLines(Iterator[tuple[int, Record]]):
    """The records of a JSONL file with their lines, counted from 1; blank lines are passed over.

    Args:
        path: The file; one line of it at a time is in memory.
        diagnostics: Gets the lines that cannot be read.
    """

    def __init__(self, path: Path, diagnostics: Diagnostics) -> None:
        self._size = path.stat().st_size
        self._read = 0
        self._records = self._iterate(path, diagnostics)

    def __next__(self) -> tuple[int, Record]:
        return next(self._records)

    @property
    def done(self) -> float:
        """The share of the file that is read."""
        return self._read / self._size if self._size else 1.0

    def _iterate(self, path: Path, diagnostics: Diagnostics) -> Iterator[tuple[int, Record]]:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                self._read += len(raw)
                line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
                record = _record(line, diagnostics, f"{path}:{number}")
                if record is not None:
                    yield number, record


def json_lines(path: Path, diagnostics: Diagnostics) -> JsonLines:
    """The records of a JSONL file with their lines, one by one."""
    return JsonLines(path, diagnostics)


def _record(line: bytes, diagnostics: Diagnostics, place: str) -> Record | None:
    if not line.strip():
        return None
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        diagnostics.problem("line", NOT_UTF8, f"{place} (byte {error.start})", UTF8_HINT)
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        diagnostics.problem("line", "is not JSON", f"{place} ({_reason(error, text)})")
        return None
    return checked_record(value, text, diagnostics, place)


def _whole_text(path: Path, diagnostics: Diagnostics) -> str | None:
    try:
        return path.read_bytes().removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        diagnostics.problem("file", NOT_UTF8, f"{path} (byte {error.start})", UTF8_HINT)
        return None


def json_array(path: Path, diagnostics: Diagnostics) -> Iterator[tuple[int, Record]]:
    """The records of a file that is one JSON array, counted from 1.

    Records before a damage are yielded; behind it nothing can be told apart.
    """
    text = _whole_text(path, diagnostics)
    if text is None:
        return
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        diagnostics.problem("file", "is not a JSON array", str(path))
        return
    decoder, number = json.JSONDecoder(), 0
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        number += 1
        place, start = f"{path} record {number}", at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            reason = _reason(error, text)
            diagnostics.problem("file", "is not JSON from here on", f"{place} ({reason})")
            return
        record = checked_record(value, text[start:at], diagnostics, place)
        if record is not None:
            yield number, record
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            diagnostics.problem("file", "the array is cut off or damaged here", f"behind {place}")
            return
    if text[_skip(text, at + 1) :]:
        diagnostics.problem("file", "has text behind its JSON array", str(path))


def json_object(path: Path, diagnostics: Diagnostics) -> Record | None:
    """The object that a whole file is; None where it is damaged or something else."""
    text = _whole_text(path, diagnostics)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        diagnostics.problem("file", "is not JSON", f"{path} ({_reason(error, text)})")
        return None
    return checked_record(value, text, diagnostics, str(path))


def checked_record(value: Any, text: str, diagnostics: Diagnostics, place: str) -> Record | None:
    r"""A decoded value if it is an object, its lone surrogates (`"\ud83d"`) replaced.

    Half a surrogate pair is what a string cut in the middle of an emoji leaves behind. It cannot
    be written as UTF-8, so it becomes U+FFFD, with a notice.
    """
    if not isinstance(value, dict):
        diagnostics.problem("record", f"is {_KINDS[type(value)]}, expected a JSON object", place)
        return None
    if r"\ud" not in text.lower():
        return value
    try:
        return mended(value, diagnostics, place)
    except RecursionError:
        diagnostics.problem("record", "is nested too deeply", place)
        return None


def mended(value: Record, diagnostics: Diagnostics, place: str) -> Record:
    """A record without half characters, with a notice that counts those that it had.

    Raises:
        RecursionError: It is nested too deeply.
    """
    mender = Mender()
    whole: Record = mender.mended(value)
    if mender.count:
        text = "halves of surrogate pairs became U+FFFD"
        diagnostics.notice(text, place, count=mender.count)
    return whole


def decoded_json(value: Any) -> Any:
    """A value that may be given as JSON text; text that is none stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def leading_keys(head: bytes) -> frozenset[str]:
    """The top-level keys of the first record as far as the head of a file shows them.

    The record is the object that the head begins with, or the first one of an array.
    """
    text = head.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", errors="replace").lstrip()
    if not text.startswith(("{", "[")):
        return frozenset()
    record_depth = 2 if text.startswith("[") else 1
    keys, depth, previous = set(), 0, ""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token == '"':
            break
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
            if depth < record_depth:
                break
        elif token == ":" and depth == record_depth:
            keys.add(previous[1:-1])
        previous = token
    return frozenset(keys)


def lookup(record: Record, key: str) -> Any:
    """The value of a key; a dotted one reaches into objects unless the record has it as it is."""
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def objects(value: Any) -> list[Record]:
    """The objects of a list; none of what is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _reason(error: Exception, text: str) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if not isinstance(error, json.JSONDecodeError):
        return str(error).split(";")[0]
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "cut off"
    place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
    return f"{error.msg}, {place}"


@lru_cache(maxsize=2)
def first_record(path: Path, head: bytes) -> Record:
    """The first sound record of a JSONL file; empty where there is none near its beginning.

    A damaged line does not hide the next ones, and a first line that is longer than the head is
    read to its end.
    """
    if not head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{"):
        return {}
    if b"\n" not in head:
        _, record = next(json_lines(path, Diagnostics()), (0, {}))
        return record
    for line in head.removeprefix(_BYTE_ORDER_MARK).splitlines():
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return {}
