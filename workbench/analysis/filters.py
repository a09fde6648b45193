"""Filter: the steps that somebody looks at, as text that an address can carry.

Terms stand beside each other and all have to hold; a minus in front turns one round.

    outcome:failed kind:live          how the rollout ended; what its group can teach
    proxmo>0.5  |gigpo|>1  grpo=0     advantage of a method, as it is or its size
    flip:grpo,proxmo                  the two methods give opposite signs
    unstable:proxmo                   the sign changes often when other rollouts are drawn
    depth>=10  length<5  reward>0     step as pages count it; steps of its rollout; reward
    agent:planner  tool:search        any column of the log; several values with commas
    mark:+  mark:none  note:loop      what people marked and noted
    "no results"  text:loop           contained in what was seen, thought or done, in any case

Values with spaces stand in double quotes, a quote inside them is doubled.
"""

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
from workbench.log.facts.trajectories import GROUP_KINDS, group_table, trajectory_table
from workbench.log.remarks import TOLERANCE
from workbench.methods import create
from workbench.methods.variants import variants

OUTCOMES = ("won", "failed", "unknown")
MARKS = ("+", "-", "any", "none")
TEXTS = ("observation", "action", "thought", "next_observation", "messages")
"""Columns in which a text is looked for, as far as a log has them."""

