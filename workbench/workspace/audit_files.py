"""Audits of logs and the files of their credits: at once here, or credit by credit by an engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.analysis.audit import CONTROLS, Audit, audit
from workbench.analysis.audit.agreement import closest_to_logged
from workbench.analysis.audit.auditing import (
    Measured,
    assembled,
    measure,
    measured_log,
    subject_of,
    to_measure,
)
from workbench.analysis.audit.sample import DRAWS, Drawn, drawn_groups, sample_of
from workbench.analysis.audit.subject import AuditedLog
from workbench.engines import Engine, Here, results
from workbench.errors import ParameterError, WorkbenchError
from workbench.files import staging_folder
from workbench.log.columns import CONTENTS
from workbench.log.credit import ScoredCredit, read_credit, write_credit
from workbench.methods import create
from workbench.methods.base import Method
from workbench.methods.variants import variants
from workbench.states.space import Space
from workbench.states.text import StateText
from workbench.wording import Progress, silent
from workbench.workspace.excerpt import STEPS
from workbench.workspace.in_parts import READ
from workbench.workspace.on_disk import on_disk
from workbench.workspace.opened import OpenedLog
from workbench.workspace.partitions import Part, unit_of


@dataclass(frozen=True, kw_only=True)
class Place:
    """Files of a log and its credits, and how they are opened.

    Args:
        log: The log, as Parquet, in canonical order.
        rows: Of it.
        credits: Name and file of each credit.
        cache: Where vectors are kept.
        allow_unchained: As for `open_log`.
    """

    log: Path
    rows: int
    credits: tuple[tuple[str, Path], ...]
    cache: Path
    allow_unchained: bool


@dataclass(frozen=True, kw_only=True)
class Task:
    """A credit that is to be measured, or the log.

    Args:
        place: Where they are.
        found: The credit's name, and whether it is a control; for the log, None.
        label, draws, seed: What the audit was asked for.
        texts: For the log: whether methods that compare texts are tried, to find the one that made
            the trainer's own advantage; None to measure the log itself.
    """

    place: Place
    found: Measured
    label: str | None
    draws: int
    seed: int
    texts: bool | None = None

    def __str__(self) -> str:
        return f"{self.found.name or 'the log'}, of {self.place.log}"


def audit_part(task: Task) -> Measured:
    """Measure a credit, or the log."""
    found = replace(task.found)  # a task may be done twice
    log, credits, spaces = opened_for(task.place, everything=found.name is None)
    if found.name is not None:
        sample = sample_of(log.steps, seed=task.seed, draws=task.draws)
        subject = subject_of(found.name, log, credits, spaces)
        measure(subject, found, task.label, sample)
        return found
    if task.texts is None:
        return measured_log(log)
    return Measured(None, readings=tuple(closest_to_logged(log, texts=task.texts)))


@lru_cache(maxsize=1)
def opened_for(
    place: Place, *, everything: bool
) -> tuple[AuditedLog, dict[str, ScoredCredit], dict[str, Space]]:
    """A log with its credits, for as many tasks as a worker gets; texts only as far as needed."""
    credits = {name: read_credit(path) for name, path in place.credits}
    needed = frozenset[str]() if everything else _needed(credits)
    rows = Part(path=place.log, start=0, rows=place.rows)
    opened = OpenedLog(
        frame=rows.read(without=() if everything else CONTENTS - READ - needed),
        files=(str(place.log),),
        cache=place.cache,
    )
    spaces = spaces_of(opened, credits, allow_unchained=place.allow_unchained)
    return AuditedLog(next(iter(spaces.values()))), credits, spaces


def _needed(credits: Mapping[str, ScoredCredit]) -> frozenset[str]:
    """Columns that the methods of credits, and their dialects, cannot do without."""
    made = {method.info.name: method for _, method in _methods(credits)}
    dialects = [create(name) for name in variants() if name.partition(":")[0] in made]
    return frozenset(name for method in (*made.values(), *dialects) for name in method.needs())


def _methods(credits: Mapping[str, ScoredCredit]) -> Iterator[tuple[str, Method]]:
    """Names and methods of credits that say what made them, if it can be created here."""
    for name, credit in credits.items():
        made = credit.provenance
        if made.name:
            try:
                yield name, create(made.method["name"], made.method["fields"])
            except WorkbenchError:
                continue  # the audit says so, of the credit


def spaces_of(
    opened: OpenedLog,
    credits: Mapping[str, ScoredCredit],
    progress: Progress = silent,
    *,
    allow_unchained: bool = False,
) -> dict[str, Space]:
    """The space in which each credit was made, one for each embedder and state text.

    Args:
        opened: The log.
        credits: Name -> credit. One that needs no vectors takes the first space that has some.
        progress: Told how many texts are encoded.
        allow_unchained: As for `open_log`.
    """
    made: dict[tuple[str | None, StateText], Space] = {}
    asked = {
        name: (
            (credit.provenance.embedder or {}).get("name"),
            StateText(**(credit.provenance.state_text or {})),
        )
        for name, credit in credits.items()
    }
    first = next((key for key in asked.values() if key[0]), (None, StateText()))
    spaces = {}
    for name, key in asked.items():
        embedder, text = chosen = key if key[0] else first
        if chosen not in made:
            made[chosen] = opened.space(embedder, text, progress, allow_unchained=allow_unchained)
        spaces[name] = made[chosen]
    return spaces


def audit_opened(
    opened: OpenedLog,
    credits: Mapping[str, ScoredCredit],
    *,
    label: str | None = None,
    controls: Sequence[str] = CONTROLS,
    draws: int = DRAWS,
    seed: int = 0,
    steps: int = STEPS,
    allow_unchained: bool = False,
    progress: Progress = silent,
) -> Audit:
    """Audit credits of a log in memory, each in the space that it was made in.

    Args:
        opened: The log.
        credits: Name -> credit.
        label: Column of the log to compare with; `true_advantage` by default where there is one.
        controls: Methods that know nothing of merit, audited with the credits.
        draws: Of the bootstrap, at most.
        seed: Of all that is drawn.
        steps: The most steps that are audited; of a larger log whole groups are drawn.
        allow_unchained: As for `open_log`.
        progress: Told about progress.

    Raises:
        ParameterError: What `audit` is refused for, or fewer than one step.
    """
    drawn, groups = _drawn(opened, credits, steps, seed)
    if drawn is not None:
        opened = replace(opened, frame=opened.frame.filter(groups))
        credits = {name: _of_groups(credit, groups) for name, credit in credits.items()}
    spaces = spaces_of(opened, credits, progress, allow_unchained=allow_unchained)
    found = audit(
        next(iter(spaces.values())),
        credits,
        spaces=spaces,
        label=label,
        controls=controls,
        draws=draws,
        seed=seed,
        progress=progress,
    )
    return found if drawn is None else found.of(drawn)


def audit_files(
    sources: Sequence[str | Path],
    credits: Mapping[str, str | Path],
    *,
    label: str | None = None,
    controls: Sequence[str] = CONTROLS,
    draws: int = DRAWS,
    seed: int = 0,
    steps: int = STEPS,
    cache: str | Path | None = None,
    allow_unchained: bool = False,
    engine: Engine | None = None,
    folder: str | Path | None = None,
    quarantine: Path | None = None,
    check: Callable[[OpenedLog], None] = lambda opened: None,
    noted: Callable[[Mapping[str, Any]], None] = lambda report: None,
    progress: Progress = silent,
    **reading: Any,
) -> tuple[Audit, pl.DataFrame]:
    """Read files and audit credits of them, each by a worker of its own.

    The audit is that of `audit_opened` on the whole log, number for number. This process never
    holds the texts; a worker holds those of the steps that are audited, `steps` at most.

    Args:
        sources: Files, folders or globs of one format.
        credits: Name -> file of a credit.
        label: Column of the log to compare with; `true_advantage` by default where there is one.
        controls: Methods that know nothing of merit, audited with the credits.
        draws: Of the bootstrap, at most.
        seed: Of all that is drawn.
        steps: The most steps that are audited; of a larger log whole groups are drawn.
        cache: Folder for vectors; the workspace's or the user's own by default.
        allow_unchained: As for `open_log`.
        engine: What works on the credits; this process by default. See `engines.engine_of`.
        folder: Where the log lies meanwhile, for all workers to read; the system's temporary folder
            by default.
        quarantine: Where trajectories that break a rule go; without it they are refused.
        check: Told the log without its texts, before anything is measured.
        noted: Told what the import reports, as data.
        progress: Told about progress.
        **reading: As for `import_to`: format, mapping, skip_bad, untrained, keep_masked,
            max_unpacked, max_nesting, rewards.

    Returns:
        The audit, and the log without its texts.

    Raises:
        ParameterError: What `audit` is refused for, or fewer than one step.
        WorkbenchError: What reading is refused for.
    """
    if not credits:
        raise ParameterError("an audit needs at least one credit")
    with _folder_of(folder) as hidden:
        read = on_disk(
            sources,
            hidden,
            reading,
            cache=cache,
            quarantine=quarantine,
            engine=engine,
            noted=noted,
            progress=progress,
        )
        check(read.opened)
        files = {name: Path(path) for name, path in credits.items()}
        scored = {name: read_credit(path) for name, path in files.items()}
        path, opened = read.log.path, read.opened
        drawn, groups = _drawn(opened, scored, steps, seed)
        if drawn is not None:
            opened = replace(opened, frame=opened.frame.filter(groups))
            path, files = _written(hidden, path, scored, groups)
        del scored
        log = AuditedLog(opened.space(allow_unchained=allow_unchained))
        place = Place(
            # A worker of a cluster may be in another folder.
            log=path.resolve(),
            rows=opened.frame.height,
            credits=tuple((name, file.resolve()) for name, file in files.items()),
            cache=read.cache.resolve(),
            allow_unchained=allow_unchained,
        )
        tasks = [
            Task(place=place, found=one, label=label, draws=draws, seed=seed)
            for one in (Measured(None), *to_measure(log, files, controls))
        ]
        of_log, *known = results(engine or Here(), audit_part, tasks, "audit", progress)
        if log.steps.column("logged_advantage").null_count() < len(log.steps):
            texts = any(found.compares_texts for found in known)
            task = replace(tasks[0], texts=texts)
            (closest,) = results(engine or Here(), audit_part, [task], "audit", progress)
            of_log.readings += closest.readings
    sample = sample_of(log.steps, seed=seed, draws=draws)
    found = assembled(of_log, known, sample=sample, compared=True)
    return found if drawn is None else found.of(drawn), read.opened.frame


@contextmanager
def _folder_of(folder: str | Path | None) -> Iterator[Path]:
    """A folder for as long as an audit takes, in the one that is asked for."""
    place = Path(folder or tempfile.gettempdir())
    with staging_folder(place / "workbench-audit") as hidden:
        try:
            yield hidden
        finally:
            opened_for.cache_clear()  # where this process was the worker


def _drawn(
    opened: OpenedLog, credits: Mapping[str, ScoredCredit], most: int, seed: int
) -> tuple[Drawn | None, pl.Expr]:
    """Groups drawn of a log that has more steps, and the mask of their rows.

    Batches are drawn whole where a credit compares groups of a batch. A method that learns from
    earlier batches gives other numbers on a part of them, and the audit says so.
    """
    if most < 1:
        raise ParameterError(f"an audit is of at least 1 step, got {most}")
    steps = opened.steps
    if len(steps) <= most:
        return None, pl.lit(value=True)
    spaces = spaces_of(opened, credits)
    units = {unit_of(method, spaces[name]) for name, method in _methods(credits)}
    batches = bool(units - {"group"}) and steps.batches > 1
    groups = drawn_groups(steps, most, seed=seed, batches=batches)
    ids = np.array(AuditedLog(next(iter(spaces.values()))).group_ids, dtype=object)[groups]
    drawn = Drawn(
        groups=len(groups),
        steps=int(np.diff(steps.group_start)[groups].sum()),
        of_groups=steps.groups,
        of_steps=len(steps),
        unit="batch" if batches else "group",
        seed=seed,
    )
    return drawn, pl.col("group_id").is_in(ids.tolist())


def _written(
    folder: Path, log: Path, credits: Mapping[str, ScoredCredit], groups: pl.Expr
) -> tuple[Path, dict[str, Path]]:
    """Files of some groups of a log, and of their credits."""
    drawn, files = folder / "drawn.parquet", {}
    pl.scan_parquet(log, glob=False).filter(groups).sink_parquet(drawn, compression="lz4")
    for number, (name, credit) in enumerate(credits.items()):
        files[name] = folder / f"credit-{number}.parquet"
        write_credit(files[name], _of_groups(credit, groups))
    return drawn, files


def _of_groups(credit: ScoredCredit, groups: pl.Expr) -> ScoredCredit:
    """The part of a credit that is of some groups; a table that is no credit's is refused later."""
    if "group_id" not in credit.table.columns:
        return credit
    return replace(credit, table=credit.table.filter(groups))
