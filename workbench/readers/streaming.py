"""From files to a step log on disk, whatever their size; once, or again and again as a run goes on.

Every file is read part by part into a `Staging`, so memory holds one part and one narrow row
per step.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from workbench.engines import Engine, Here
from workbench.errors import LogError
from workbench.files import atomic_file, staging_folder
from workbench.log.increments import sentences
from workbench.log.nodes import Sharing, sharing, with_prefix_nodes
from workbench.log.schema import validate
from workbench.readers.base import FORMATS, Diagnostics, Format
from workbench.readers.bounds import bounded
from workbench.readers.importing import (
    found_files,
    parts_of,
    refuse_broken,
    sentence,
    subject_of,
)
from workbench.readers.joining import from_zero, joined, remainder_of, with_numbers
from workbench.readers.mapping import mapped_columns
from workbench.readers.out_of_core import Staged, Staging, missing_in, report_types_of, write_staged
from workbench.readers.report import ImportReport, import_report
from workbench.readers.rewards import load_rewards, with_rewards
from workbench.readers.sources import Source
from workbench.readers.systems import apart
from workbench.readers.unread import say_unread
from workbench.readers.votes import require_reasons, wanted_reasons, with_votes
from workbench.wording import Progress, silent


@dataclass(frozen=True, kw_only=True)
class StagedFile:
    """A file that is staged.

    Args:
        name: Of the file, as the user gave it.
        narrow: Its rows with what rules are about, part by part.
        parts: Where the rest of them is.
        diagnostics: What was found in it.
        renamed: Canonical name -> the name it had.
        numbered: Whether its reader numbers its rollouts.
    """

    name: str
    narrow: list[pl.DataFrame]
    parts: Sequence[Staged]
    diagnostics: Diagnostics
    renamed: Mapping[str, str]
    numbered: bool


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A file to be staged, by this process or another.

    Args:
        source: The file.
        format: Name of its format.
        columns: Canonical name -> name in the file, as the user maps them.
        folder: Where its parts go.
        bounds: On unpacking and nesting, as for `bounded`.
    """

    source: Source
    format: str
    columns: Mapping[str, str]
    folder: Path
    bounds: Mapping[str, int | None]

    def __str__(self) -> str:
        return self.source.name


def stage(reading: Reading, progress: Callable[[float], None] = lambda done: None) -> StagedFile:
    """Read a file part by part, and put what is large on disk.

    Args:
        reading: The file.
        progress: Told how much of it is read, from 0 to 1.
    """
    diagnostics, numbered = Diagnostics(), False
    renamed: dict[str, str] = {}
    narrow: list[pl.DataFrame] = []
    parts: list[Staged] = []
    shutil.rmtree(reading.folder, ignore_errors=True)  # of a worker that was lost
    reading.folder.mkdir(parents=True)
    staging = Staging(reading.folder)
    with bounded(**reading.bounds):
        chosen = FORMATS[reading.format]
        for part in parts_of(chosen, reading.source, reading.columns, diagnostics):
            renamed |= part.renamed
            numbered |= part.numbered
            staged = staging.add(part.frame, diagnostics)
            if staged is not None:
                narrow.append(staged[0])
                parts.append(staged[1])
                renamed |= staged[1].renamed
            progress(part.done)
    return StagedFile(
        name=reading.source.name,
        narrow=narrow,
        parts=parts,
        diagnostics=diagnostics,
        renamed=renamed,
        numbered=numbered,
    )


