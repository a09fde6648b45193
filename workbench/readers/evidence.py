"""Evidence of values: those of a name may be the ids, texts or rewards of steps, or may not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.log.verdicts import verdicts_of

_FEW = 0.5
"""Share of the records that a text needs a value in, and that may share a group."""

Values = Mapping[str, Sequence[Any]]
"""Name -> its value in each record that is looked at."""


def speaks_by_values(column: str, columns: Mapping[str, str]) -> bool:
    """True where values alone may tell a column, besides those that are known."""
    needed = {"trajectory_id": "step_index", "group_id": "trajectory_id", "reward": "trajectory_id"}
    return column not in needed or needed[column] in columns


def given_values(values: Sequence[Any]) -> list[Any]:
    """The values that are not null."""
    return [value for value in values if value is not None]


def _is_whole(values: Sequence[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _is_outcome(values: Sequence[Any]) -> bool:
    given = given_values(values)
    if all(isinstance(value, str) for value in given):
        return bool(given) and verdicts_of(set(given)) is not None
    return bool(given) and all(isinstance(value, bool | int | float) for value in given)


def is_0_or_1(values: Sequence[Any]) -> bool:
    """True if numbers are 0 or 1, each of them some times, as outcomes are."""
    given = given_values(values)
    return all(type(value) in {int, float} for value in given) and set(given) == {0, 1}


def _is_id(values: Sequence[Any]) -> bool:
    given = given_values(values)
    return len(given) == len(values) and all(type(value) in {int, str} for value in given)


FITS_RECORD: Mapping[str, Callable[[Sequence[Any]], bool]] = {
    "group_id": lambda values: _is_id(values) and len(set(values)) <= len(values) * _FEW + 1,
    "trajectory_id": lambda values: _is_id(values) and len(set(values)) == len(values),
    "reward": _is_outcome,
}


def fits_step(column: str, own: Sequence[Any], values: Values, columns: Mapping[str, str]) -> bool:
    """True where the values of a name can be those of a column of steps, besides those chosen."""
    given = given_values(own)
    if column in {"observation", "action"}:
        is_said = all(isinstance(value, str | dict) for value in given)
        return is_said and len(given) > len(own) * _FEW
    if not given or any(isinstance(value, list | dict) for value in given):
        return False
    if column == "step_index":
        return len(given) == len(own) and _is_whole(given) and _counts_up(given)
    if column == "trajectory_id":
        return _is_id(own) and _stays(own, values, columns)
    if column == "group_id":
        return _is_id(own) and _is_of(own, _chosen("trajectory_id", values, columns))
    return _is_outcome(own)


def _counts_up(values: Sequence[int]) -> bool:
    """True where numbers go up by one from 0 or 1, again and again."""
    pairs = list(itertools.pairwise(values))
    return values[0] <= 1 and all(after == before + 1 or after <= 1 for before, after in pairs)


def _chosen(column: str, values: Values, columns: Mapping[str, str]) -> Sequence[Any] | None:
    """The values of the name that was chosen for a column; a name may be empty."""
    return values[columns[column]] if column in columns else None


def _stays(own: Sequence[Any], values: Values, columns: Mapping[str, str]) -> bool:
    """True where an id stays while the steps count up and is not used again once it has changed."""
    numbers = _chosen("step_index", values, columns)
    runs = [key for key, _ in itertools.groupby(own)]
    if len(set(runs)) < len(runs):
        return False
    if numbers is None:
        return len(runs) < len(own)
    starts = sum(1 for before, after in itertools.pairwise(numbers) if after <= before) + 1
    return len(runs) == starts


def _is_of(own: Sequence[Any], trajectories: Sequence[Any] | None) -> bool:
    """True where each trajectory has one value."""
    if trajectories is None:
        return len(set(own)) < len(own)
    pairs = set(zip(trajectories, own, strict=True))
    return len(pairs) == len(set(trajectories)) and len(set(own)) <= len(pairs)


def is_plain(column: str, name: str, values: Values, columns: Mapping[str, str]) -> bool:
    """True where the values of a name that fits are enough to take it for a column."""
    own = values[name]
    if column == "step_index":
        return any(after == before + 1 for before, after in itertools.pairwise(own))
    if column in {"observation", "action"}:
        given = given_values(own)
        # Ids are one word, and each is another.
        texts = list(map(str, given))
        return sum(" " in text for text in texts) >= len(texts) * _FEW or len(set(texts)) < len(
            texts
        )
    return column != "reward" or _is_at_the_end(name, values, columns)


def _is_at_the_end(name: str, values: Values, columns: Mapping[str, str]) -> bool:
    """True where a number is 0 but for the last steps of trajectories, and not the same at each."""
    trajectories, own = values[columns["trajectory_id"]], values[name]
    after = [*trajectories[1:], None]
    ends = [value for value, one, two in zip(own, trajectories, after, strict=True) if one != two]
    before = [value for value, one, two in zip(own, trajectories, after, strict=True) if one == two]
    return not any(before) and any(ends)


def weight(column: str, values: Sequence[Any]) -> float:
    """The weight of what speaks for a name that fits by its values alone."""
    given = given_values(values)
    if column in {"observation", "action"}:
        return sum(len(str(value)) for value in given) * (1 if column == "observation" else -1)
    if column == "reward":
        return -len(set(given))
    return float(len(set(given)) * (1 if column == "trajectory_id" else -1))
