"""Tables of the command line: aligned, and no wider than the terminal where that can be."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.wording import number, shortened

PIPED = 120
"""Width of a line where there is no terminal."""

LEAST = 16
"""A column of texts is not made narrower than this."""


def terminal_width() -> int:
    """Columns of the terminal, or of what `COLUMNS` says."""
    return shutil.get_terminal_size((PIPED, 24)).columns


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    *,
    width: int = 60,
    wrap: bool = False,
) -> str:
    """Rows as aligned text that fits the terminal, numbers to the right.

    Where a line would be too long the widest texts give way: sentences lose their end, or go on
    in the next line, and names such as ids lose their middle, as far as they stay different.
    Numbers are never cut.

    Args:
        rows: All with the same keys.
        columns: Which keys, in which order; all by default.
        width: Longer sentences are cut with ….
        wrap: Whether sentences that do not fit go on in the next line instead of being cut.
    """
    if not rows:
        return "(none)"
    names = list(columns or rows[0])
    cells = {name: [shortened(number(row[name]), 10_000) for row in rows] for name in names}
    right = {name: all(isinstance(r[name], int | float | None) for r in rows) for name in names}
    prose = {name for name in names if any(" " in cell for cell in cells[name])} - {
        name for name in names if right[name]
    }
    size = {name: max(map(len, (name, *cells[name]))) for name in names}
    size |= {name: min(size[name], width) for name in prose if not wrap}
    _fit(size, [n for n in names if not right[n]], terminal_width() - 2 * (len(names) - 1), cells)
    lines = [[[name] for name in names]]
    for place in range(len(rows)):
        lines.append([_cell(name, cells[name], place, size, prose, wrap=wrap) for name in names])
    wide = {
        name: max(len(part) for line in lines for part in line[k]) for k, name in enumerate(names)
    }
    return "\n".join(
        "  ".join(
            (part.rjust(wide[name]) if right[name] else part.ljust(wide[name]))
            for name, part in (
                (name, line[k][at] if at < len(line[k]) else "") for k, name in enumerate(names)
            )
        ).rstrip()
        for line in lines
        for at in range(max(map(len, line)))
    )


def _fit(
    size: dict[str, int],
    texts: Sequence[str],
    room: int,
    cells: Mapping[str, Sequence[str]],
) -> None:
    """Make the widest columns of texts narrower until all fit, or nothing may give way."""
    least = {name: max(len(name), min(size[name], _least(cells[name]))) for name in texts}
    while sum(size.values()) > room:
        wider = [name for name in texts if size[name] > least[name]]
        if not wider:
            return
        size[max(wider, key=lambda name: size[name])] -= 1


def _least(values: Sequence[str]) -> int:
    """Least width of a column of texts."""
    if any(" " in value for value in values):
        return LEAST
    alike = _alike(values)
    longest = max(map(len, values))
    return max(LEAST, longest - alike + 1 + min(alike, LEAST // 3))


def _cell(
    name: str,
    values: Sequence[str],
    place: int,
    size: Mapping[str, int],
    prose: set[str],
    *,
    wrap: bool,
) -> list[str]:
    value, wide = values[place], size[name]
    if len(value) <= wide:
        return [value]
    if name not in prose:
        return [middle(value, wide, _alike(values))]
    if wrap:
        return textwrap.wrap(value, wide, break_on_hyphens=False) or [""]
    return [shortened(value, wide)]


def _alike(values: Sequence[str]) -> int:
    """Number of characters that all names begin with."""
    first, last = min(values), max(values)
    pairs = enumerate(zip(first, last, strict=False))
    return next((place for place, (a, b) in pairs if a != b), len(first))


def middle(text: str, width: int, alike: int) -> str:
    """A name without some of what it has in common with others, and never without its end.

    Args:
        text: The name.
        width: How long it may be.
        alike: How many of its first characters say nothing.

    Example:
        >>> middle("household-s0/task-18/rollout-1", 20, 18)
        'househo…18/rollout-1'
    """
    if len(text) <= width:
        return text
    tail = max(len(text) - alike, (width - 1) * 2 // 3)
    head = max(0, width - 1 - tail)
    return f"{text[:head]}…{text[len(text) - tail :]}"