_SHORT = {"agent": "agent_id", "tool": "tool_name", "update": "train_step", "run": "run_id"}
_SHORT |= {"group": "group_id", "rollout": "trajectory_id"}
_TRUTHS = {"valid": "valid_action", "trained": "gradient_mask", "truncated": "truncated"}
_NUMBERS = {"depth": "step_index", "length": "length", "reward": "reward", "return": "return"}
_KEYS = ("outcome", "kind", "flip", "unstable", "scored", "mark", "note", "text")
_OPERATORS: Mapping[str, Callable[[pl.Expr, float], pl.Expr]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_COMPARISON = re.compile(r"(\|?)([^<>=!|]+)(\|?)(<=|>=|!=|<|>|=)(.*)", re.DOTALL)
_TERM = re.compile(r'(?:"(?:[^"]|"")*"?|[^\s"])+')
_QUOTED = re.compile(r'"((?:[^"]|"")*)"?')
_VALUE = re.compile(r'(?:"(?:[^"]|"")*"?|[^,"])+')


class FilterError(WorkbenchError, ValueError):
    """A filter that cannot be read; every term that is wrong is named.

    Args:
        problems: What is wrong, a sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))

    def __reduce__(self) -> tuple[type[FilterError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


@dataclass(frozen=True)
class Filter:
    """A filter that was read.

    Args:
        expression: Holds for the steps that are kept, over the log's columns and those given.
        methods: Methods whose advantages it asks for, as columns `A NAME`.
        unstable: Methods whose unstable steps it asks for, as Boolean columns `unstable NAME`.
        marked: Whether it asks for the columns `mark` and `note`.
    """

    expression: pl.Expr
    methods: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()
    marked: bool = False

    def rows(self, log: pl.DataFrame, given: Mapping[str, pl.Series]) -> pl.Series:
        """Whether each step of a log is kept. (L,) Boolean.

        Args:
            log: A validated step log.
            given: `step_facts` of the log, and the columns that the filter asks for.
        """
        columns = [series.alias(name) for name, series in given.items()]
        kept = log.with_columns(columns).select(self.expression.fill_null(value=False).alias("k"))
        # A filter without terms is one value for all.
        return kept["k"] if kept.height == log.height else kept["k"].new_from_index(0, log.height)


def step_facts(log: pl.DataFrame) -> dict[str, pl.Series]:
    """What a filter asks of the rollout and the group of each step. Each (L,).

    Returns:
        outcome, kind, length (steps of the rollout) and return (its undiscounted reward).
    """
    table, _ = trajectory_table(log)
    groups = group_table(log).select("group_id", "kind")
    per = table.select(
        "group_id",
        pl.col("length").cast(pl.Int64),
        pl.when(pl.col("excluded").is_null()).then("episode_reward").alias("return"),
        pl.when(pl.col("success"))
        .then(pl.lit("won"))
        .when(~pl.col("success"))
        .then(pl.lit("failed"))
        .otherwise(pl.lit("unknown"))
        .alias("outcome"),
    ).join(groups, on="group_id", how="left", maintain_order="left")
    whole = per.select(pl.all().repeat_by("length").explode())
    return {name: whole[name] for name in ("outcome", "kind", "length", "return")}


def quoted(value: str) -> str:
    """A value as a filter reads it back."""
    plain = re.fullmatch(r'[^\s",|<>=!:-][^\s",|<>=!]*', value)
    return value if plain else '"' + value.replace('"', '""') + '"'


def joined(*terms: str) -> str:
    """Terms as one filter; empty ones are left out."""
    return " ".join(term for term in terms if term)


def parse(text: str, log: pl.DataFrame) -> Filter:
    """Reads a filter.

    Args:
        text: As the module says; an empty one keeps all.
        log: The log that it is for: its columns and their values can be asked for.

    Raises:
        FilterError: With every term that has no meaning, and what may have been meant.
    """
    reader = _Reader(log)
    terms, problems = [], []
    for match in _TERM.finditer(text):
        try:
            terms.append(reader.term(match.group()))
        except _TermError as error:
            problems.append(str(error))
    if problems:
        raise FilterError(problems)
    return Filter(
        expression=reduce(operator.and_, terms, pl.lit(value=True)),
        methods=tuple(dict.fromkeys(reader.methods)),
        unstable=tuple(dict.fromkeys(reader.unstable)),
        marked=reader.marked,
    )


class _TermError(ValueError):
    """What is wrong with one term."""


@dataclass
class _Reader:
    log: pl.DataFrame
    methods: list[str] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    marked: bool = False

    def term(self, text: str) -> pl.Expr:
        """The expression of one term."""
        if text.startswith("-") and len(text) > 1:
            return ~self.term(text[1:]).fill_null(value=False)
        if text.startswith('"'):
            return self._contains(TEXTS, _bare(text))
        comparison = _COMPARISON.fullmatch(text)
        key, colon, value = text.partition(":")
        before_quote = text.partition('"')[0]
        if comparison and any(sign in before_quote for sign in "<>="):
            return self._compared(text, *comparison.groups())
        if not colon:
            return self._contains(TEXTS, _bare(text))
        return self._keyed(text, key, [_bare(part) for part in _VALUE.findall(value)])

    def _compared(
        self, text: str, opens: str, name: str, closes: str, sign: str, value: str
    ) -> pl.Expr:
        if opens != closes:
            raise _TermError(f"{text!r} has one | where it needs two")
        try:
            limit = float(value)
        except ValueError:
            raise _TermError(f"{text!r} compares with {value!r}, which is no number") from None
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
            raise _TermError(f"{text!r} says nothing behind the colon")
        if key in {"flip", "unstable"}:
            return self._of_methods(text, key, values)
        if key in {"mark", "note"}:
            self.marked = True
            if key == "note":
                return _any(_contained("note", value) for value in values)
            return _any(_marked(one) for one in _among(text, values, MARKS))
        if key == "text":
            return _any(self._contains(TEXTS, value) for value in values)
        closed = {"outcome": OUTCOMES, "kind": tuple(GROUP_KINDS)}
        if key in closed:
            return pl.col(key).is_in(_among(text, values, closed[key]))
        if key == "scored":
            return pl.col("excluded").is_null() == _truth(text, values)
        if key in _TRUTHS and _TRUTHS[key] in self.log.columns:
            return pl.col(_TRUTHS[key]) == _truth(text, values)
        return self._column(text, key, values)

    def _of_methods(self, text: str, key: str, values: list[str]) -> pl.Expr:
        if key == "unstable":
            for value in values:
                _method(text, value)
            self.unstable += values
            return _any(pl.col(f"unstable {value}") for value in values)
        if len(values) != 2:
            raise _TermError(f"{text!r} needs two methods, such as flip:grpo,proxmo")
        one, other = (self._advantage(text, value) for value in values)
        large = (one.abs() > TOLERANCE) & (other.abs() > TOLERANCE)
        return large & (one * other < 0)

    def _column(self, text: str, key: str, values: list[str]) -> pl.Expr:
        name = _SHORT.get(key, key)
        if name not in self.log.columns or self.log[name].dtype.is_nested():
            short = [k for k, c in _SHORT.items() if c in self.log.columns]
            plain = [n for n, dtype in self.log.schema.items() if not dtype.is_nested()]
            known = [*_KEYS, *_TRUTHS, *short, *plain]
            if key in _SHORT:
                raise _TermError(f"{text!r}: the log has no column {name!r}")
            raise _TermError(f"{text!r}: {_unknown(key, known, 'there is no filter')}")
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
                raise _TermError(f"{text!r}: {_unknown(value, known, f'no step has the {key}')}")
        return _any(found)

    def _contains(self, columns: Sequence[str], value: str) -> pl.Expr:
        if not value:
            raise _TermError("an empty text is in every step")
        here = [n for n in columns if n in self.log.columns and self.log[n].dtype == pl.String]
        # Messages are JSON, in which a quote or a line break is written otherwise.
        written = {n: json.dumps(value, ensure_ascii=False)[1:-1] for n in ("messages",)}
        return _any(_contained(name, written.get(name, value)) for name in here)


def _contained(column: str, value: str) -> pl.Expr:
    pattern = "(?i)" + re.escape(value).replace("\\ ", " ")
    return pl.col(column).str.contains(pattern).fill_null(value=False)


def _any(expressions: Iterable[pl.Expr]) -> pl.Expr:
    return reduce(operator.or_, expressions)


def _marked(value: str) -> pl.Expr:
    if value in {"+", "-"}:
        return (pl.col("mark") == value).fill_null(value=False)
    return pl.col("mark").is_null() if value == "none" else pl.col("mark").is_not_null()


def _bare(text: str) -> str:
    """A value without its quotes."""
    return _QUOTED.sub(lambda match: match.group(1).replace('""', '"'), text)


def _among(text: str, values: Sequence[str], known: Sequence[str]) -> list[str]:
    for value in values:
        if value not in known:
            raise _TermError(f"{text!r}: {value!r} is none of {', '.join(known)}{_near(value, known)}")
    return list(values)


def _truth(text: str, values: Sequence[str]) -> bool:
    (value,) = _among(text, values[:1], ("yes", "no", "true", "false"))
    return value in {"yes", "true"}


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise _TermError(f"{text!r} asks for {value!r}, which is no number") from None


def _method(text: str, name: str, others: Sequence[str] = ()) -> None:
    try:
        create(name)
    except UnknownNameError:
        known = [*variants(), *others]
        raise _TermError(f"{text!r}: {_unknown(name, known, 'there is no method')}") from None
    except WorkbenchError as error:
        raise _TermError(f"{text!r}: {error}") from error


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    some = sorted(names)[:8]
    more = ", …" * (len(names) > len(some))
    return f"{what} {name!r}, but {', '.join(some)}{more}{_near(name, names)}"


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
