"""Terms of a filter as polars expressions; `filters` says what can be written."""

from __future__ import annotations

import difflib
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import polars as pl

from workbench.errors import UnknownNameError, WorkbenchError
from workbench.log.facts.trajectories import GROUP_KINDS
from workbench.log.remarks import TOLERANCE
from workbench.methods import create
from workbench.methods.variants import variants
from workbench.states.projection import KINDS

OUTCOMES = ("won", "failed", "unknown")
MARKS = ("+", "-", "any", "none")
TEXTS = ("observation", "action", "thought", "next_observation", "messages")
"""Columns in which a text is looked for, as far as a log has them."""

_SHORT = {"agent": "agent_id", "tool": "tool_name", "update": "train_step", "run": "run_id"}
_SHORT |= {"group": "group_id", "rollout": "trajectory_id"}
_TRUTHS = {"valid": "valid_action", "trained": "gradient_mask", "truncated": "truncated"}
_NUMBERS = {"depth": "step_index", "length": "length", "reward": "reward", "return": "return"}
_KEYS = ("outcome", "kind", "scored", "flip", "unstable", "mark", "note", "text", "map")
_OPERATORS: Mapping[str, Callable[[pl.Expr, float], pl.Expr]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_COMPARISON = re.compile(r"(\|?)([^<>=!|]+)(\|?)(<=|>=|!=|<|>|=)(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"]|"")*)"?')
_VALUE = re.compile(r'(?:"(?:[^"]|"")*"?|[^,"])+')


class TermError(ValueError):
    """The fault of one term."""


@dataclass
class Terms:
    """Reads the terms of a filter, and remembers what they ask for.

    Args:
        log: The log that it is for.
        methods: Methods whose advantages were asked for.
        unstable: Methods whose unstable steps were asked for.
        marked: Whether marks or notes were.
        maps: Maps on which a region was drawn, as EMBEDDER/KIND.
    """

    log: pl.DataFrame
    methods: list[str] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    marked: bool = False
    maps: list[str] = field(default_factory=list)

    def term(self, text: str) -> pl.Expr:
        """The expression of one term.

        Raises:
            TermError: It has no meaning; with what may have been meant.
        """
        if text.startswith("-") and len(text) > 1:
            return ~self.term(text[1:]).fill_null(value=False)
        if text.startswith('"'):
            return self._contains(TEXTS, _bare(text))
        key, colon, value = text.partition(":")
        comparison = _COMPARISON.fullmatch(text)
        if comparison and any(sign in text.partition('"')[0] for sign in "<>="):
            return self._compared(text, comparison)
        if not colon:
            return self._contains(TEXTS, _bare(text))
        return self._keyed(text, key, [_bare(part) for part in _VALUE.findall(value)])

    def _compared(self, text: str, parts: re.Match[str]) -> pl.Expr:
        opens, name, closes, sign, value = parts.groups()
        if opens != closes:
            raise TermError(f"{text!r} has one | where it needs two")
        try:
            limit = float(value)
        except ValueError:
            raise TermError(f"{text!r} compares with {value!r}, which is no number") from None
        numeric = [n for n, dtype in self.log.schema.items() if dtype.is_numeric()]
        if name in _NUMBERS:
            found = pl.col(_NUMBERS[name])
            found = found + 1 if name == "depth" else found
        elif name in numeric:
            found = pl.col(name)
        else:
            found = self._advantage(text, name, [*_NUMBERS, *numeric])
        found = found.abs() if opens else found
        if limit == 0.0 and not opens:
            # 0 is what methods call 0: rounding leaves less than TOLERANCE.
            found = pl.when(found.abs() <= TOLERANCE).then(0.0).otherwise(found)
        return _OPERATORS[sign](found, limit)

    def _advantage(self, text: str, name: str, others: Sequence[str] = ()) -> pl.Expr:
        _method(text, name, others)
        self.methods.append(name)
        return pl.col(f"A {name}")

    def _keyed(self, text: str, key: str, values: list[str]) -> pl.Expr:
        if not any(values):
            raise TermError(f"{text!r} says nothing behind the colon")
        known: Mapping[str, Callable[[str, list[str]], pl.Expr]] = {
            "outcome": lambda t, v: pl.col("outcome").is_in(_among(t, v, OUTCOMES)),
            "kind": lambda t, v: pl.col("kind").is_in(_among(t, v, tuple(GROUP_KINDS))),
            "scored": lambda t, v: pl.col("excluded").is_null() == _truth(t, v),
            "flip": self._flipped,
            "unstable": self._unstable,
            "mark": self._marked,
            "note": self._noted,
            "map": self._mapped,
            "text": lambda _, v: _any(self._contains(TEXTS, value) for value in v),
        }
        return known[key](text, values) if key in known else self._column(text, key, values)

    def _flipped(self, text: str, values: list[str]) -> pl.Expr:
        if len(values) < 2:
            raise TermError(f"{text!r} needs two methods or more, such as flip:grpo,proxmo")
        advantages = [self._advantage(text, value) for value in values]
        above = pl.max_horizontal(advantages) > TOLERANCE
        return above & (pl.min_horizontal(advantages) < -TOLERANCE)

    def _unstable(self, text: str, values: list[str]) -> pl.Expr:
        for value in values:
            _method(text, value)
        self.unstable += values
        return _any(pl.col(f"unstable {value}") for value in values)

    def _marked(self, text: str, values: list[str]) -> pl.Expr:
        self.marked = True
        return _any(_mark(one) for one in _among(text, values, MARKS))

    def _noted(self, _: str, values: list[str]) -> pl.Expr:
        self.marked = True
        return _any(_contained("note", value) for value in values)

    def _mapped(self, text: str, values: list[str]) -> pl.Expr:
        name, *corners = values
        kind = name.rpartition("/")[2]
        if kind not in KINDS or "/" not in name:
            raise TermError(f"{text!r} names no map, such as tfidf/pca, before its corners")
        numbers = [_number(text, value) for value in corners]
        if len(numbers) == 4:
            left, low, right, high = numbers
            numbers = [left, low, right, low, right, high, left, high]
        if len(numbers) < 6 or len(numbers) % 2:
            raise TermError(
                f"{text!r} needs x and y of two corners of a box, or of three or more points"
            )
        self.maps.append(name)
        return _inside(pl.col(f"map {name} x"), pl.col(f"map {name} y"), numbers)

    def _column(self, text: str, key: str, values: list[str]) -> pl.Expr:
        name = _SHORT.get(key, _TRUTHS.get(key, key))
        if name not in self.log.columns or self.log[name].dtype.is_nested():
            short = [k for k, c in _SHORT.items() if c in self.log.columns]
            plain = [n for n, dtype in self.log.schema.items() if not dtype.is_nested()]
            known = [*_KEYS, *_TRUTHS, *short, *plain]
            if key in _SHORT:
                raise TermError(f"{text!r}: the log has no column {name!r}")
            raise TermError(f"{text!r}: {_unknown(key, known, 'there is no filter')}")
        column = self.log[name]
        if column.dtype.is_numeric():
            return pl.col(name).cast(pl.Float64).is_in([_number(text, value) for value in values])
        if column.dtype == pl.Boolean:
            return pl.col(name) == _truth(text, values)
        texts = column.cast(pl.String)
        found = []
        for value in values:
            same = pl.col(name).cast(pl.String) == value
            # The end of an id is enough: task-03 for household-s0/task-03.
            found.append(same | pl.col(name).cast(pl.String).str.ends_with(f"/{value}"))
            if not ((texts == value) | texts.str.ends_with(f"/{value}")).any():
                known = texts.drop_nulls().unique().to_list()
                raise TermError(f"{text!r}: {_unknown(value, known, f'no step has the {key}')}")
        return _any(found)

    def _contains(self, columns: Sequence[str], value: str) -> pl.Expr:
        if not value:
            raise TermError("an empty text is in every step")
        here = [n for n in columns if n in self.log.columns and self.log[n].dtype == pl.String]
        # Messages are JSON, in which a quote or a line break is written otherwise.
        written = {n: json.dumps(value, ensure_ascii=False)[1:-1] for n in ("messages",)}
        return _any(_contained(name, written.get(name, value)) for name in here)


