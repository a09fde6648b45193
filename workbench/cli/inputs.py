"""Inputs of commands: logs, column mappings, credits, and the space of a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ParameterError

if TYPE_CHECKING:
    import polars as pl

    from workbench.cli.options import Reading
    from workbench.engines import Engine
    from workbench.log.credit import ScoredCredit
    from workbench.readers import Imported, ImportReport
    from workbench.states.space import Space
    from workbench.workspace.opened import OpenedLog


def import_options(reading: Reading) -> dict[str, Any]:
    """The options of `import_log` for a log: the column mapping is loaded.

    `quarantine` says whether, as there; where to is the commands' own affair.
    """
    given = {
        "mapping": read_mapping(reading["mapping"]),
        "untrained": reading["untrained"] or (),
        "quarantine": reading["quarantine"] is not None,
    }
    return {**reading, **given}


def read(
    files: Sequence[str],
    reading: Reading,
    *,
    told: bool = True,
    scoring: bool = False,
) -> Imported:
    """Read and validate a log; what was set aside is written to the quarantine file.

    Args:
        files: As for `import_log`.
        reading: How they are read.
        told: Say on standard error what there is to know; a command that prints the report says it.
        scoring: A log without rewards is refused later, so that notice is left to the refusal.
    """
    from workbench.files import atomic_file
    from workbench.readers import import_log

    quarantine = reading["quarantine"]
    require_other(quarantine, files)
    imported = import_log(files, **import_options(reading))
    aside = imported.validated.quarantined
    if quarantine is not None and aside.height:
        with atomic_file(quarantine) as temporary:
            aside.write_parquet(temporary, compression="zstd")
    if told:
        _print_notes(imported.report.left_out, imported.report.notices, scoring=scoring)
    return imported


def _print_notes(left_out: Sequence[str], notices: Sequence[str], *, scoring: bool) -> None:
    from workbench.log.columns import REWARDS_HINT
    from workbench.readers.report import in_short

    wanted = [one for one in notices if REWARDS_HINT not in one or not scoring]
    for notice in in_short(left_out, wanted):
        print(f"note: {notice}", file=sys.stderr)


def read_opened(logs: Sequence[str], reading: Reading, cache: Path | None = None) -> OpenedLog:
    """Read a log in order to score it or to compare credits with it."""
    from workbench.workspace.opened import OpenedLog, stored_log

    stored = stored_log(logs, reading)
    if stored is None:
        return OpenedLog.of_import(read(logs, reading, scoring=True), cache)
    print_report_notes(stored.report)
    return OpenedLog.of_stored(stored, cache=cache)


def print_report_notes(report: Mapping[str, Any]) -> None:
    """Say on standard error what there is to know of a log that is to be scored or was.

    Args:
        report: Of its import, as data.
    """
    _print_notes(report["left_out"], report["notices"], scoring=True)


@contextmanager
def open_space(
    opened: OpenedLog,
    embedder: str | None,
    template: str | None,
    last_actions: int,
    *,
    allow_unchained: bool = False,
) -> Iterator[Space]:
    """The space of a log while a progress bar is shown."""
    from workbench.cli.progress import progress
    from workbench.states.embedders.registry import require_embedder

    text = state_text(template, last_actions)
    if embedder is not None:
        require_embedder(embedder)
    else:
        note_embedder(opened.embedder)
    with progress() as told:
        yield opened.space(embedder, text, told, allow_unchained=allow_unchained)


def note_embedder(name: str) -> None:
    """Say which embedder was taken, none being asked for, where it is not the default one."""
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER

    if name != DEFAULT_EMBEDDER:
        print(
            f"note: states are compared by {name}, as in the workspace; --embedder names another",
            file=sys.stderr,
        )


def engine_chosen(jobs: int | None, engine: str | None, address: str | None) -> Engine | None:
    """The engine that the options ask for; None where none is, and one process does all at once."""
    from workbench.engines import engine_of

    if jobs is None and engine is None and address is None:
        return None
    return engine_of(engine or "local", jobs, address)


def report_text(report: ImportReport, quarantine: Path | None) -> str:
    """Text of an import report, and where excluded records are."""
    from workbench.wording import number_of

    if quarantine is None:
        return str(report)
    count = report.quarantined_trajectories
    aside = f"{number_of(count, 'trajectory')} set aside"
    return f"{report}\n{aside}" + f" in {quarantine}" * bool(count)


def require_other(output: Path | None, files: Sequence[str]) -> None:
    """Refuse to write over a file that is read: originals are never touched."""
    from workbench.readers.base import Diagnostics
    from workbench.readers.remote import is_remote
    from workbench.readers.sources import expand

    if output is not None and output.exists():
        here = [file for file in files if not is_remote(file)]
        # What is not there is said when it is read.
        sources = {source.path.resolve() for source in expand(here, Diagnostics(), Path())}
        if output.resolve() in sources:
            raise ParameterError(f"{output} is read; writing there would destroy it")


def require_tracker(target: str | None) -> None:
    """Refuse a tracker that there is not, before the long part."""
    from workbench.workspace.trackers import split_target

    if target is not None:
        split_target(target)


def give_to(
    target: str | None, log: pl.DataFrame, values: Callable[[], dict[str, float | None]]
) -> None:
    """Give numbers to the tracker that `--log-to` names, at the log's training step."""
    from workbench.workspace.tracked import train_step
    from workbench.workspace.trackers import track

    if target is not None:
        track(target, values(), train_step(log))


