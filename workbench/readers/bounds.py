"""Bounds on what a file that others wrote may unpack to, and on how deep it may nest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from workbench.errors import ParameterError

RATIO = 200
"""Times its size to which something may unpack, however large; logs reach some 40."""

FREE = 2**28
"""Bytes to which anything may unpack."""

LEVELS = 250
"""Levels to which a record may nest: what works on it takes up to three calls a level, and Python
allows 1,000 in all."""

TOO_DEEP = "nests deeper than Python reads, some 1,000 levels"

_UNPACKED: ContextVar[int | None] = ContextVar("max_unpacked", default=None)
_NESTING: ContextVar[int | None] = ContextVar("max_nesting", default=None)


class BeyondBoundError(ValueError):
    """Something unpacks too far or nests too deep; the text says what it may.

    Args:
        rule: What it does, for use in a problem.
        hint: The option that allows more; empty where none does.
    """

    def __init__(self, rule: str, hint: str = "") -> None:
        super().__init__(rule)
        self.hint = hint


@contextmanager
def bounded(*, max_unpacked: int | None = None, max_nesting: int | None = None) -> Iterator[None]:
    """Bound what is read inside the block, in this thread.

    Args:
        max_unpacked: Bytes to which one file or entry may unpack; None refuses what unpacks to more
            than 200 times its size and 256 MB.
        max_nesting: Levels to which lists and objects may lie in each other; None for 250.

    Raises:
        ParameterError: One of them is no positive number.
    """
    for name, unit, most in (
        ("max_unpacked", "bytes", max_unpacked),
        ("max_nesting", "levels", max_nesting),
    ):
        if most is not None and (not isinstance(most, int) or most < 1):
            raise ParameterError(f"{name} must be a whole number of {unit} above 0, got {most!r}")
    unpacked, nesting = _UNPACKED.set(max_unpacked), _NESTING.set(max_nesting)
    try:
        yield
    finally:
        _UNPACKED.reset(unpacked)
        _NESTING.reset(nesting)


def limit_of(packed: int) -> int:
    """Bytes to which something of a size may unpack."""
    most = _UNPACKED.get()
    return max(FREE, RATIO * packed) if most is None else most


def require_unpacked(total: int, packed: int) -> None:
    """Require that something of a size unpacks to no more than it may.

    Raises:
        BeyondBoundError: It does.
    """
    limit = limit_of(packed)
    if total > limit:
        times = "" if _UNPACKED.get() else f", {RATIO} times its size"
        raise BeyondBoundError(
            f"unpacks to more than {limit:,} bytes{times}",
            "if that is meant, --max-unpacked BYTES allows more (max_unpacked in Python)",
        )


def require_nesting(value: Any, text: str | None = None) -> None:
    """Require that a value nests no deeper than it may: a list in an object is on level 2.

    Args:
        value: The value.
        text: The JSON that it was, where it was; one with few brackets need not be searched.

    Raises:
        BeyondBoundError: It does.
    """
    most = _NESTING.get() or LEVELS
    if text is not None and text.count("[") + text.count("{") <= most:
        return
    level = _nesting([value])
    for _ in range(most):
        level = _nesting(
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
        )
        if not level:
            return
    raise BeyondBoundError(
        f"nests deeper than {most:,} levels",
        "if that is meant, --max-nesting LEVELS allows more (max_nesting in Python)",
    )


def loaded(text: str) -> Any:
    """The value of a JSON text that stands in a record.

    Raises:
        ValueError: It is no JSON.
        BeyondBoundError: It nests deeper than it may, or than Python reads.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise BeyondBoundError(TOO_DEEP) from None
    require_nesting(value, text)
    return value


def _nesting(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]
