"""Every cache of the app, keyed by content: two people share a result, never a session.

Frames and vectors live in `cache_resource`, where they are not copied; nothing changes them. Logs
are known by the digest of their file, so a cached result never belongs to another log.

What a result needs is imported where it is made: the first page waits for nothing that it does not
show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import streamlit as st

from workbench.analysis.rollouts import Rollouts
from workbench.errors import ArtefactError
from workbench.log.chaining import guessed_chains
from workbench.log.facts import Facts, facts, group_table, length_histogram
from workbench.ui.library import Library, LogEntry
from workbench.wording import Progress, own_names, shortened, silent
from workbench.workspace.artefacts import Artefacts, StoredLog
from workbench.workspace.marks import Marks, on_log
from workbench.workspace.variants import Variants

if TYPE_CHECKING:
    from workbench.analysis.advice import Advice
    from workbench.analysis.audit import Audit, Finding
    from workbench.analysis.audit.statistics import Reading
    from workbench.analysis.compare import Comparison
    from workbench.analysis.shares import Shares
    from workbench.analysis.tuning.held_out import HeldOut
    from workbench.analysis.tuning.temperature import Sweep, Trial
    from workbench.exporters.archive import Archive
    from workbench.log.credit import Credit, ScoredCredit
    from workbench.log.steps import Steps
    from workbench.states.projection import Places
    from workbench.states.space import Space
    from workbench.ui.viewer.payload import Scale
    from workbench.ui.watching import Watched
    from workbench.workspace.opened import OpenedLog


@st.cache_resource(show_spinner=False)
def library(root: str, sources: tuple[str, ...], keep_days: int | None = None) -> Library:
    """The logs of this server: those of the command line, and those uploaded to it."""
    return Library(Path(root), sources, keep_days)


@st.cache_resource(show_spinner=False)
def watched(root: str, folder: str) -> Watched:
    """A folder that a run still writes to, once for everybody."""
    from workbench.ui.watching import Watched

    return Watched(Path(root), Path(folder))


def load_variants(library: Library) -> list[str]:
    """Make the methods of all variants that workspaces of this server keep; say what fails."""
    workspaces = library.workspaces
    versions = tuple(Variants(root).version for root in workspaces)
    return _variants(tuple(map(str, workspaces)), versions) if any(versions) else []


@st.cache_resource(max_entries=4, show_spinner=False)
def _variants(roots: tuple[str, ...], versions: tuple[str, ...]) -> list[str]:
    problems: list[str] = []
    for root in roots:
        try:
            problems += Variants(Path(root)).load()
        except ArtefactError as error:
            problems.append(str(error))
    return problems


@st.cache_resource(max_entries=16, show_spinner=False)
def stored(log_id: str, _entry: LogEntry) -> StoredLog:
    """A log's frame and report."""
    return StoredLog(_entry.folder)


@st.cache_resource(max_entries=16, show_spinner=False)
def log_facts(log_id: str, _entry: LogEntry) -> Facts:
    """Facts of a log."""
    return facts(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner=False)
def rollouts(log_id: str, _entry: LogEntry) -> Rollouts:
    """A log's trajectories in its order."""
    return Rollouts.from_log(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner=False)
def log_groups(log_id: str, _entry: LogEntry) -> pl.DataFrame:
    """A log's groups."""
    return group_table(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner=False)
def group_names(log_id: str, _entry: LogEntry) -> dict[str, str]:
    """A log's groups by what they are called where they differ, on one line."""
    ids = list(rollouts(log_id, _entry).groups)
    return {group: shortened(own) for group, own in zip(ids, own_names(ids), strict=True)}


@st.cache_resource(max_entries=16, show_spinner=False)
def log_lengths(log_id: str, _entry: LogEntry) -> pl.DataFrame:
    """Lengths of a log's trajectories."""
    return length_histogram(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner=False)
def opened(log_id: str, _entry: LogEntry) -> OpenedLog:
    """A log as methods score it; its credits name what a command line names to read it."""
    from workbench.workspace.opened import OpenedLog

    log = stored(log_id, _entry)
    sha256 = log.sha256 if _entry.source == str(log.path) else log.source_sha256
    return OpenedLog.of_stored(log, Artefacts(_entry.workspace), sha256)


