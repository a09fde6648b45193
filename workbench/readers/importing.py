"""From files to a validated step log and a report of what happened on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import LogError, ParameterError, Problem
from workbench.log.schema import Validated, rename, validate, with_response_tokens
from workbench.readers.addresses import without_secrets
from workbench.readers.base import Diagnostics, Format, Part
from workbench.readers.bounds import bounded
from workbench.readers.copies import plain
from workbench.readers.joining import from_zero, joined, remainder_of, with_numbers
from workbench.readers.mapping import mapped_columns
from workbench.readers.proposals import Proposal, proposed
from workbench.readers.report import ImportReport, import_report
from workbench.readers.rewards import load_rewards, with_rewards
from workbench.readers.sources import Source, expand, identify
from workbench.readers.systems import apart, with_run
from workbench.readers.unread import count_unread, say_unread
from workbench.readers.votes import require_reasons, wanted_reasons, with_mask_reason, with_votes

_PROPOSED_FOR = 20
"""Files that are looked at for one that takes a mapping."""


@dataclass(frozen=True, kw_only=True)
class RawLog:
    """Rows as they were read, before any rule of the step log is checked.

    Args:
        frame: Step rows under canonical names or their aliases, with `source_file`,
            `source_line` (the line, the record of a JSON array, or the row of a Parquet file,
            from 1) and `source_row` (the position over all files).
        format: Name of the format.
        files: The files, in the order of the rows.
        problems: Broken files and records that were left out because the user asked to go on.
        remainder: That what is left without them is biased; None where nothing was broken.
        dropped: Sound records that hold no step.
        notices: What was done or seen that is no error, one sentence each.
        renamed: Canonical name -> the name it had.
        digests: Address -> what stands for the content of a file there, where its store tells that.
    """

    frame: pl.DataFrame
    format: str
    files: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    remainder: str | None = None
    dropped: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    renamed: Mapping[str, str]
    digests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A validated log and the report of its import.

    Args:
        validated: The log.
        report: What happened on the way.
        digests: As of `RawLog`.
    """

    validated: Validated
    report: ImportReport
    digests: Mapping[str, str] = field(default_factory=dict)


def import_log(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    quarantine: bool = False,
    skip_bad: bool = False,
    untrained: Sequence[str] = (),
    keep_masked: bool = False,
    max_unpacked: int | None = None,
    max_nesting: int | None = None,
    rewards: str | Path | None = None,
) -> Imported:
    """Read files, check them against the rules of the step log, and report.

    Args:
        paths: As for `read`.
        format: As for `read`.
        mapping: As for `read`.
        quarantine: Set trajectories that break a rule aside instead of refusing the log.
        skip_bad: As for `read`.
        untrained: As for `read`.
        keep_masked: As for `read`.
        max_unpacked: As for `read`.
        max_nesting: As for `read`.
        rewards: As for `read`.

    Raises:
        LogError: A file or a rule is broken; every problem is listed.
        ParameterError: The mapping or `untrained` is wrong.
        UnknownNameError: There is no such format.
    """
    raw = read(
        paths,
        format=format,
        mapping=mapping,
        skip_bad=skip_bad,
        untrained=untrained,
        keep_masked=keep_masked,
        max_unpacked=max_unpacked,
        max_nesting=max_nesting,
        rewards=rewards,
    )
    validated = validate(raw.frame, quarantine=quarantine)
    report = import_report(
        validated,
        format=raw.format,
        files=raw.files,
        rows_read=raw.frame.height,
        dropped=(*raw.problems, *raw.dropped),
        remainder=raw.remainder,
        notices=raw.notices,
        renamed=raw.renamed,
        untrained=wanted_reasons(untrained),
        rewards=rewards,
    )
    return Imported(validated=validated, report=report, digests=raw.digests)


def read(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    untrained: Sequence[str] = (),
    keep_masked: bool = False,
    max_unpacked: int | None = None,
    max_nesting: int | None = None,
    rewards: str | Path | None = None,
) -> RawLog:
    """Read files of one format into one frame of step rows.

    Args:
        paths: Files, folders and glob patterns, here or at an address such as `s3://bucket/run`.
        format: Name of the format; None tells it from the content of the files.
        mapping: `{"columns": {canonical name: name in the file}}`.
        skip_bad: Go on without broken files and records instead of refusing.
        untrained: `finish_reason=REASON` of trajectories that count in their group, but are not
            trained.
        keep_masked: Count and train the trajectories that the log masks.
        max_unpacked: Bytes to which a compressed file may unpack; None bounds only what unpacks to
            far more than it is.
        max_nesting: Levels to which lists and objects of a record may lie in each other; None for
            250.
        rewards: A file with a reward for each trajectory, for sources that have none or others; see
            `rewards.load_rewards`.

    Raises:
        LogError: Something is broken and `skip_bad` is not given, or nothing is left; every
            problem is listed.
        ParameterError: The mapping or `untrained` is wrong, or no trajectory ended so.
        UnknownNameError: There is no such format.
    """
    columns, reasons = mapped_columns(mapping), wanted_reasons(untrained)
    given = None if rewards is None else load_rewards(rewards)
    diagnostics = Diagnostics()
    bounds = bounded(max_unpacked=max_unpacked, max_nesting=max_nesting)
    with bounds, tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        chosen, sources = found_files(paths, format, diagnostics, Path(folder), columns)
        parts = [
            part for source in sources for part in parts_of(chosen, source, columns, diagnostics)
        ]
    frame, renamed = rename(joined([part.frame for part in parts], diagnostics), {})
    refuse_broken(subject_of(paths), diagnostics, skip_bad=skip_bad, is_empty=frame.is_empty())
    frame = apart(frame, diagnostics)
    if any(part.numbered for part in parts):
        frame = with_numbers(frame)
    frame = with_rewards(from_zero(frame, diagnostics), given, diagnostics)
    frame = with_votes(frame, reasons, keep_masked=keep_masked)
    say_unread(diagnostics)
    require_reasons(frame, reasons)
    return RawLog(
        frame=frame,
        format=chosen.name,
        files=tuple(source.name for source in sources),
        problems=diagnostics.problems,
        remainder=remainder_of(frame, diagnostics),
        dropped=diagnostics.dropped,
        notices=tuple(sentence(notice) for notice in diagnostics.notices),
        renamed={name: old for part in parts for name, old in part.renamed.items()} | renamed,
        digests={source.name: source.digest for source in sources if source.digest is not None},
    )


