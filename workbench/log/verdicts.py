"""Verdicts in words: which words mean that a task was solved.

A word counts only where all words of its column are of one set: "no" next to "yes" is a failure,
with "excellent" it may be anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

VERDICTS: tuple[Mapping[str, float], ...] = (
    {"c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0},  # Inspect: correct, incorrect, partial, no answer
    {"correct": 1.0, "incorrect": 0.0, "partial": 0.5},
    {"yes": 1.0, "no": 0.0},
    {"true": 1.0, "false": 0.0},
    {"pass": 1.0, "fail": 0.0},
    {"passed": 1.0, "failed": 0.0},
    {"success": 1.0, "failure": 0.0},
    {"success": 1.0, "fail": 0.0},
    {"succeeded": 1.0, "failed": 0.0},
    {"resolved": 1.0, "unresolved": 0.0},
    {"solved": 1.0, "unsolved": 0.0},
)

TRUTHS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "n", "0", "0.0"), False),
}
"""Words of a truth value, in lower case."""


def verdicts_of(words: Collection[str]) -> Mapping[str, float] | None:
    """Truth value of each word of a column, in lower case; None if the words mix sets.

    Example:
        >>> verdicts_of({"Pass", "fail"})["pass"], verdicts_of({"pass", "no"})
        (1.0, None)
    """
    lower = {word.strip().lower() for word in words}
    return next((known for known in VERDICTS if lower <= known.keys()), None)