class Import:
    """Files that are staged, and the log that they make together."""

    def __init__(
        self,
        folder: Path,
        output: Path,
        *,
        columns: Mapping[str, str],
        quarantine: Path | None,
        untrained: Sequence[str] = (),
        keep_masked: bool = False,
        bounds: Mapping[str, int | None],
        rewards: str | Path | None = None,
    ) -> None:
        self._rewards = rewards
        self._rewards_table = None if rewards is None else load_rewards(rewards)
        self._untrained = wanted_reasons(untrained)
        self._keep_masked = keep_masked
        self._folder = folder
        self._output = output
        self._columns = columns
        self._quarantine = quarantine
        self._bounds = bounds
        self._read = 0
        self._height = 0
        self.files: dict[str, StagedFile] = {}
        self.diagnostics = Diagnostics()
        self.format = ""

    def reading(self, chosen: Format, source: Source) -> Reading:
        """A file to be read, which is no part of the log until it is taken."""
        self._read += 1
        return Reading(
            source=source,
            format=chosen.name,
            columns=self._columns,
            folder=self._folder / f"file-{self._read}",
            bounds=self._bounds,
        )

    def take(self, chosen: Format, file: StagedFile) -> None:
        """Add a staged file to the log, in the place of what was taken of it before."""
        self.drop(self.files.pop(file.name, None))
        found = zip(file.narrow, file.parts, strict=True)
        placed = [part.placed(narrow, self._height) for narrow, part in found]
        self._height += sum(len(part.rows) for part in file.parts)
        self.files[file.name] = replace(
            file, narrow=[narrow for narrow, _ in placed], parts=[part for _, part in placed]
        )
        self.format = chosen.name

    def drop(self, file: StagedFile | None) -> None:
        """Remove what was staged."""
        for part in file.parts if file else ():
            part.path.unlink()

    def write(self, subject: str, *, skip_bad: bool, last: bool) -> ImportReport:
        """Check the log of all staged files and write it.

        Args:
            subject: The files in words.
            skip_bad: Go on without broken files and records.
            last: Nothing is written after this, so memory may be given back before.

        Raises:
            LogError: A file or a rule is broken; nothing is written.
        """
        diagnostics = Diagnostics()
        diagnostics.include(self.diagnostics)
        for file in self.files.values():
            diagnostics.include(file.diagnostics)
        parts = [part for file in self.files.values() for part in file.parts]
        narrow = joined([rows for file in self.files.values() for rows in file.narrow], diagnostics)
        types = Diagnostics()
        if parts:
            report_types_of(parts, types)
        diagnostics.include(types)
        # Columns that do not go together leave no row that could be written.
        is_empty = narrow.is_empty() or bool(types.problems)
        refuse_broken(subject, diagnostics, skip_bad=skip_bad, is_empty=is_empty)
        narrow = apart(narrow, diagnostics)
        if any(file.numbered for file in self.files.values()):
            narrow = with_numbers(narrow)
        narrow = with_rewards(from_zero(narrow, diagnostics), self._rewards_table, diagnostics)
        remainder = remainder_of(narrow, diagnostics)
        say_unread(diagnostics)
        if last:  # a run that goes on may still end so
            require_reasons(narrow, self._untrained)
        narrow = with_votes(narrow, self._untrained, keep_masked=self._keep_masked)
        missing = missing_in(parts, narrow) if parts else None
        if missing is not None:
            raise LogError(subject, [missing])
        if last:
            for file in self.files.values():
                file.narrow.clear()
        # In one piece, since columns that are added would be copied together with all others.
        narrow = narrow.rechunk()
        validated = validate(narrow, quarantine=self._quarantine is not None)
        report = import_report(
            validated,
            format=self.format,
            files=tuple(self.files),
            rows_read=narrow.height,
            dropped=(*diagnostics.problems, *diagnostics.dropped),
            remainder=remainder,
            notices=tuple(sentence(notice) for notice in diagnostics.notices),
            renamed={k: v for file in self.files.values() for k, v in file.renamed.items()},
            untrained=self._untrained,
            rewards=self._rewards,
        )
        log, aside = validated.log, validated.quarantined
        del narrow, validated
        if self._quarantine is not None and aside.height:
            self._write(self._quarantine, aside, parts)
        changes = self._write(self._output, log, parts)
        return replace(report, notices=(*report.notices, *sentences(changes)))

    def _write(self, path: Path, rows: pl.DataFrame, parts: Sequence[Staged]) -> Counter[str]:
        with atomic_file(path) as temporary:
            return write_staged(temporary, rows, parts)


