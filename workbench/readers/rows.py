"""From conversations to step rows, for readers whose records are whole trajectories."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from workbench.log.columns import STEP_LOG, known
from workbench.log.conversation import canonical_json
from workbench.log.verdicts import TRUTHS
from workbench.readers.base import Diagnostics
from workbench.readers.messages import Turn

_STEP_COLUMNS = (
    "step_index",
    "observation",
    "action",
    "reward",
    "reward_source",
    "next_observation",
    "messages",
    "segment",
    "tools",
    "source_line",
)
_KEPT = {column.name for column in STEP_LOG if column.required} | (
    set(_STEP_COLUMNS) - {"segment", "tools"}
)
_INT64 = 2**63
_NUMBER = re.compile(
    r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.I | re.A
)
Converter = Callable[[Any], Any]
"""Makes the value of a JSON one, or raises a ValueError that says what is wrong with it."""
_PART = 2**22  # characters and list items; in memory some ten times as many bytes


class StepRows:
    """Step rows of trajectories, column by column; what one trajectory lacks is null in its rows.

    What a conversation was changed by, and what of it cannot be read, becomes notices.

    An outcome is the reward of the last step, and the others get 0; without one, every reward
    is null.
    """

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self._columns: dict[str, list[Any]] = {name: [] for name in _STEP_COLUMNS}
        self._height = 0
        self._size = 0

    @property
    def is_full(self) -> bool:
        """True if it is time to make a part of them, so that no more of a file is in memory."""
        return self._size >= _PART

    def add(
        self,
        turns: Sequence[Turn],
        *,
        line: int | None = None,
        outcome: float | None = None,
        rewards: Sequence[float | None] | None = None,
        fields: Mapping[str, Any],
        last_fields: Mapping[str, Any] | None = None,
        step_fields: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Add the steps of one trajectory.

        Args:
            turns: At least one.
            line: `source_line` of the record; None where `step_fields` have one per step.
            outcome: Reward of the trajectory; None if it was not logged.
            rewards: One a step, where the format has them; then there is no outcome.
            fields: Column -> value of every step.
            last_fields: Column -> value of the last step, null on the others.
            step_fields: Column -> values, one per step.
        """
        count = len(turns)
        before: list[float | None] = [None if outcome is None else 0.0] * (count - 1)
        source = None if outcome is None else "terminal"
        columns: dict[str, Sequence[Any]] = {
            "step_index": range(count),
            "observation": [turn.observation for turn in turns],
            "action": [turn.action for turn in turns],
            "reward": [*before, outcome] if rewards is None else rewards,
            "reward_source": [source if rewards is None else "dense"] * count,
            "next_observation": [turn.next_observation for turn in turns],
            "messages": [turn.messages for turn in turns],
            "segment": [None if turn.messages is None else turn.segment for turn in turns],
            "tools": [turn.tools for turn in turns],
            "source_line": [line] * count,
        }
        columns |= {name: [value] * count for name, value in fields.items()}
        last = (last_fields or {}).items()
        columns |= {name: [*[None] * (count - 1), value] for name, value in last}
        columns |= step_fields or {}
        if not all(turn.trained for turn in turns):
            logged = columns.get("gradient_mask", [None] * count)
            pairs = zip(turns, logged, strict=True)
            columns["gradient_mask"] = [own if turn.trained else False for turn, own in pairs]
        for name, values in columns.items():
            if len(values) != count:
                raise ValueError(f"{name} has {len(values)} values for {count} steps")
            column = self._columns.setdefault(name, [])
            column += [None] * (self._height - len(column))
            column += values
        self._height += count
        self._size += sum(len(turn.messages or "") for turn in turns)
        for turn in turns:
            for note, times in turn.notes.items():
                self._diagnostics.notice(note, count=times)
        lists = [value for values in (step_fields or {}).values() for value in values]
        self._size += sum(len(value) for value in lists if isinstance(value, list))

    def frame(self) -> pl.DataFrame:
        """All rows; a field whose values are of several types becomes text.

        A field that has no value anywhere is left out, unless the step log requires it.
        """
        return pl.DataFrame(
            [
                series(name, values + [None] * (self._height - len(values)))
                for name, values in self._columns.items()
                if name in _KEPT or any(value is not None for value in values)
            ]
        )