def state_text(template: str | None, last_actions: int) -> Any:
    """The state text that the options ask for."""
    from workbench.states.text import StateText

    chosen = "{observation}" if template is None else template
    return StateText(template=chosen, last_actions=last_actions)


def read_mapping(path: Path | None) -> Any:
    """The column mapping of a file; None for none."""
    from workbench.readers import load_mapping

    return None if path is None else load_mapping(path)


def credit_of(path: Path, opened: OpenedLog, logs: Sequence[str]) -> ScoredCredit:
    """A credit file of a log.

    Raises:
        ParameterError: It was made from other rewards.
    """
    from workbench.log.credit import read_credit

    credit = read_credit(path)
    note_other_log(path, credit, opened, logs)
    return credit


def note_other_log(
    path: Path, credit: ScoredCredit, opened: OpenedLog, logs: Sequence[str]
) -> None:
    """Say where a credit was made from another file than the log.

    Raises:
        ParameterError: It was made from other rewards.
    """
    from workbench.exporters.selection import STEP
    from workbench.log.pairing import require_same_rewards
    from workbench.readers.addresses import without_secrets
    from workbench.workspace.artefacts import StoredLog

    digest = credit.provenance.log_sha256
    if opened.sha256 == digest:
        return
    stored = StoredLog.of_credit(path, digest)
    if stored is not None and stored.source_sha256 == opened.sha256:
        return
    if "reward" in credit.table.columns:
        log, scored = (
            each.select(*STEP, "reward").sort(STEP) for each in (opened.frame, credit.table)
        )
        if log.select(STEP).equals(scored.select(STEP)):
            require_same_rewards(log, scored)
    named = without_secrets(", ".join(logs))
    print(
        f"note: {path} was made from another file than {named}; texts are not compared. "
        f"Hint: if they may differ, score {named} again",
        file=sys.stderr,
    )


def named_credits(paths: Sequence[Path]) -> dict[str, ScoredCredit]:
    """Credit files by method, or by file where a method comes twice."""
    from workbench.log.credit import read_credit

    if len(set(paths)) < len(paths):
        raise ParameterError(f"a credit is given twice: {[str(path) for path in paths]}")
    credits = [(path, read_credit(path)) for path in paths]
    names = [credit.provenance.name for _, credit in credits]
    return {
        name if names.count(name) == 1 else f"{name} ({path})": credit
        for name, (path, credit) in zip(names, credits, strict=True)
    }
