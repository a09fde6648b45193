"""What commands read: logs, column mappings, credits, and the space of a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ParameterError

if TYPE_CHECKING:
    from workbench.cli.options import Reading
    from workbench.log.credit import ScoredCredit
    from workbench.readers import Imported, ImportReport
    from workbench.states.space import Space
    from workbench.workspace.opened import OpenedLog


def import_options(reading: Reading) -> dict[str, Any]:
    """The options of `import_log` for a log: the column mapping is loaded."""
    given = {"mapping": read_mapping(reading["mapping"]), "untrained": reading["untrained"] or ()}
    return {**reading, **given}


def read(
    files: Sequence[str],
    reading: Reading,
    quarantine: Path | None = None,
    *,
    report: bool = False,
    scoring: bool = False,
) -> Imported:
    """Reads and validates a log; what was set aside is written to the quarantine file.

    Args:
        files: As for `import_log`.
        reading: How they are read.
        quarantine: Where broken trajectories go; without it they are refused.
        report: Print the report, not only what there is to know.
        scoring: A log without rewards is refused later, so what that is said then is not said here.
    """
    from workbench.files import atomic_file
    from workbench.log.columns import REWARDS_HINT
    from workbench.readers import import_log
    from workbench.readers.report import in_short

    require_other(quarantine, files)
    imported = import_log(files, quarantine=quarantine is not None, **import_options(reading))
    aside = imported.validated.quarantined
    if quarantine is not None and aside.height:
        with atomic_file(quarantine) as temporary:
            aside.write_parquet(temporary, compression="zstd")
    if report:
        print_report(imported.report, quarantine)
    else:
        # What does not match the rewards that were given is said by whoever was given them.
        beside = reading["rewards"] is not None
        told = imported.report if beside else imported.validated
        notices = [one for one in told.notices if REWARDS_HINT not in one or not scoring]
        for notice in in_short(imported.report.left_out, notices):
            print(f"note: {notice}", file=sys.stderr)
    return imported


def log_of_workspace(source: str) -> str:
    """The one log of a workspace; anything else as it is.

    Raises:
        ParameterError: The workspace has none or several.
    """
    from workbench.workspace.artefacts import LOG_FILE

    folder = Path(source)
    if not (folder / "log").is_dir():
        return source
    logs = sorted((folder / "log").glob(f"*/{LOG_FILE}"))
    if len(logs) != 1:
        named = ", ".join(map(str, logs)) or "none"
        raise ParameterError(
            f"{folder} is a workspace with {len(logs)} logs: {named}. Hint: name one"
        )
    return str(logs[0])


def read_opened(log: str, reading: Reading, cache: Path | None = None) -> OpenedLog:
    """Reads a log in order to score it or to set credits beside it."""
    from workbench.workspace.opened import OpenedLog

    return OpenedLog.of_import(read([log], reading, scoring=True), cache)


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
    from workbench.cli.output import progress
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER

    text = state_text(template, last_actions)
    with progress() as told:
        named = embedder or DEFAULT_EMBEDDER
        yield opened.space(named, text, told, allow_unchained=allow_unchained)


def print_report(report: ImportReport, quarantine: Path | None) -> None:
    """What an import did, and how much of it was set aside where."""
    from workbench.wording import number_of

    print(report)
    if quarantine is not None:
        count = report.quarantined_trajectories
        aside = f"{number_of(count, 'trajectory')} set aside"
        print(aside + f" in {quarantine}" * bool(count))


def require_other(output: Path | None, files: Sequence[str]) -> None:
    """Refuses to write over a file that is read: originals are never touched."""
    from workbench.readers.base import Diagnostics
    from workbench.readers.remote import is_remote
    from workbench.readers.sources import expand

    if output is not None and output.exists():
        here = [file for file in files if not is_remote(file)]
        # What is not there is said when it is read.
        sources = {source.path.resolve() for source in expand(here, Diagnostics(), Path())}
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


def credit_of(path: Path, opened: OpenedLog, log: str) -> ScoredCredit:
    """A credit file; says where it was made from another file than the log."""
    from workbench.log.credit import read_credit

    credit = read_credit(path)
    if opened.sha256 != credit.provenance.log_sha256:
        print(f"note: {path} was made from another file than {log}", file=sys.stderr)
    return credit


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