def import_to(
    output: Path,
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    quarantine: Path | None = None,
    skip_bad: bool = False,
    untrained: Sequence[str] = (),
    keep_masked: bool = False,
    max_unpacked: int | None = None,
    max_nesting: int | None = None,
    rewards: str | Path | None = None,
    engine: Engine | None = None,
    progress: Progress = silent,
) -> ImportReport:
    """Read files into a step log on disk; the same log as that of `import_log`, in little memory.

    What is kept in memory is a part of a file at a time and, of each step, what rules are about.
    Until the log is whole, parts lie in a hidden folder next to it.

    Args:
        output: The log, as Parquet; written whole or not at all.
        paths: As for `read`.
        format: As for `read`.
        mapping: As for `read`.
        quarantine: Where trajectories that break a rule go; without it they are refused.
        skip_bad: As for `read`.
        untrained: As for `read`.
        keep_masked: As for `read`.
        max_unpacked: As for `read`.
        max_nesting: As for `read`.
        rewards: As for `read`.
        engine: What reads the files, where there are several; this process by default.
        progress: Told how much is read, in kilobytes.

    Raises:
        LogError: A file or a rule is broken; every problem is listed.
        ParameterError: The mapping or `untrained` is wrong.
        UnknownNameError: There is no such format.
    """
    bounds = {"max_unpacked": max_unpacked, "max_nesting": max_nesting}
    with bounded(**bounds), staging_folder(output) as folder:
        columns = mapped_columns(mapping)
        work = Import(
            folder,
            output,
            columns=columns,
            quarantine=quarantine,
            untrained=untrained,
            keep_masked=keep_masked,
            bounds=bounds,
            rewards=rewards,
        )
        copies = folder / "copies"
        chosen, sources = found_files(paths, format, work.diagnostics, copies, columns)
        readings = [work.reading(chosen, source) for source in sources]
        for file in _staged(readings, engine, progress):
            work.take(chosen, file)
        return work.write(subject_of(paths), skip_bad=skip_bad, last=True)


def _staged(
    readings: Sequence[Reading], engine: Engine | None, progress: Progress
) -> Iterator[StagedFile]:
    """The files in order, by whoever they are read."""
    sizes = [reading.source.size for reading in readings]
    read = 0

    def tell(done: float) -> None:
        progress("read", int(read + done) // 1024, sum(sizes) // 1024)

    if engine is None or isinstance(engine, Here) or len(readings) == 1:
        for reading, size in zip(readings, sizes, strict=True):
            yield stage(reading, lambda done: tell(done * size))  # noqa: B023  called at once
            read += size
        return
    files: dict[int, StagedFile] = {}
    for number, file in engine.map(stage, readings):
        files[number] = file
        read += sizes[number]
        tell(0)
    for number in sorted(files):
        yield files.pop(number)


def give_prefix_nodes(path: Path) -> Sharing:
    """Give a log on disk the nodes of its prefix tree, some groups at a time.

    What is in memory is a row group of the file and the group that its end cuts in two.

    Args:
        path: A log as `import_to` writes it, its rows in order; rewritten whole or not at all.

    Returns:
        How much its rollouts have in common.

    Raises:
        ParameterError: The log has nodes already.
    """
    import pyarrow.parquet as pq

    found = Sharing(nodes=0, shared=0, groups=0)
    writer: pq.ParquetWriter | None = None
    with atomic_file(path) as temporary, pq.ParquetFile(path) as file:
        try:
            for rows in _whole_groups(file):
                log = with_prefix_nodes(rows)
                found += sharing(log)
                table = log.to_arrow(compat_level=pl.CompatLevel.oldest())
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
    return found


def _whole_groups(file: Any) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file in order, a group never cut in two."""
    rest: list[pl.DataFrame] = []
    for number in range(file.num_row_groups):
        rows = pl.DataFrame(file.read_row_group(number))
        last = rows["group_id"] == rows["group_id"][-1]
        if last.all() and rest and rest[0]["group_id"][0] == rows["group_id"][0]:
            rest.append(rows)
            continue
        whole = pl.concat([*rest, rows.filter(~last)])
        rest = [rows.filter(last)]
        if whole.height:
            yield whole
    yield pl.concat(rest)