@st.cache_resource(max_entries=16, show_spinner=False)
def chains(log_id: str, _entry: LogEntry) -> str | None:
    """Sentence on how the order of steps was guessed; None where its source states it."""
    return guessed_chains(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner="Looking at what this log can teach …")
def advice(log_id: str, _entry: LogEntry) -> Advice:
    """The advice on a log."""
    from workbench.analysis.advice import advise

    return advise(space(log_id, "tfidf", _entry), convention=False)


@st.cache_resource(max_entries=16, show_spinner=False)
def log_findings(log_id: str, _entry: LogEntry) -> tuple[Finding, ...]:
    """Findings on a log, whatever scores it."""
    from workbench.analysis.audit import log_audit

    return log_audit(space(log_id, "tfidf", _entry))


@st.cache_resource(max_entries=16, show_spinner="Trying every method on the trainer's numbers …")
def trainers_convention(log_id: str, _entry: LogEntry) -> Sequence[Reading]:
    """The method that the log's own advantages are nearest to; nothing where it has none."""
    from workbench.analysis.audit.agreement import closest_to_logged
    from workbench.analysis.audit.subject import AuditedLog

    here = space(log_id, "tfidf", _entry)
    return list(closest_to_logged(AuditedLog(here), texts=here.has_similarity))


def steps(log_id: str, entry: LogEntry) -> Steps:
    """A log's scored steps."""
    return opened(log_id, entry).steps


@st.cache_resource(max_entries=16, show_spinner=False)
def space(log_id: str, embedder: str, _entry: LogEntry) -> Space:
    """A log's space; its vectors are made by `vectors`, outside any cache, with progress."""
    return opened(log_id, _entry).space(embedder, allow_unchained=_entry.unchained)


def needs_vectors(method: str) -> bool:
    """True if a method needs similarities of the space's embedder."""
    from workbench.methods import create
    from workbench.methods.capabilities import compares_texts

    return compares_texts(create(method))


def has_vectors(log_id: str, embedder: str, entry: LogEntry) -> bool:
    """True if the similarities of a log are computed."""
    return space(log_id, embedder, entry).has_similarity


def vectors(log_id: str, embedder: str, entry: LogEntry, progress: Progress) -> None:
    """Make a log's similarities; what is finished when it is stopped is kept."""
    space(log_id, embedder, entry).similarity(progress=progress)


@st.cache_resource(max_entries=8, show_spinner="Laying out the map …")
def places(log_id: str, embedder: str, kind: str, _entry: LogEntry) -> Places:
    """Place of each scored step on a map; the states' projection stays in the workspace.

    The vectors are made by `vectors` or `frame.require_vectors` before.
    """
    from workbench.states import projection

    where = space(log_id, embedder, _entry)
    kept = Artefacts(_entry.workspace)
    return projection.places(where, kind, lambda build: kept.projection(kind, where, build))


@st.cache_resource(max_entries=64, show_spinner=False)
def _credit(log_id: str, embedder: str, method: str, fields: str, _entry: LogEntry) -> Credit:
    from workbench.methods.scoring import score

    return score(space(log_id, embedder, _entry), method, json.loads(fields))


def credit(
    log_id: str, embedder: str, method: str, params: Mapping[str, Any], entry: LogEntry
) -> Credit:
    """The credit of a log under a method with fields set."""
    key = embedder if needs_vectors(method) else "tfidf"
    return _credit(log_id, key, method, json.dumps(params, sort_keys=True), entry)


@st.cache_resource(max_entries=64, show_spinner=False)
def _scale(log_id: str, embedder: str, method: str, fields: str, _entry: LogEntry) -> Scale:
    from workbench.ui.viewer.payload import Scale

    return Scale.of(credit(log_id, embedder, method, json.loads(fields), _entry))


def scale(
    log_id: str, embedder: str, method: str, params: Mapping[str, Any], entry: LogEntry
) -> Scale:
    """The units of a method's advantages over a log."""
    return _scale(log_id, embedder, method, json.dumps(params, sort_keys=True), entry)


