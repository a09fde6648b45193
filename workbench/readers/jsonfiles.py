"""JSON as logs hold it: one record per line, one array or one object, possibly damaged.

What cannot be read becomes a problem with its place, and reading goes on behind it where the format
allows.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.bounds import TOO_DEEP, BeyondBoundError, loaded, require_nesting
from workbench.readers.halves import Mender

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HALF = r"\ud"
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|["{}\[\]:,]', re.DOTALL)
PARQUET = b"PAR1"
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


def line_record(line: bytes, diagnostics: Diagnostics, place: str) -> Record | None:
    """The object of a line; None of a blank one, and of one that is damaged or something else."""
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
        diagnostics.problem("line", "is not JSON", f"{place} ({reason_of(error, text)})")
        return None
    return checked_record(value, text, diagnostics, place)


def refuse_table(path: Path, diagnostics: Diagnostics) -> bool:
    """Refuse a Parquet file with a hint: its bytes are no text to be converted."""
    with path.open("rb") as file:
        is_table = file.read(len(PARQUET)) == PARQUET
    if is_table:
        rule = "is a Parquet table, and this format is read from text"
        diagnostics.problem("file", rule, str(path), "leave --format away: the content tells it")
    return is_table


def _whole_text(path: Path, diagnostics: Diagnostics) -> str | None:
    if refuse_table(path, diagnostics):
        return None
    try:
        return path.read_bytes().removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        diagnostics.problem("file", NOT_UTF8, f"{path} (byte {error.start})", UTF8_HINT)
        return None


def json_object(path: Path, diagnostics: Diagnostics) -> Record | None:
    """The object that a whole file is; None where it is damaged or something else."""
    text = _whole_text(path, diagnostics)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        diagnostics.problem("file", "is not JSON", f"{path} ({reason_of(error, text)})")
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
    return sound(value, diagnostics, place, text)


def sound(
    record: Record, diagnostics: Diagnostics, place: str, text: str | None = None
) -> Record | None:
    """A record without half characters, with a notice that counts those that it had.

    Args:
        record: The record.
        diagnostics: Gets what is wrong with it.
        place: Where it stands.
        text: The JSON that it was, where it was.

    Returns:
        None where it nests deeper than it may.
    """
    mender = Mender()
    try:
        require_nesting(record, text)
        whole: Record = mender.mended(record) if text is None or _HALF in text.lower() else record
    except BeyondBoundError as error:
        diagnostics.problem("record", str(error), place, error.hint)
        return None
    except RecursionError:
        diagnostics.problem("record", TOO_DEEP, place)
        return None
    if mender.count:
        text = "halves of surrogate pairs became U+FFFD"
        diagnostics.notice(text, place, count=mender.count)
    return whole


def decoded_json(value: Any) -> Any:
    """A value that may be given as JSON text; text that is none stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return loaded(value)
    except ValueError:
        return value


def leading_keys(head: bytes) -> frozenset[str]:
    """The top-level keys of the first record as far as the head of a file shows them.

    The record is the object that the head begins with, or the first one of an array.
    """
    text = head.removeprefix(BYTE_ORDER_MARK).decode("utf-8", errors="replace").lstrip()
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


def reason_of(error: Exception, text: str, line: int = 1) -> str:
    """Syntax error of a text that begins on a line."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if not isinstance(error, json.JSONDecodeError):
        return str(error).split(";")[0]
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "cut off"
    number = line + error.lineno - 1
    place = f"column {error.colno}" if number == 1 else f"line {number}"
    return f"{error.msg}, {place}"
