"""Readers: their protocol, what they find, and the registry of formats.

A reader is a class with `sniff` and `read` that is registered with the decorator `reader`. Adding
one is adding one module to `readers/formats`; the command line, the documents and the app read
`FORMATS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import polars as pl

from workbench.errors import Problem
from workbench.registry import Registry

HEAD_BYTES = 65_536
"""Bytes of a file that `sniff` sees without opening it."""

SYSTEM = "__system"
"""Column in which a reader says which agent and model acted, or which run it was.

Groups that would have several are kept apart by it; a log never has the column.
"""


class Diagnostics:
    """Collects what a reader has to say about its files, equal diagnostics counted together."""

    def __init__(self) -> None:
        self._problems: dict[tuple[str, str, str], _Tally] = {}
        self._dropped: dict[tuple[str, str, str], _Tally] = {}
        self._notices: dict[tuple[str, str, str], _Tally] = {}
        self.lost: set[str] = set()
        self.unread: Counter[str] = Counter()

    def leave(self, column: str, records: int) -> None:
        """A column of the user's own that nothing reads, and in how many records it has a value."""
        self.unread[column] += records

    def lose(self, group: str) -> None:
        """A group of which a rollout is broken, where that is known."""
        self.lost.add(group)

    def problem(self, column: str, rule: str, place: str = "", hint: str = "") -> None:
        """Something broken: the files are refused, or read without it where the user asks."""
        self._problems.setdefault((column, rule, hint), _Tally()).add(place)

    def drop(self, column: str, rule: str, place: str = "", hint: str = "") -> None:
        """Something sound that the step log has no row for; it is left out and stated."""
        self._dropped.setdefault((column, rule, hint), _Tally()).add(place)

    def notice(self, text: str, place: str = "", count: int = 1) -> None:
        """Something done or seen that is no error, at a place as often as `count` says."""
        self._notices.setdefault(("", text, ""), _Tally()).add(place, count=count)

    def include(self, other: Diagnostics, words: Callable[[str], str] = str) -> None:
        """Add the diagnostics of one file to these.

        Args:
            other: What was found.
            words: What makes a place, a rule or a hint the one to show.
        """
        self.lost |= other.lost
        self.unread += other.unread
        for tallies, problems in (
            (self._problems, other.problems),
            (self._dropped, other.dropped),
            (self._notices, other.notices),
        ):
            for problem in problems:
                key = (problem.column, words(problem.rule), words(problem.hint))
                places = map(words, problem.places)
                tallies.setdefault(key, _Tally()).add(*places, count=problem.count)

    def clear(self) -> None:
        """Forget the findings, once they are reported."""
        for tallies in (self._problems, self._dropped, self._notices):
            tallies.clear()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Broken records."""
        return _problems(self._problems)

    @property
    def dropped(self) -> tuple[Problem, ...]:
        """Records left out."""
        return _problems(self._dropped)

    @property
    def notices(self) -> tuple[Problem, ...]:
        """Other notices; `column` is empty."""
        return _problems(self._notices)


class _Tally:
    """Count of a finding, and its first three places."""

    def __init__(self) -> None:
        self.count = 0
        self.places: list[str] = []

    def add(self, *places: str, count: int = 1) -> None:
        self.count += count
        self.places += [place for place in places if place][: 3 - len(self.places)]


def _problems(tallies: Mapping[tuple[str, str, str], _Tally]) -> tuple[Problem, ...]:
    return tuple(
        Problem(column=column, rule=rule, hint=hint, count=tally.count, places=tally.places)
        for (column, rule, hint), tally in tallies.items()
    )


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows that a reader took out of one file.

    Args:
        frame: Step rows in the order of the file, under canonical names or their aliases.
        diagnostics: What is wrong with the file, what was left out, what else there is to know.
        renamed: Canonical name -> the name it had in the file.
        numbered: The file does not name its trajectories: `trajectory_id` is null, a record (one
            `source_line`) is one trajectory, and whoever joins the files numbers them.
        done: The share of the file that is read with this part.
        read: Columns that the reader has read itself, besides those of the step log.
    """

    frame: pl.DataFrame
    diagnostics: Diagnostics
    renamed: Mapping[str, str] = field(default_factory=dict)
    numbered: bool = False
    done: float = 1.0
    read: Collection[str] = ()


class Reader(Protocol):
    """Turns one file of a format into step rows."""

    def sniff(self, path: Path, head: bytes) -> bool:
        """True if the file is of this format, by its content and never by its name.

        Args:
            path: The file, for formats whose mark is not at the beginning (a Parquet schema).
            head: Its first `HEAD_BYTES` bytes.
        """

    def read(self, path: Path, columns: Mapping[str, str]) -> Part | Iterator[Part]:
        """The step rows of a file and all that is wrong with it.

        Broken records become problems of the part; the rest is read all the same, and the caller
        decides whether to refuse. `source_file` and `source_row` are filled in by the caller.
        A format whose files may be larger than the memory gives part after part, each with whole
        records and diagnostics of its own.

        Args:
            path: The file.
            columns: Canonical name -> name in the file, as the user mapped them.

        Raises:
            ParameterError: `columns` names what the file does not have.
        """


@dataclass(frozen=True, kw_only=True)
class Format:
    """A registry entry.

    Args:
        name: What users type.
        description: What it is, in a few words.
        reader: What reads it.
        generic: Whether it takes files that a more specific format may claim as well; it is asked
            only where no other one recognises the file.
        companions: Names of files next to or above one of this format that say more about it.
        run: What of the path of a file is one run, where files of several runs name the same
            groups; None where the records say it, or groups are named once and for all.
    """

    name: str
    description: str
    reader: Reader
    generic: bool = False
    companions: tuple[str, ...] = ()
    run: Callable[[Path], Path] | None = None


FORMATS: Registry[Format] = Registry(
    "format", folder="workbench.readers.formats", group="workbench.formats"
)
ReaderClass = TypeVar("ReaderClass", bound=Callable[[], Reader])


def reader(
    name: str,
    *,
    description: str,
    generic: bool = False,
    companions: tuple[str, ...] = (),
    run: Callable[[Path], Path] | None = None,
) -> Callable[[ReaderClass], ReaderClass]:
    """Register a reader class under the name of its format."""

    def register(cls: ReaderClass) -> ReaderClass:
        FORMATS.add(
            name,
            Format(
                name=name,
                description=description,
                reader=cls(),
                generic=generic,
                companions=companions,
                run=run,
            ),
        )
        return cls

    return register


def matching(path: Path, head: bytes) -> Iterable[Format]:
    """The formats that recognise a file; generic ones only where no specific one does."""
    found = [entry for entry in FORMATS.values() if entry.reader.sniff(path, head)]
    return [entry for entry in found if not entry.generic] or found
