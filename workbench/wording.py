"""Numbers, counts and texts as people read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total) while work is under way; total 0 where it is not known."""


def silent(stage: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing."""


def number_of(count: int, noun: str) -> str:
    """A count and what is counted.

    Example:
        >>> number_of(1, "trajectory"), number_of(2000, "trajectory"), number_of(0, "group")
        ('1 trajectory', '2,000 trajectories', '0 groups')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def are(count: int, noun: str, verb: str = "are") -> str:
    """A count, what is counted, and the verb that goes with it: are, have, or any other.

    Example:
        >>> are(1, "step"), are(2, "step"), are(1, "group", "have"), are(1, "row", "begin")
        ('1 step is', '2 steps are', '1 group has', '1 row begins')
    """
    one = {"are": "is", "have": "has", "were": "was"}.get(verb, f"{verb}s")
    return f"{number_of(count, noun)} {one if count == 1 else verb}"


def of_all(count: int, total: int, noun: str, verb: str = "are") -> str:
    """Some of all, and the verb that goes with the count.

    Example:
        >>> of_all(1, 6, "group", "have"), of_all(2, 6, "step")
        ('1 of 6 groups has', '2 of 6 steps are')
    """
    return f"{count:,} of {number_of(total, noun)} {are(count, noun, verb).split()[-1]}"


def number(value: Any, digits: int = 4) -> str:
    """A value in a text or a cell: a float in significant digits, – for null, others as they are.

    Example:
        >>> number(0.123456), number(0.123456, 3), number(12345.6), number(None), number(7)
        ('0.1235', '0.123', '12,346', '–', '7')
    """
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    # Adding 0 takes the sign from -0.0, such as a term of weight 0 has.
    return f"{value + 0.0:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def decimals(value: float | None, sign: str = "-") -> str:
    """A share or a correlation: three decimals without a leading 0; – where there is no value.

    Example:
        >>> decimals(0.5), decimals(-0.25), decimals(0.5, sign="+"), decimals(None)
        ('.500', '-.250', '+.500', '–')
    """
    if value is None:
        return "–"
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts texts as people count: numbers inside them by value.

    Example:
        >>> sorted(["task-10", "task-9", "task-b"], key=natural)
        ['task-9', 'task-10', 'task-b']
    """
    parts = re.split(r"([0-9]+)", text)
    return [
        (0, int(part), part) if part.isdecimal() and len(part) < 20 else (1, 0, part)
        for part in parts
    ]


def shortened(text: str, width: int = 80) -> str:
    r"""A text on one line, cut with … where it is longer; · for what a terminal would obey.

    Example:
        >>> shortened("two\nlines", 20), shortened("a long text", 7)
        ('two lines', 'a long…')
    """
    line = "".join(sign if sign.isprintable() else "·" for sign in " ".join(text.split()))
    return line if len(line) <= width else f"{line[: width - 1]}…"


def own_names(names: Sequence[str]) -> list[str]:
    """Names without the beginning and the end that all of them have, cut where a part ends.

    They stay whole where there is one alone, or nothing would be left of one.

    Example:
        >>> own_names(["run/task-01/a", "run/task-12/a"]), own_names(["only/one"])
        (['task-01', 'task-12'], ['only/one'])
    """
    if len(names) < 2:
        return list(names)
    head = _shared(names)
    rests = [name[head:] for name in names]
    tail = _shared([rest[::-1] for rest in rests])
    own = [rest[: len(rest) - tail] for rest in rests]
    return own if all(name.strip() for name in own) else list(names)


def _shared(texts: Sequence[str]) -> int:
    """Length of the beginning that all texts have, up to where a part of it ends."""
    first, last = min(texts), max(texts)  # what these two share, those between share as well
    pairs = enumerate(zip(first, last, strict=False))
    common = first[: next((at for at, (a, b) in pairs if a != b), min(len(first), len(last)))]
    return max(common.rfind(sign) for sign in "/:| ") + 1