def _contained(column: str, value: str) -> pl.Expr:
    pattern = "(?i)" + re.escape(value).replace("\\ ", " ")
    return pl.col(column).str.contains(pattern).fill_null(value=False)


def _inside(x: pl.Expr, y: pl.Expr, corners: Sequence[float]) -> pl.Expr:
    """Mask of points inside a polygon: a ray to the right crosses an odd number of sides."""
    points = list(zip(corners[::2], corners[1::2], strict=True))
    odd = pl.lit(value=False)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 != y1:
            odd = odd ^ (((y >= y0) != (y >= y1)) & (x <= x0 + (y - y0) * ((x1 - x0) / (y1 - y0))))
    return odd


def _any(expressions: Iterable[pl.Expr]) -> pl.Expr:
    return reduce(operator.or_, expressions)


def _mark(value: str) -> pl.Expr:
    if value in {"+", "-"}:
        return (pl.col("mark") == value).fill_null(value=False)
    return pl.col("mark").is_null() if value == "none" else pl.col("mark").is_not_null()


def _bare(text: str) -> str:
    """A value without its quotes."""
    return _QUOTED.sub(lambda match: match.group(1).replace('""', '"'), text)


def _among(text: str, values: Sequence[str], known: Sequence[str]) -> list[str]:
    for value in values:
        if value not in known:
            raise TermError(
                f"{text!r}: {value!r} is none of {', '.join(known)}{_near(value, known)}"
            )
    return list(values)


def _truth(text: str, values: Sequence[str]) -> bool:
    (value,) = _among(text, values[:1], ("yes", "no", "true", "false"))
    return value in {"yes", "true"}


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise TermError(f"{text!r} asks for {value!r}, which is no number") from None


def _method(text: str, name: str, others: Sequence[str] = ()) -> None:
    try:
        create(name)
    except UnknownNameError:
        known = [*variants(), *others]
        raise TermError(f"{text!r}: {_unknown(name, known, 'there is no method')}") from None
    except WorkbenchError as error:
        raise TermError(f"{text!r}: {error}") from error


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    some = sorted(names)[:8]
    more = ", …" * (len(names) > len(some))
    return f"{what} {name!r}, but {', '.join(some)}{more}{_near(name, names)}"


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