def series(name: str, values: Sequence[Any]) -> pl.Series:
    """A column; a step's own ones and known lists have the type of the step log."""
    entry = known(name)
    if entry and (name in _STEP_COLUMNS or isinstance(entry.dtype, pl.List)):
        return pl.Series(name, values, dtype=entry.dtype)
    return inferred(name, values)


def inferred(name: str, values: Sequence[Any]) -> pl.Series:
    """Values as a column: scalars of one type as they are, others as JSON text.

    What a table has and JSON has not, such as a date, becomes text.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        kinds = {float}
    large = any(isinstance(value, int) and not -_INT64 <= value < _INT64 for value in values)
    dtypes = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}
    if large or len(kinds) > 1 or kinds - dtypes.keys():
        return pl.Series(name, [as_text(value) for value in values], dtype=pl.String)
    dtype = dtypes[kinds.pop()] if kinds else pl.Null
    if dtype == pl.Float64:
        return pl.Series(name, [None if value is None else float(value) for value in values])
    return pl.Series(name, values, dtype=dtype)


def as_text(value: Any) -> str | None:
    """A value as text: text as it is, null as None, what JSON has as that, others as they read."""
    if value is None or isinstance(value, str):
        return value
    is_json = isinstance(value, bool | int | float | list | dict)
    return canonical_json(value) if is_json else str(value)


def number(value: Any) -> float | None:
    """A JSON number or truth value as a float, null as None; NaN and infinity stay.

    Text that is a number is that; whoever reads such a text says so (`say_text_numbers`).

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return None
    if isinstance(value, bool | int | float):
        return _real(value)
    if isinstance(value, str) and is_number(value):
        return float(value)
    raise ValueError("is not a number")


def is_number(given: str) -> bool:
    """True if a text is a number."""
    return _NUMBER.fullmatch(given.strip()) is not None


def say_text_numbers(values: Iterable[Any], diagnostics: Diagnostics, place: str) -> None:
    """Say that numbers were written as text, if any of these was."""
    if any(isinstance(value, str) for value in values):
        diagnostics.notice("numbers that are written as text are read as numbers", place)


def _real(value: float) -> float:
    """A number as a float; an integer that is too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def truth(value: Any) -> bool | None:
    """A JSON truth value, 0 or 1, or a word of one (`verdicts.TRUTHS`) as a bool, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and (said := TRUTHS.get(value.strip().lower())) is not None:
        return said
    raise ValueError("is neither true nor false")


def identity(value: Any) -> str | None:
    """A JSON string or whole number as an id, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("is neither text nor a whole number")


def text(value: Any) -> str | None:
    """A JSON string, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    raise ValueError("is not text")


def token_ids(value: Any) -> list[int] | None:
    """A JSON list of token ids, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None or (
        isinstance(value, list) and all(type(item) is int and 0 <= item < 2**31 for item in value)
    ):
        return value
    raise ValueError("is not a list of token ids")


def ones(ids: Sequence[int] | None) -> list[int] | None:
    """The mask of a response that the policy wrote as a whole."""
    return None if ids is None else [1] * len(ids)


def numbers(value: Any) -> list[float] | None:
    """A JSON list of numbers as floats, null as None; NaN and infinity stay.

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError("is not a list of numbers")
    for at, item in enumerate(value):
        if type(item) not in {int, float}:
            found = "null" if item is None else f"a {type(item).__name__}"
            raise ValueError(f"is not a list of numbers: value {at} of {len(value)} is {found}")
    return [_real(item) for item in value]


def named(name: str, convert: Converter, value: Any) -> Any:
    """A value through its converter, whose error says what the value is called.

    Raises:
        ValueError: The converter refuses it.
    """
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def checked_values(
    record: Mapping[str, Any],
    converters: Mapping[str, Converter],
    diagnostics: Diagnostics,
    place: str,
    *,
    optional: Collection[str] = (),
) -> dict[str, Any] | None:
    """Values of a record by key, each through its converter; None where one has a problem.

    Args:
        record: A JSON object.
        converters: Key -> what makes its value.
        diagnostics: Gets the first problem.
        place: Where the record stands.
        optional: Keys that may be missing or null.
    """
    values = {}
    for key, convert in converters.items():
        try:
            values[key] = convert(record.get(key))
        except ValueError as error:
            diagnostics.problem(key, str(error), place)
            return None
        if values[key] is None and key not in optional:
            diagnostics.problem(key, "is missing or null", place)
            return None
    numeric = [record.get(key) for key, convert in converters.items() if convert is number]
    say_text_numbers(numeric, diagnostics, place)
    return values
