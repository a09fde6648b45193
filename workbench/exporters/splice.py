"""JSON text changed in one place and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def _after(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing as well


def members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """The members of the object that begins at `start`: name, and where its value begins and ends.

    Example:
        >>> [(name, '{"a": 1, "b": [2]}'[i:j]) for name, i, j in members('{"a": 1, "b": [2]}', 0)]
        [('a', '1'), ('b', '[2]')]
    """
    at = _after(text, start + 1)
    while text[at] == '"':
        name, end = _DECODER.raw_decode(text, at)
        begin = _after(text, _after(text, end) + 1)
        _, end = _DECODER.raw_decode(text, begin)
        yield name, begin, end
        at = _after(text, end)
        at = _after(text, at + 1) if text[at] == "," else at


def elements(text: str, start: int) -> Iterator[int]:
    """Starts of the elements of the array that begins at `start`."""
    at = _after(text, start + 1)
    while text[at] != "]":
        yield at
        _, end = _DECODER.raw_decode(text, at)
        at = _after(text, end)
        at = _after(text, at + 1) if text[at] == "," else at


def with_member(text: str, start: int, name: str, value: str) -> tuple[int, int, str]:
    """The change that gives the object at `start` a member: from, to, and what stands there then.

    A member of this name gets the value; otherwise one is put behind the last, spaced like those
    before it.

    Args:
        text: The document.
        start: Where the object begins; it has a member at least.
        name: The member's name.
        value: Its value, as JSON.
    """
    colon, comma, end = ": ", ", ", start
    for own, begin, stop in members(text, start):
        if own == name:
            return begin, stop, value
        colon = ": " if text[begin - 1].isspace() else ":"
        comma, end = ", " if colon == ": " else ",", stop
    return end, end, f"{comma}{json.dumps(name)}{colon}{value}"


def applied(text: str, changes: list[tuple[int, int, str]]) -> str:
    """The text after changes that do not overlap, as `with_member` gives them."""
    pieces, at = [], 0
    for begin, end, new in sorted(changes):
        pieces += [text[at:begin], new]
        at = end
    return "".join([*pieces, text[at:]])


def member(text: str, start: int, name: str) -> int | None:
    """Start of a member's value; None where there is none."""
    return next((begin for own, begin, _ in members(text, start) if own == name), None)


def decoded(text: str, start: int) -> Any:
    """The value that begins at `start`."""
    return _DECODER.raw_decode(text, start)[0]