def proposal_of(paths: Sequence[str | Path], format: str | None = None) -> Proposal:
    """The mapping that the first file that takes one most likely needs.

    Args:
        paths: As for `read`.
        format: As for `read`.

    Raises:
        LogError: A name or pattern means no file, or the files cannot be read.
        ParameterError: None of the first files takes a mapping.
        UnknownNameError: There is no such format.
    """
    diagnostics, refusals = Diagnostics(), []
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        for number, source in enumerate(expand(paths, diagnostics, Path(folder))[:_PROPOSED_FOR]):
            for opened in plain([source], diagnostics, Path(folder) / f"plain-{number}"):
                try:
                    return proposed(opened.path, format)
                except ParameterError as error:
                    refusals.append(opened.in_words_of_user(str(error)))
                except OSError as error:
                    rule = f"cannot be read ({error.strerror or error})"
                    diagnostics.problem("file", rule, source.name)
    if diagnostics.problems:
        raise LogError(subject_of(paths), diagnostics.problems)
    raise ParameterError("; ".join(refusals[:3]) or "no files were given")


def found_files(
    paths: Sequence[str | Path],
    format: str | None,
    diagnostics: Diagnostics,
    folder: Path,
    columns: Collection[str] = (),
) -> tuple[Format, list[Source]]:
    """The one format of the files that are meant, and those of them that are of it.

    Args:
        paths: Files, folders, patterns, and addresses of those.
        format: Name of the format; None tells it from the content of the files.
        diagnostics: Gets what is wrong with single files.
        folder: Where plain copies of compressed and remote files go.
        columns: Those that the user mapped.

    Raises:
        LogError: No file is of a known format, or they are of several.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        diagnostics.problem("files", "none were given")
    sources = plain(expand(given, diagnostics, folder), diagnostics, folder)
    chosen, sources = identify(sources, format, diagnostics, columns)
    if chosen is None:
        raise LogError(subject_of(paths), diagnostics.problems)
    return chosen, sources


def subject_of(paths: Sequence[str | Path]) -> str:
    """The files in words, for a message."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    shown = [without_secrets(str(path)) for path in given[:3]]
    return ", ".join(shown) + f" and {len(given) - 3} more" * (len(given) > 3)


def parts_of(
    chosen: Format, source: Source, columns: Mapping[str, str], diagnostics: Diagnostics
) -> Iterator[Part]:
    """The rows that a reader takes out of a file, part by part, with `source_file` filled in."""
    if source.store is not None:
        source.store.remember()  # a worker has not fetched it itself
    try:
        read = chosen.reader.read(source.path, columns)
        for part in [read] if isinstance(read, Part) else read:
            diagnostics.include(part.diagnostics, source.in_words_of_user)
            frame = _with_source_file(part.frame, source)
            if frame.columns:
                frame = with_mask_reason(with_run(frame, chosen.run, source.name))
                frame = with_response_tokens(frame)
                if chosen.generic:
                    count_unread(frame, part.read, diagnostics)
            yield replace(part, frame=frame)
    except OSError as error:
        diagnostics.problem("file", f"cannot be read ({error.strerror or error})", source.name)


def _with_source_file(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    if not frame.columns:
        return frame
    if "source_file" not in frame.columns:
        return frame.with_columns(pl.lit(source.name).alias("source_file"))
    names = frame["source_file"].cast(pl.String)
    for copy, original in source.copies:
        names = names.str.replace_all(copy, original, literal=True)
    return frame.with_columns(names.alias("source_file"))


def refuse_broken(
    subject: str, diagnostics: Diagnostics, *, skip_bad: bool, is_empty: bool
) -> None:
    """Refuse files with a problem that the user did not ask to go on without.

    Args:
        subject: The files in words.
        diagnostics: What was found in them.
        skip_bad: Go on without broken files and records.
        is_empty: No row was read.

    Raises:
        LogError: There is a problem, or no row.
    """
    if diagnostics.problems and (is_empty or not skip_bad):
        way_on = "workbench import --skip-bad leaves these out and reads the rest"
        raise LogError(subject, diagnostics.problems, "" if is_empty else way_on)
    if is_empty:
        nothing = Problem(column="rows", rule="there are none", hint="the files hold no record")
        raise LogError(subject, diagnostics.dropped or [nothing])


def sentence(notice: Problem) -> str:
    """A notice as one sentence."""
    return str(notice).removeprefix(": ")
