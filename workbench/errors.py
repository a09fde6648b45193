"""Errors that a user can fix, each with a hint.

`WorkbenchError` marks what a user can put right: the command line prints its message and exits
with 2. Everything else is a defect of the workbench and propagates with its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.wording import number_of

LISTED = 20
"""Names that a message lists in full; of more it lists the nearest."""


class WorkbenchError(Exception):
    """Something the user can put right; the message says what, where, and how."""


class ParameterError(WorkbenchError, ValueError):
    """A parameter that does not exist, or whose value is out of range or of the wrong type."""


class UnknownNameError(WorkbenchError, LookupError):
    """A name that no registry entry has; the message lists those that exist, or the nearest.

    Args:
        kind: What was looked up, for example "method".
        name: The name that was not found.
        known: The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=5)
        hint = f" Hint: did you mean {close[0]!r}?" if close else ""
        long = close and len(names) > LISTED
        listed = f"the nearest of {len(names)} are {close}" if long else f"expected one of {names}"
        super().__init__(f"unknown {kind} {name!r}; {listed}.{hint}")
        self._made_of = (kind, name, names)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        return type(self), self._made_of


class MissingDependencyError(WorkbenchError, ImportError):
    """A package or a model that an asked-for feature needs is not installed."""


class PluginError(WorkbenchError):
    """An entry of a registry that cannot be loaded: its module fails, or its name is taken."""


class MissingInputError(WorkbenchError):
    """A method or an export needs something that the log does not have."""


class EmptyBatchError(WorkbenchError):
    """A batch that would train nothing: no step is left, or none has an advantage."""


class ArtefactError(WorkbenchError):
    """A file of a workspace or an export is damaged, unfinished, or not what its manifest says."""


class StorageError(WorkbenchError):
    """A place cannot be written: the disk is full, a quota or a limit is reached, or read-only."""


class WorkerLostError(WorkbenchError):
    """A worker process ended, several times, over the same part of the work."""


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


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken rule of a log.

    Args:
        column: The column (or columns) that the rule is about.
        rule: What is wrong, in a few words.
        count: How many places break it.
        places: The first three places, such as "row 3" or "results.jsonl:12".
        hint: What to do about it.
    """

    column: str
    rule: str
    count: int = 1
    places: Sequence[str] = ()
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.column}: {self.rule}"
        if self.places:
            more = f" and {self.count - len(self.places)} more" * (self.count > len(self.places))
            text += f", at {', '.join(self.places)}{more}"
        return f"{text}. Hint: {self.hint}" if self.hint else text


def pass_on_interrupt(error: BaseException) -> None:
    """Raise KeyboardInterrupt where a library reports one as an error of its own.

    polars does where a signal comes while it calls Python: it panics, as over a damaged file.

    Raises:
        KeyboardInterrupt: The error's text names one.
    """
    if "KeyboardInterrupt" in str(error):
        raise KeyboardInterrupt from error


class LogError(WorkbenchError, ValueError):
    """A log that breaks the rules of the step log; carries every problem, not only the first.

    Args:
        subject: What was read, for example "a step log of 7 rows".
        problems: All that is wrong with it.
        way_on: How what is sound in it can be read nevertheless, if it can.
    """

    def __init__(self, subject: str, problems: Sequence[Problem], way_on: str = "") -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n- {problem}" for problem in self.problems)
        end = f"\nHint: {way_on}" if way_on else ""
        count = number_of(len(self.problems), "problem")
        super().__init__(f"{count} in {subject}:{lines}{end}")
        self._made_of = (subject, self.problems, way_on)

    def __reduce__(self) -> tuple[type[LogError], tuple[str, tuple[Problem, ...], str]]:
        return type(self), self._made_of
