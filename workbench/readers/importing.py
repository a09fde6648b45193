"""From files to a validated step log and a report of what happened on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import LogError, Problem
from workbench.readers.base import Findings, Format, Part
from workbench.readers.mapping import mapped_columns
from workbench.readers.report import ImportReport, import_report
from workbench.readers.sources import expand, identify
from workbench.schema import Validated, validate


@dataclass(frozen=True, kw_only=True)
class RawLog:
    """What was read, before any rule of the step log is checked.

    Args:
        frame: Step rows under canonical names or their aliases, with `source_file`,
            `source_line` (the line, the record of a JSON array, or the row of a Parquet file,
            from 1) and `source_row` (the position over all files).
        format: Name of the format.
        files: The files, in the order of the rows.
        problems: Broken files and records that were left out because the user asked to go on.
        dropped: Sound records that hold no step.
        notices: What was done or seen that is no error, one sentence each.
        renamed: Canonical name -> the name it had.
    """

    frame: pl.DataFrame
    format: str
    files: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    dropped: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    renamed: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A validated log and the report of its import."""

    validated: Validated
    report: ImportReport


def import_log(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    quarantine: bool = False,
    skip_bad: bool = False,
) -> Imported:
    """Reads files, checks them against the rules of the step log, and reports.

    Args:
        paths: As for `read`.
        format: As for `read`.
        mapping: As for `read`.
        quarantine: Set trajectories that break a rule aside instead of refusing the log.
        skip_bad: As for `read`.

    Raises:
        LogError: A file or a rule is broken; every problem is listed.
        ParameterError: The mapping is wrong.
        UnknownNameError: There is no such format.
    """
    raw = read(paths, format=format, mapping=mapping, skip_bad=skip_bad)
    validated = validate(raw.frame, quarantine=quarantine)
    report = import_report(
        validated,
        format=raw.format,
        files=raw.files,
        rows_read=raw.frame.height,
        dropped=(*raw.problems, *raw.dropped),
        notices=raw.notices,
        renamed=raw.renamed,
    )
    return Imported(validated=validated, report=report)


def read(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
) -> RawLog:
    """Reads files of one format into one frame of step rows.

    Args:
        paths: Files, folders and glob patterns.
        format: Name of the format; None tells it from the content of the files.
        mapping: `{"columns": {canonical name: name in the file}}`.
        skip_bad: Go on without broken files and records instead of refusing.

    Raises:
        LogError: Something is broken and `skip_bad` is not given, or nothing is left; every
            problem is listed.
        ParameterError: The mapping is wrong.
        UnknownNameError: There is no such format.
    """
    columns = mapped_columns(mapping)
    findings = Findings()
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    subject = ", ".join(map(str, given[:3])) + f" and {len(given) - 3} more" * (len(given) > 3)
    if not given:
        findings.problem("files", "none were given")
    chosen, files = identify(expand(given, findings), format, findings)
    if chosen is None:
        raise LogError(subject, findings.problems)
    parts = [_part(chosen, path, columns, findings) for path in files]
    frame = _joined(parts, files, findings)
    if findings.problems and (not skip_bad or frame.is_empty()):
        raise LogError(subject, findings.problems)
    if frame.is_empty() and findings.dropped:
        raise LogError(subject, findings.dropped)
    return RawLog(
        frame=frame,
        format=chosen.name,
        files=tuple(str(path) for path in files),
        problems=findings.problems,
        dropped=findings.dropped,
        notices=tuple(_sentence(notice) for notice in findings.notices),
        renamed={name: old for part in parts for name, old in part.renamed.items()},
    )


def source_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files that names, folders and glob patterns mean, in the order in which they are read.

    Raises:
        LogError: A name or pattern means no file.
    """
    findings = Findings()
    sources = expand(paths, findings)
    if findings.problems:
        raise LogError(", ".join(map(str, paths)), findings.problems)
    return [source.path for source in sources]


def _part(chosen: Format, path: Path, columns: Mapping[str, str], findings: Findings) -> Part:
    try:
        part = chosen.reader.read(path, columns)
    except OSError as error:
        findings.problem("file", f"cannot be read ({error.strerror})", str(path))
        return Part(frame=pl.DataFrame(), findings=findings)
    findings.include(part.findings)
    return part


def _joined(parts: Sequence[Part], files: Sequence[Path], findings: Findings) -> pl.DataFrame:
    frames = [
        part.frame
        if "source_file" in part.frame.columns
        else part.frame.with_columns(pl.lit(str(path)).alias("source_file"))
        for part, path in zip(parts, files, strict=True)
        if part.frame.columns
    ]
    if not frames:
        return pl.DataFrame()
    try:
        frame = pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError:
        _report_types(frames, findings)
        return pl.DataFrame()
    if "source_row" in frame.columns and frame["source_row"].is_duplicated().any():
        findings.notice("source_row was not unique over the files and is numbered anew")
        frame = frame.drop("source_row")
    if "source_row" not in frame.columns:
        rows = pl.int_range(pl.len(), dtype=pl.Int64)
        frame = frame.with_columns(rows.alias("source_row"))
    numbered = any(part.numbered for part in parts) and not frame.is_empty()
    return _with_numbers(frame) if numbered else frame


def _report_types(frames: Sequence[pl.DataFrame], findings: Findings) -> None:
    types: dict[str, set[str]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            types.setdefault(name, set()).add(str(dtype))
    for name, found in types.items():
        if len(found) > 1:
            rule = f"has types in different files that do not go together: {sorted(found)}"
            findings.problem(name, rule)


def _with_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Names trajectories that have none by their running number in the group, over all files."""
    first = pl.col("source_row").min().over("source_file", "source_line")
    rank = pl.col("__record").rank("dense").over("group_id") - 1
    numbered = pl.format("{}#{}", "group_id", rank)
    return (
        frame.with_columns(first.alias("__record"))
        .with_columns(pl.coalesce("trajectory_id", numbered).alias("trajectory_id"))
        .drop("__record")
    )


def _sentence(notice: Problem) -> str:
    return str(notice).removeprefix(": ")
