"""What commands read: logs, column mappings, credits, and the space of a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ParameterError

if TYPE_CHECKING:
    import polars as pl

    from workbench.log.steps import Steps
    from workbench.readers import Imported, ImportReport
    from workbench.states.space import Space
    from workbench.states.text import StateText
    from workbench.workspace.artefacts import Report


def read(
    files: Sequence[str],
    format: str | None,
    mapping: Path | None,
    quarantine: Path | None = None,
    *,
    skip_bad: bool = False,
    report: bool = False,
) -> Imported:
    """Reads and validates a log; what was set aside is written to the quarantine file."""
    from workbench.files import atomic_file
    from workbench.readers import import_log

    require_other(quarantine, files)
    imported = import_log(
        files,
        format=format,
        mapping=read_mapping(mapping),
        quarantine=quarantine is not None,
        skip_bad=skip_bad,
    )
    aside = imported.validated.quarantined
    if quarantine is not None and aside.height:
        with atomic_file(quarantine) as temporary:
            aside.write_parquet(temporary, compression="zstd")
    if report:
        print_report(imported.report, quarantine)
    else:
        for notice in imported.validated.notices:
            print(f"note: {notice}", file=sys.stderr)
    return imported


@contextmanager
def open_space(
    imported: Imported,
    embedder: str | None,
    template: str | None,
    last_actions: int,
    cache: Path | None,
) -> Iterator[Space]:
    """The space of a log while a progress bar is shown; a workspace's log has its vectors there."""
    from workbench.cli.output import progress
    from workbench.log.steps import Steps

    steps, text = Steps.from_log(imported.validated.log), state_text(template, last_actions)
    with progress() as report:
        yield space_of(imported, steps, embedder, text, cache, report)


def space_of(
    imported: Imported,
    steps: Steps,
    embedder: str | None,
    text: StateText,
    cache: Path | None,
    report: Report,
) -> Space:
    """A space of a log's steps; a workspace's log has its vectors there."""
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER
    from workbench.states.embedders.vector_cache import VectorCache
    from workbench.states.space import Space
    from workbench.workspace.artefacts import Artefacts, StoredLog
    from workbench.workspace.pipeline import user_cache

    files, chosen = imported.report.files, embedder or DEFAULT_EMBEDDER
    stored = StoredLog.at(files[0]) if len(files) == 1 and cache is None else None
    if stored is not None:
        return Artefacts(stored.workspace, report).space(steps, chosen, text)
    return Space(
        steps,
        embedder=chosen,
        state_text=text,
        cache=VectorCache(cache or user_cache()),
        progress=lambda done, total: report("embed", done, total),
    )


def print_report(report: ImportReport, quarantine: Path | None) -> None:
    """What an import did, and how much of it was set aside where."""
    print(report)
    if quarantine is not None:
        count = report.quarantined_trajectories
        print(f"{count} trajectories set aside" + f" in {quarantine}" * bool(count))


def require_other(output: Path | None, files: Sequence[str]) -> None:
    """Refuses to write over a file that is read: originals are never touched."""
    from workbench.readers.base import Findings
    from workbench.readers.remote import is_remote
    from workbench.readers.sources import expand

    if output is not None and output.exists():
        here = [file for file in files if not is_remote(file)]
        # What is not there is said when it is read.
        sources = {source.path.resolve() for source in expand(here, Findings(), Path())}
        if output.resolve() in sources:
            raise ParameterError(f"{output} is read; writing there would destroy it")


def state_text(template: str | None, last_actions: int) -> Any:
    """The state text that the options ask for."""
    from workbench.states.text import StateText

    chosen = "{observation}" if template is None else template
    return StateText(template=chosen, last_actions=last_actions)


def read_mapping(path: Path | None) -> Any:
    """The column mapping of a file; None for none."""
    from workbench.readers import load_mapping

    return None if path is None else load_mapping(path)


def credit_of(credit: Path, imported: Imported, log: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A credit table and how it was made; says where that was from another file than the log."""
    from workbench.files import read_credit
    from workbench.workspace.pipeline import source_digest

    table, made_by = read_credit(credit)
    if source_digest(imported.report.files) != made_by["log"]["sha256"]:
        print(f"note: {credit} was made from another file than {log}", file=sys.stderr)
    return table, made_by


def named_credits(paths: Sequence[Path]) -> dict[str, tuple[pl.DataFrame, dict[str, Any]]]:
    """Credit tables and what made them, by method, or by file where a method comes twice."""
    from workbench.files import read_credit

    if len(set(paths)) < len(paths):
        raise ParameterError(f"a credit is given twice: {[str(path) for path in paths]}")
    tables = []
    for path in paths:
        table, made_by = read_credit(path)
        method = made_by["method"]
        name = ":".join(filter(None, (method["name"], method["dialect"])))
        tables.append((name, path, (table, made_by)))
    names = [name for name, _, _ in tables]
    return {
        name if names.count(name) == 1 else f"{name} ({path})": table
        for name, path, table in tables
    }
