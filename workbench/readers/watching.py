"""The files of a run that still writes, imported as they come."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import LogError, ParameterError
from workbench.readers.base import FORMATS, Diagnostics
from workbench.readers.bounds import bounded
from workbench.readers.copies import COMPANIONS_UP, plain
from workbench.readers.importing import subject_of
from workbench.readers.mapping import mapped_columns
from workbench.readers.remote import is_remote
from workbench.readers.report import ImportReport
from workbench.readers.sources import Source, expand, fitting, head_of
from workbench.readers.streaming import Import, stage


@dataclass(frozen=True, kw_only=True)
class Look:
    """Findings of one look at the files of a run.

    Args:
        taken: Files that are in the log since this look.
        left: Name of a file -> why it is left for the next look.
        report: Of the log as it was written; None where nothing was new.
        refused: Why the log was not written, if so; the one before stays.
    """

    taken: tuple[str, ...]
    left: Mapping[str, str]
    report: ImportReport | None = None
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Files that a look would take up.

    Args:
        new: Files that are not in the log.
        changed: Files that are, and have changed since.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]


class Watch:
    """Imports the files of a run that still writes: each look adds what is new, once.

    A file is taken when it has not changed since the last look, or for as long as the interval,
    and can be read; until then it is left for the next one. A file that changed after it was
    taken, or whose companions did (a verdict that came later), is read again; what was taken of it
    before stays until then. The log is written whole or not at all.

    Args:
        output: The log.
        paths: Files, folders and patterns; what they mean is looked up at each look.
        interval: Seconds for which a file must lie unchanged.
        folder: Where parts are kept between looks.
        format: As for `read`.
        mapping: As for `read`.
        quarantine: As for `import_to`.
        skip_bad: As for `read`; then a file with a broken line is taken without it.
        untrained: As for `read`.
        keep_masked: As for `read`.
        max_unpacked: As for `read`.
        max_nesting: As for `read`.
        rewards: As for `read`; read once.
        clock: Gives the time in seconds.

    Raises:
        ParameterError: A path is an address, whose changes cannot be seen.
    """

    def __init__(
        self,
        output: Path,
        paths: Sequence[str | Path],
        *,
        interval: float,
        folder: Path,
        format: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        quarantine: Path | None = None,
        skip_bad: bool = False,
        untrained: Sequence[str] = (),
        keep_masked: bool = False,
        max_unpacked: int | None = None,
        max_nesting: int | None = None,
        rewards: str | Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if addresses := [str(path) for path in paths if is_remote(path)]:
            raise ParameterError(f"{addresses} cannot be watched; watch a folder of this machine")
        self._paths = list(paths)
        self._own = {path.resolve() for path in (output, quarantine) if path is not None}
        self._interval = interval
        self._folder = folder
        self._format = format
        self._columns = mapped_columns(mapping)
        self._skip_bad = skip_bad
        self._clock = clock
        self._seen: dict[str, _Stamp] = {}
        self._taken: dict[str, _Stamp] = {}
        self._refused: dict[str, _Stamp] = {}
        self._bounds = {"max_unpacked": max_unpacked, "max_nesting": max_nesting}
        self._work = Import(
            folder,
            output,
            columns=self._columns,
            quarantine=quarantine,
            untrained=untrained,
            keep_masked=keep_masked,
            bounds=self._bounds,
            rewards=rewards,
        )

    def waiting(self) -> Waiting:
        """The files that the next look would take up, by their stamps alone; nothing is read.

        One that a look has read and left is not among them until it changes.
        """
        new: list[str] = []
        changed: list[str] = []
        for source in expand(self._paths, Diagnostics(), self._folder):
            name, stamp = source.name, _stamp_of(source.path)
            known = stamp in (self._taken.get(name), self._refused.get(name))
            if stamp and not known and source.path.resolve() not in self._own:
                (changed if name in self._taken else new).append(name)
        return Waiting(new=tuple(new), changed=tuple(changed))

    def look(self) -> Look:
        """Take what is new and write the log if anything is."""
        left: dict[str, str] = {}
        taken = []
        for source in expand(self._paths, Diagnostics(), self._folder):
            name, stamp = source.name, _stamp_of(source.path)
            if not stamp or source.path.resolve() in self._own:
                continue
            settled = self._seen.get(name) == stamp or self._has_rested(stamp)
            self._seen[name] = stamp
            if self._taken.get(name) == stamp:
                continue
            why = self._take(source) if settled else "it is still being written"
            if why:
                left[name] = why
                if settled:
                    self._refused[name] = stamp
            else:
                taken.append(name)
                self._taken[name] = stamp
        if not taken:
            return Look(taken=(), left=left)
        try:
            report = self._work.write(subject_of(self._paths), skip_bad=self._skip_bad, last=False)
        except LogError as error:
            return Look(taken=tuple(taken), left=left, refused=str(error))
        return Look(taken=tuple(taken), left=left, report=report)

    def _has_rested(self, stamp: _Stamp) -> bool:
        return max(changed for _, _, changed in stamp) <= self._clock() - self._interval

    def _take(self, source: Source) -> str:
        """Stages a file; returns why not, or nothing."""
        diagnostics = Diagnostics()
        copies = self._folder / "copies"
        try:
            return self._staged(source, diagnostics, copies)
        finally:
            shutil.rmtree(copies, ignore_errors=True)

    def _staged(self, source: Source, diagnostics: Diagnostics, copies: Path) -> str:
        with bounded(**self._bounds):
            for opened in plain([source], diagnostics, copies):
                head = head_of(opened, diagnostics)
                names = fitting(opened, head, self._format, self._columns) if head else []
                if len(names) != 1:
                    return f"several formats fit: {names}" if names else "no reader recognises it"
                if names[0] != (self._work.format or names[0]):
                    return f"it is of format {names[0]!r}, not {self._work.format!r}"
                chosen = FORMATS[names[0]]
                file = stage(self._work.reading(chosen, opened))
                if file.diagnostics.problems and not self._skip_bad:
                    self._work.drop(file)
                    return str(file.diagnostics.problems[0])
                self._work.take(chosen, file)
        return str(diagnostics.problems[0]) if diagnostics.problems else ""


_Stamp = tuple[tuple[str, int, float], ...]
"""Name, size and time of the last change of a file and of its companions, itself first."""


def _stamp_of(path: Path) -> _Stamp:
    """Stamp by which a changed file is known; empty if it went away between two looks."""
    names = sorted({name for entry in FORMATS.values() for name in entry.companions})
    companions = [folder / name for folder in path.parents[:COMPANIONS_UP] for name in names]
    found = [_changed(file) for file in (path, *companions)]
    return tuple(stamp for stamp in found if stamp is not None) if found[0] else ()


def _changed(path: Path) -> tuple[str, int, float] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_size, found.st_mtime
