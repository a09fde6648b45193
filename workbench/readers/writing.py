"""From files to a step log on disk, whatever their size; once, or again and again as a run goes on.

Every file is read part by part into a `Staging`, so memory holds one part and a narrow row a step.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import LogError, ParameterError
from workbench.readers.base import Findings, Format, format_named
from workbench.readers.importing import (
    found_files,
    joined,
    parts_of,
    sentence,
    subject_of,
    with_numbers,
)
from workbench.readers.mapping import mapped_columns
from workbench.readers.remote import is_remote
from workbench.readers.report import ImportReport, import_report
from workbench.readers.sources import Source, expand, fitting, head_of, plain
from workbench.readers.staging import (
    Staged,
    Staging,
    missing_in,
    report_types_of,
    write_staged,
)
from workbench.schema import validate
from workbench.store import atomic_file

Progress = Callable[[str, int, int], None]
"""Called with the stage, what is done of it and what there is to do, in kilobytes."""


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file that is staged."""

    name: str
    narrow: Sequence[pl.DataFrame]
    parts: Sequence[Staged]
    findings: Findings
    renamed: Mapping[str, str]
    numbered: bool


class _Import:
    """Files that are staged, and the log that they make together."""

    def __init__(
        self, folder: Path, output: Path, *, columns: Mapping[str, str], quarantine: Path | None
    ) -> None:
        self._folder = folder
        self._output = output
        self._columns = columns
        self._quarantine = quarantine
        self._staging = Staging(folder)
        self.files: dict[str, _File] = {}
        self.findings = Findings()
        self.format = ""

    def take(self, chosen: Format, source: Source, progress: Callable[[float], None]) -> _File:
        """Stages a file, in the place of what was staged of it before."""
        findings, numbered = Findings(), False
        renamed: dict[str, str] = {}
        narrow: list[pl.DataFrame] = []
        parts: list[Staged] = []
        for part in parts_of(chosen, source, self._columns, findings):
            renamed |= part.renamed
            numbered |= part.numbered
            staged = self._staging.add(part.frame, findings)
            if staged is not None:
                narrow.append(staged[0])
                parts.append(staged[1])
                renamed |= staged[1].renamed
            progress(part.done)
        file = _File(
            name=source.name,
            narrow=narrow,
            parts=parts,
            findings=findings,
            renamed=renamed,
            numbered=numbered,
        )
        self.drop(source.name)
        self.files[source.name] = file
        self.format = chosen.name
        return file

    def drop(self, name: str) -> None:
        """Forgets a file."""
        for part in self.files.pop(name, _NOTHING).parts:
            part.path.unlink()

    def write(self, subject: str, *, skip_bad: bool, last: bool) -> ImportReport:
        """Checks the log of all staged files and writes it.

        Args:
            subject: The files in words.
            skip_bad: Go on without broken files and records.
            last: Nothing is written after this, so memory may be given back before.

        Raises:
            LogError: A file or a rule is broken; nothing is written.
        """
        findings = Findings()
        findings.include(self.findings)
        for file in self.files.values():
            findings.include(file.findings)
        parts = [part for file in self.files.values() for part in file.parts]
        narrow = joined([rows for file in self.files.values() for rows in file.narrow], findings)
        if parts:
            report_types_of(parts, findings)
        if findings.problems and (not skip_bad or narrow.is_empty()):
            raise LogError(subject, findings.problems)
        if narrow.is_empty() and findings.dropped:
            raise LogError(subject, findings.dropped)
        if any(file.numbered for file in self.files.values()):
            narrow = with_numbers(narrow)
        missing = missing_in(parts, narrow) if parts else None
        if missing is not None:
            raise LogError(subject, [missing])
        validated = validate(narrow, quarantine=self._quarantine is not None)
        report = import_report(
            validated,
            format=self.format,
            files=tuple(self.files),
            rows_read=narrow.height,
            dropped=(*findings.problems, *findings.dropped),
            notices=tuple(sentence(notice) for notice in findings.notices),
            renamed={k: v for file in self.files.values() for k, v in file.renamed.items()},
        )
        log, aside = validated.log, validated.quarantined
        del narrow, validated
        if last:
            self.files.clear()
        if self._quarantine is not None and aside.height:
            self._write(self._quarantine, aside, parts)
        self._write(self._output, log, parts)
        return report

    def _write(self, path: Path, rows: pl.DataFrame, parts: Sequence[Staged]) -> None:
        with atomic_file(path) as temporary:
            write_staged(temporary, rows, parts, self._folder)


_NOTHING = _File(name="", narrow=(), parts=(), findings=Findings(), renamed={}, numbered=False)


