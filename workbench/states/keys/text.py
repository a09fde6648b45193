"""Keys by text: the same characters, or the same once what does not matter is taken out."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workbench.errors import ParameterError
from workbench.log.steps import Index, Steps
from workbench.parameters import Parameterised, parameter
from workbench.states.keys.base import Key, KeySpace, action_key, labels, state_key

VOLATILE = "|".join(
    (
        r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?",  # time stamps
        r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",  # UUIDs
        r"\b0x[0-9a-fA-F]{4,}\b",  # memory addresses
        r"\b[0-9a-fA-F]{32,64}\b",  # digests
        r"/tmp/[^\s'\":,)]+",  # temporary files
        r"\bin \d+(?:\.\d+)? ?(?:ms|s|sec|seconds)\b",  # how long something took
        r"\b\d+ (?:steps?|turns?|chances?|attempts?|tokens?)\b[^.\n]{0,40}?\bleft\b",  # budgets
    )
)
"""Meaningless differences between two visits of one state."""


def state_texts(steps: Steps) -> tuple[pl.Series, pl.Series]:
    """The text that stands for each state, and whether the log has it as `state_key`. (S,), (S,).

    It is the log's `state_key` where there is one, else the observation.
    """
    logged = steps.column("state_key").cast(pl.String)
    text = steps.column("observation").zip_with(logged.is_null(), logged)
    return text, logged.is_not_null()


@state_key("exact")
@dataclass(frozen=True, kw_only=True)
class Exact(Key):
    """The same text, character for character.

    The text is the log's `state_key` where it has one, else the observation.
    """

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by text."""
        return labels(steps, *state_texts(steps))


@action_key("text")
@dataclass(frozen=True, kw_only=True)
class ActionText(Key):
    """The same action text, character for character."""

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by text."""
        return labels(steps, steps.column("action"))


def readable_pattern(pattern: str) -> None:
    """Refuse what is no regular expression of polars (Rust's syntax, without look-around).

    Raises:
        ParameterError: It is none; the message says where.
    """
    try:
        pl.Series([""]).str.replace_all(pattern, "")
    except pl.exceptions.ComputeError as error:
        reason = str(error).partition("error: ")[2].rpartition("error: ")[2].partition("\n")[0]
        raise ParameterError(f"{pattern!r} is no regular expression: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class Normalisation(Parameterised):
    """Differences between two texts that a key ignores."""

    case: bool = parameter(True, "whether upper and lower case are the same")
    whitespace: bool = parameter(True, "whether any run of blanks and line ends is one blank")
    numbers: bool = parameter(False, "whether all numbers are the same; drawer 1 is then drawer 2")
    volatile: str = parameter(
        VOLATILE,
        "pattern of what means nothing, such as time stamps and step budgets; empty for none",
        parse=readable_pattern,
    )

    def normalise(self, text: pl.Series) -> pl.Series:
        """The texts with what does not matter taken out.

        Volatile parts are looked for in the text as it is, before case and blanks are evened out.

        Example:
            >>> Normalisation().normalise(pl.Series(["Ran  in 0.31s", "ran in 7 ms"])).to_list()
            ['ran *', 'ran *']
        """
        text = text.str.normalize("NFC")
        if self.volatile:
            text = text.str.replace_all(self.volatile, "*")
        if self.case:
            text = text.str.to_lowercase()
        if self.numbers:
            text = text.str.replace_all(r"\d+(?:[.,]\d+)*", "#")
        if self.whitespace:
            text = text.str.replace_all(r"\s+", " ").str.strip_chars()
        return text


@state_key("normalised")
@dataclass(frozen=True, kw_only=True)
class Normalised(Normalisation, Key):
    """The same text up to case, blanks and what is volatile.

    A logged `state_key` is taken as it is: whoever logged it decided what is the same.
    """

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by normalised text."""
        text, logged = state_texts(steps)
        return labels(steps, text.zip_with(logged, self.normalise(text)), logged)


@action_key("normalised")
@dataclass(frozen=True, kw_only=True)
class NormalisedAction(Normalisation, Key):
    """The same action text up to case, blanks and what is volatile."""

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by normalised text."""
        return labels(steps, self.normalise(steps.column("action")))