@st.cache_resource(max_entries=32, show_spinner=False)
def _group(key: str, shown: str, _make: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return _make(shown)


def group(key: str, shown: str, make: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """A group as the viewer reads it; of one with too much text, as it is with this rollout."""
    found = _group(key, "", lambda _: make(shown))
    return _group(key, shown, make) if found["partly"] else found


@st.cache_resource(max_entries=16, show_spinner=False)
def step_facts(log_id: str, _entry: LogEntry) -> dict[str, pl.Series]:
    """Facts of each step's rollout and group, for filters."""
    from workbench.analysis import filters

    return filters.step_facts(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner=False)
def marked(log_id: str, root: str, version: str, _entry: LogEntry) -> tuple[pl.DataFrame, int]:
    """Marks and notes on a log's steps, and how many are of a step that has another action now."""
    return on_log(stored(log_id, _entry).frame, Marks(Path(root)).table())


@st.cache_resource(max_entries=64, show_spinner=False)
def kept(key: str, _make: Callable[[], Any]) -> Any:
    """The steps that a filter leaves; `key` says of which log and under which fields."""
    return _make()


@st.cache_resource(max_entries=32, show_spinner=False)
def _comparison(key: str, _make: Callable[[], Comparison]) -> Comparison:
    return _make()


def comparison(
    log_id: str,
    embedder: str,
    chosen: Mapping[str, Mapping[str, Any]],
    mask: pl.Series | None,
    entry: LogEntry,
) -> Comparison:
    """Methods of a log compared. `chosen` is method -> fields set, `mask` the steps that count."""
    part = "" if mask is None else hashlib.sha256(mask.to_numpy().tobytes()).hexdigest()
    key = json.dumps([log_id, embedder, chosen, part], sort_keys=True)

    def make() -> Comparison:
        from workbench.analysis.compare import compare

        credits = {
            name: credit(log_id, embedder, name, params, entry) for name, params in chosen.items()
        }
        tables = {name: found.table() for name, found in credits.items()}
        if mask is not None:
            tables = {name: table.filter(mask) for name, table in tables.items()}
        return compare(tables, top=50)

    return _comparison(key, make)


@st.cache_resource(max_entries=16, show_spinner="Drawing other rollouts …")
def _audited(key: str, _make: Callable[[], Audit]) -> Audit:
    return _make()


def audits(
    log_id: str,
    embedder: str,
    chosen: Mapping[str, Mapping[str, Any]],
    entry: LogEntry,
    *,
    progress: Progress,
) -> Iterator[Audit]:
    """An audit of methods of a log as it grows. `chosen` is method -> fields set."""
    from workbench.analysis.audit import audits

    given = {
        name: credit(log_id, embedder, name, params, entry).scored()
        for name, params in chosen.items()
    }
    return audits(space(log_id, embedder, entry), given, progress=progress)


def audited(
    log_id: str, embedder: str, chosen: Mapping[str, Mapping[str, Any]], entry: LogEntry
) -> Audit:
    """An audit of methods of a log. `chosen` is method -> fields set."""
    key = json.dumps([log_id, embedder, chosen], sort_keys=True)

    def make() -> Audit:
        *_, last = audits(log_id, embedder, chosen, entry, progress=silent)
        return last

    return _audited(key, make)


def to_export(
    log_id: str,
    embedder: str,
    scored: ScoredCredit,
    options: Mapping[str, Any],
    entry: LogEntry,
) -> pl.DataFrame:
    """A log with what an export chooses its steps by."""
    from workbench.workspace.chosen import for_export

    log = stored(log_id, entry).frame
    return for_export(log, scored, entry.workspace, options, lambda: space(log_id, embedder, entry))


@st.cache_resource(max_entries=4, show_spinner="Building the batch …")
def _batch(key: str, _make: Callable[[], Archive]) -> Archive:
    return _make()


def batch(
    log_id: str,
    embedder: str,
    scored: tuple[str, Mapping[str, Any]],
    export: tuple[str, Mapping[str, Any]],
    entry: LogEntry,
) -> Archive:
    """The batch of a log: a method with the fields set, for a target with its options."""
    (method, params), (to, options) = scored, export
    by_marks = options.get("marked", "all") != "all" or options.get("filter") is not None
    version = Marks(entry.workspace).version if by_marks else ""
    key = json.dumps([log_id, embedder, method, params, to, options, version], sort_keys=True)

    def make() -> Archive:
        from workbench.exporters import TARGETS
        from workbench.exporters.archive import archive

        scored = credit(log_id, embedder, method, params, entry).scored()
        log = to_export(log_id, embedder, scored, options, entry)
        return archive(TARGETS[to], log, scored, **options)

    return _batch(key, make)


@st.cache_resource(max_entries=8, show_spinner="Trying other temperatures …")
def _sweep(
    log_id: str, embedder: str, fields: str, temperatures: tuple[float, ...], _entry: LogEntry
) -> Sweep:
    from workbench.analysis.tuning.temperature import sweep
    from workbench.methods.proximity.proxmo import ProxMO

    params = json.loads(fields)
    found = credit(log_id, embedder, "proxmo", params, _entry)
    where = space(log_id, embedder, _entry)
    return sweep(ProxMO(**params), found, where, temperatures)


@st.cache_resource(max_entries=16, show_spinner=False)
def _trial(
    log_id: str, embedder: str, fields: str, temperatures: tuple[float, ...], _entry: LogEntry
) -> Trial:
    from workbench.analysis.tuning.temperature import Trial
    from workbench.methods.proximity.proxmo import ProxMO

    params = json.loads(fields)
    # Fields that change no baseline share a sweep.
    own = {name: value for name, value in params.items() if name in ProxMO.of_baseline}
    of_baseline = json.dumps(own, sort_keys=True)
    found = credit(log_id, embedder, "proxmo", params, _entry)
    return Trial(found, _sweep(log_id, embedder, of_baseline, temperatures, _entry))


def trial(
    log_id: str, embedder: str, params: Mapping[str, Any], temperature: float, entry: LogEntry
) -> Trial:
    """ProxMO's credit of a log with the temperature left open, but open to this one."""
    from workbench.analysis.tuning.temperature import swept

    others = {name: value for name, value in params.items() if name != "temperature"}
    key = json.dumps(others, sort_keys=True)
    temperatures = swept(temperature, len(steps(log_id, entry)))
    return _trial(log_id, embedder, key, temperatures, entry)


def held_out_error(
    log_id: str,
    embedder: str,
    method: str,
    params: Mapping[str, Any],
    entry: LogEntry,
    *,
    progress: Progress,
) -> HeldOut:
    """Held-out error of a method's baseline on returns of rollouts that it has not seen."""
    from workbench.analysis.tuning.held_out import held_out
    from workbench.methods import create

    found = credit(log_id, embedder, method, params, entry)
    return held_out(
        create(method, params), found, space(log_id, embedder, entry), progress=progress
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _shares(key: str, _make: Callable[[], Shares | None]) -> Shares | None:
    return _make()


def baseline_shares(
    log_id: str, embedder: str, method: str, params: Mapping[str, Any], entry: LogEntry
) -> Shares | None:
    """Owners of the steps in a credit's step baselines; None where it has no such term."""
    from workbench.analysis.shares import shares

    def make() -> Shares | None:
        found = credit(log_id, embedder, method, params, entry)
        if "step" not in found.terms:
            return None
        return shares(found.steps, found.terms["step"], np.random.default_rng(0))

    return _shares(json.dumps([log_id, embedder, method, params], sort_keys=True), make)


@st.cache_resource(max_entries=64, show_spinner=False)
def slot(key: str) -> dict[str, Any]:
    """A place that keeps the result of long work, empty until it is done."""
    return {}


@st.cache_resource(max_entries=16, show_spinner=False)
def spread(log_id: str, embedder: str, _entry: LogEntry) -> float | None:
    """Spread of similarities inside a group of a log."""
    from workbench.analysis.tuning.temperature import similarity_spread

    return similarity_spread(space(log_id, embedder, _entry).similarity())
