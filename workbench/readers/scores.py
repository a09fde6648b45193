"""Choice of a trajectory's reward among its scores, where a format keeps them by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import ParameterError
from workbench.log.verdicts import verdicts_of
from workbench.readers.base import Diagnostics
from workbench.readers.rows import is_number, number

_SUM_WITHIN = 1e-6


class Words:
    """The words that each score of a file has, which tell what they mean once all are seen."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}
        self.unknown: frozenset[str] = frozenset()

    def see(self, name: str, value: Any) -> None:
        """Take note of a value."""
        if isinstance(value, str) and not is_number(value):
            self._seen.setdefault(name, set()).add(value)

    def settle(self) -> bool:
        """True if the words of some score turned out to mix sets, which was not known before."""
        found = frozenset(n for n, words in self._seen.items() if verdicts_of(words) is None)
        is_new = bool(found - self.unknown)
        self.unknown = found
        return is_new


def score_number(value: Any) -> float | None:
    """A score as a number: letters and words by what they mean, text that is a number as that.

    Anything else, such as other text or a list, is None; NaN stays NaN.
    """
    if isinstance(value, str):
        known = verdicts_of({value})
        if known is not None:
            return known[value.strip().lower()]
        return number(value) if is_number(value) else None
    return number(value) if isinstance(value, bool | int | float) else None


def flat_scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores that are objects taken apart: `{"judge": {"style": 1}}` gives `judge.style`."""
    flat: dict[str, Any] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in flat_scores(value).items()}
        else:
            flat[name] = value
    return flat


def reward_of(
    scores: Mapping[str, Any],
    told: str | None,
    diagnostics: Diagnostics,
    place: str,
    words: Words | None = None,
) -> tuple[float | None, dict[str, float | None]]:
    """The reward among scores by name, and the others as columns `aux_reward_<name>`.

    The reward is the score that the mapping names; without one, the only score, or the one that
    is called `reward`, or the first, which is then reported.

    Args:
        scores: Name -> value, in the order of the file.
        told: Name that the user mapped to the column `reward`.
        diagnostics: Gets a notice where a choice was made or a value is no number.
        place: Where the scores stand.
        words: Of the file; scores whose words are of no one set are not known.

    Raises:
        ParameterError: The mapping names a score that is not among these.
    """
    flat = flat_scores(scores)
    if told is not None and flat and told not in flat:
        raise ParameterError(
            f"the column mapping names the score {told!r}, which {place} does not have; "
            f"found {list(flat)}"
        )
    values = {name: score_number(value) for name, value in flat.items()}
    words = words or Words()
    for name, value in flat.items():
        words.see(name, value)
        if name in words.unknown and isinstance(value, str) and not is_number(value):
            values[name] = None
    for name, value in flat.items():
        if value is not None and values[name] is None:
            diagnostics.notice(f"the score {name!r} is no number and is null", place)
    if not values:
        return None, {}
    name = told or ("reward" if "reward" in values else next(iter(values)))
    if told is None and len(values) > 1 and name != "reward":
        diagnostics.notice(
            f"there are several scores and {name!r} is the reward; "
            'choose another with --map: a JSON file with {"columns": {"reward": "…"}}',
            place,
        )
    others = {f"aux_reward_{other}": value for other, value in values.items() if other != name}
    return values[name], others


def rewards_of(
    total: float | None,
    each: Sequence[float | None],
    diagnostics: Diagnostics,
    place: str,
) -> tuple[float | None, Sequence[float | None] | None]:
    """The outcome of a rollout, or the reward of each step where these add up to it.

    Args:
        total: Reward of the rollout; None if it has none.
        each: Rewards of its steps, as far as they have one.
        diagnostics: Gets a notice where they do not add up.
        place: Where the record stands.

    Returns:
        One of the two; neither where nothing was logged.
    """
    logged = [reward for reward in each if reward is not None]
    if total is None:
        return None, each if logged else None
    if not any(logged) or not any(each[:-1]):
        return total, None
    if abs(sum(logged) - total) <= _SUM_WITHIN * max(1.0, abs(total)) and None not in each:
        return None, each
    text = "rewards of the steps do not add up to the trajectory's, which is taken"
    diagnostics.notice(text, place)
    return total, None