def import_to(
    output: Path,
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    quarantine: Path | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Reads files into a step log on disk; the same log as that of `import_log`, in little memory.

    What is kept in memory is a part of a file at a time and, of each step, what rules are about.
    Until the log is whole, parts lie in a hidden folder beside it.

    Args:
        output: The log, as Parquet; written whole or not at all.
        paths: As for `read`.
        format: As for `read`.
        mapping: As for `read`.
        quarantine: Where trajectories that break a rule go; without it they are refused.
        skip_bad: As for `read`.
        progress: Told how much is read.

    Raises:
        LogError: A file or a rule is broken; every problem is listed.
        ParameterError: The mapping is wrong.
        UnknownNameError: There is no such format.
    """
    with staging_folder(output) as folder:
        work = _Import(folder, output, columns=mapped_columns(mapping), quarantine=quarantine)
        chosen, sources = found_files(paths, format, work.findings, folder / "copies")
        sizes = [source.path.stat().st_size for source in sources]
        for number, source in enumerate(sources):
            before, size = sum(sizes[:number]), sizes[number]

            def tell(done: float, before: int = before, size: int = size) -> None:
                if progress is not None:
                    progress("read", int(before + done * size) // 1024, sum(sizes) // 1024)

            work.take(chosen, source, tell)
        return work.write(subject_of(paths), skip_bad=skip_bad, last=True)


@contextmanager
def staging_folder(output: Path) -> Iterator[Path]:
    """A hidden folder beside the log, for as long as it is being made."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{output.name}.", suffix=".parts", dir=output.parent
    ) as folder:
        yield Path(folder)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at the files of a run found.

    Args:
        taken: Files that are in the log since this look.
        left: Why a file is left for the next look -> its name.
        report: Of the log as it was written; None where nothing was new.
        refused: Why the log was not written, if so; the one before stays.
    """

    taken: tuple[str, ...]
    left: Mapping[str, str]
    report: ImportReport | None = None
    refused: str = ""


class Watch:
    """Imports the files of a run that still writes: each look adds what is new, once.

    A file is taken when it has not changed since the last look, or for as long as the interval,
    and can be read; until then it is left for the next one. A file that changed after it was
    taken is taken anew. The log is written whole or not at all.

    Args:
        output: The log.
        paths: Files, folders and patterns; what they mean is looked up at each look.
        interval: Seconds for which a file must lie unchanged.
        folder: Where parts are kept between looks.
        format: As for `read`.
        mapping: As for `read`.
        quarantine: As for `import_to`.
        skip_bad: As for `read`; then a file with a broken line is taken without it.
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        if addresses := [str(path) for path in paths if is_remote(path)]:
            raise ParameterError(f"{addresses} cannot be watched; watch a folder of this machine")
        self._paths = list(paths)
        self._output = output.resolve()
        self._interval = interval
        self._folder = folder
        self._format = format
        self._skip_bad = skip_bad
        self._clock = clock
        self._seen: dict[str, _Stamp] = {}
        self._taken: dict[str, _Stamp] = {}
        self._work = _Import(folder, output, columns=mapped_columns(mapping), quarantine=quarantine)

    def look(self) -> Look:
        """Takes what is new and writes the log if anything is."""
        left: dict[str, str] = {}
        taken = []
        for source in expand(self._paths, Findings(), self._folder):
            name, stamp = source.name, _stamp_of(source.path)
            if stamp is None or source.path.resolve() == self._output:
                continue
            settled = self._seen.get(name) == stamp or self._has_rested(stamp)
            self._seen[name] = stamp
            if self._taken.get(name) == stamp:
                continue
            why = self._take(source) if settled else "it is still being written"
            if why:
                left[name] = why
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
        return stamp.changed <= self._clock() - self._interval

    def _take(self, source: Source) -> str:
        """Stages a file; returns why not, or nothing."""
        findings = Findings()
        copies = self._folder / "copies"
        try:
            for opened in plain([source], findings, copies):
                head = head_of(opened, findings)
                names = fitting(opened, head, self._format) if head else []
                if len(names) != 1:
                    return f"several formats fit: {names}" if names else "no reader recognises it"
                if names[0] != (self._work.format or names[0]):
                    return f"it is of format {names[0]!r}, not {self._work.format!r}"
                file = self._work.take(format_named(names[0]), opened, lambda done: None)
                if file.findings.problems and not self._skip_bad:
                    self._work.drop(file.name)
                    self._taken.pop(file.name, None)
                    return str(file.findings.problems[0])
        finally:
            shutil.rmtree(copies, ignore_errors=True)
        return str(findings.problems[0]) if findings.problems else ""


@dataclass(frozen=True, kw_only=True)
class _Stamp:
    """What tells that a file has changed: its size, and when it was written to."""

    size: int
    changed: float


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:  # it went away between two looks
        return None
    return _Stamp(size=found.st_size, changed=found.st_mtime)
