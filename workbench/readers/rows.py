"""From conversations to step rows, for readers whose records are whole trajectories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from workbench.columns import known
from workbench.readers.messages import Turn, canonical_json

_STEP_COLUMNS = (
    "step_index",
    "observation",
    "action",
    "reward",
    "reward_source",
    "next_observation",
    "messages",
    "source_line",
)
_INT64 = 2**63


class StepRows:
    """Step rows of conversations with an outcome, column by column.

    The outcome is the reward of the last step, and the others get 0; without one, every reward
    is null.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in _STEP_COLUMNS}
        self._fields: dict[str, list[Any]] = {}

    def add(
        self,
        turns: Sequence[Turn],
        *,
        line: int,
        outcome: float | None,
        fields: Mapping[str, Any],
        last_fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds the steps of one trajectory.

        Args:
            turns: At least one.
            line: `source_line` of the record.
            outcome: Reward of the trajectory; None if it was not logged.
            fields: Column -> value of every step; the same columns in every call.
            last_fields: Column -> value of the last step, null on the others; likewise.
        """
        count = len(turns)
        before: list[float | None] = [None if outcome is None else 0.0] * (count - 1)
        values: dict[str, list[Any]] = {
            "step_index": list(range(count)),
            "observation": [turn.observation for turn in turns],
            "action": [turn.action for turn in turns],
            "reward": [*before, outcome],
            "reward_source": [None if outcome is None else "terminal"] * count,
            "next_observation": [turn.next_observation for turn in turns],
            "messages": [turn.messages for turn in turns],
            "source_line": [line] * count,
        }
        for name, column in values.items():
            self._columns[name] += column
        for name, value in fields.items():
            self._fields.setdefault(name, []).extend([value] * count)
        for name, value in (last_fields or {}).items():
            self._fields.setdefault(name, []).extend([*[None] * (count - 1), value])

    def frame(self) -> pl.DataFrame:
        """All rows; a field whose values are of several types becomes text."""
        typed = [
            pl.Series(name, values, dtype=entry.dtype)
            for name, values in self._columns.items()
            if (entry := known(name))
        ]
        return pl.DataFrame([*(series(*item) for item in self._fields.items()), *typed])


def series(name: str, values: Sequence[Any]) -> pl.Series:
    """JSON values as a column: scalars of one type as they are, others as JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        kinds = {float}
    large = any(isinstance(value, int) and not -_INT64 <= value < _INT64 for value in values)
    if large or len(kinds) > 1 or kinds & {list, dict}:
        texts = [
            value if value is None or isinstance(value, str) else canonical_json(value)
            for value in values
        ]
        return pl.Series(name, texts, dtype=pl.String)
    dtypes = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}
    dtype = dtypes[kinds.pop()] if kinds else pl.Null
    if dtype == pl.Float64:
        return pl.Series(name, [None if value is None else float(value) for value in values])
    return pl.Series(name, values, dtype=dtype)


def number(value: Any) -> float | None:
    """A JSON number or truth value as a float, null as None; NaN and infinity stay.

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return None
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    raise ValueError("is not a number")


def truth(value: Any) -> bool | None:
    """A JSON truth value or 0 or 1 as a bool, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
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
