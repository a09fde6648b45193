"""The whole way from files to a weighted batch, stage by stage."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.compare import Comparison, compare
from workbench.embed import (
    DEFAULT_EMBEDDER,
    Embedder,
    Progress,
    StateText,
    VectorCache,
    resolve,
)
from workbench.estimators import Credit, Estimator, create
from workbench.exporters import get, read_manifest
from workbench.facts import Facts, facts
from workbench.proximity import NeighbourIndex
from workbench.readers import import_log, source_files
from workbench.space import Space
from workbench.steps import Steps
from workbench.store import (
    Workspace,
    digest,
    file_digest,
    package_version,
    read_credit,
    write_credit,
)

DEFAULT_METHODS = ("grpo", "gigpo", "proxmo")
LOG_FILE, REPORT_FILE, CREDIT_FILE, INDEX_FILE = (
    "log.parquet",
    "report.json",
    "credit.parquet",
    "index.faiss",
)

Report = Callable[[str, int, int], None]
"""Told (stage, done, total) while a run is under way; total 0 where it is not known."""


def user_cache() -> Path:
    """Where vectors are kept outside a workspace unless the user says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "trajectory-workbench" / "embeddings"


def source_digest(files: Sequence[str | Path]) -> str:
    """SHA-256 of one file's bytes; for several files, of the list of their digests."""
    digests = [file_digest(Path(file)) for file in files]
    return digests[0] if len(digests) == 1 else digest(digests)


def open_log(
    sources: str | Path | Sequence[str | Path],
    *,
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    state_text: StateText | None = None,
    cache: str | Path | None = None,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Space:
    """Reads and validates a log and opens it for scoring.

    Args:
        sources: Files, folders or globs of one format.
        embedder: Representation for methods that need similarities.
        state_text: What text of a step stands for its state.
        cache: Folder for vectors; the user's cache by default.
        format: Reader; recognised by content where None.
        mapping: Column mapping.
        progress: Called with (done, total) while texts are encoded.

    Raises:
        LogError: The log breaks a rule; every problem is listed.
    """
    given = [sources] if isinstance(sources, str | Path) else sources
    log = import_log(given, format=format, mapping=mapping).validated.log
    return Space(
        Steps.from_log(log),
        embedder=embedder,
        state_text=state_text,
        cache=VectorCache(Path(cache) if cache else user_cache()),
        progress=progress,
    )


def score(space: Space, method: str, **params: Any) -> Credit:
    """The credit of every step of a log.

    Args:
        space: From `open_log`; a second method on it costs no second embedding.
        method: "method" or "method:dialect".
        **params: Fields of the method that differ from its values.

    Raises:
        UnknownNameError: No such method or dialect.
        ParameterError: No such field, or a value that it cannot have.
        MissingInputError: The method needs what the log lacks.
    """
    return create(method, params)(space.steps, space)


def provenance(
    name: str, method: Estimator, space: Space, log_sha256: str, credit: Credit | None = None
) -> dict[str, Any]:
    """What a credit is made of: method, fields, log, representation; kept with the credit.

    Args:
        name: "method" or "method:dialect", as asked for.
        method: The method with its fields.
        space: Where it ran.
        log_sha256: Digest of the log.
        credit: What it gave, if it ran already: adds what a reader should know.
    """
    _, _, dialect = name.partition(":")
    made_by: dict[str, Any] = {
        "version": package_version(),
        "method": {
            "name": method.method.name,
            "dialect": dialect or None,
            "fields": dict(vars(method)),
        },
        "log": {
            "sha256": log_sha256,
            "rows": space.steps.log.height,
            "scored": len(space.steps),
        },
        "embedder": None,
        "state_text": None,
        "notes": list(credit.notes) if credit else [],
    }
    if "similarity" in method.method.needs:
        own = getattr(method, "embedder", None)
        embedder = resolve(own) if own else space.embedder
        text = StateText() if own else space.state_text
        made_by["embedder"] = {"name": embedder.name, "key": embedder.key}
        made_by["state_text"] = vars(text)
        if credit and not own:
            made_by["notes"] += space.notes
    return made_by


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What `run` made, and where.

    Args:
        workspace: The folder.
        log: The step log in it.
        report: The import report, as data.
        facts: The facts of the log.
        credits: Method -> its credit file.
        notes: Method -> what a reader of its credit should know.
        comparison: The methods compared; None for one method.
        exported: Folder of the weighted batch.
        export_method: Whose credit it carries.
        built: Artefacts made now, as paths below the workspace; what was there is not in it.
    """

    workspace: Path
    log: Path
    report: Mapping[str, Any]
    facts: Facts
    credits: Mapping[str, Path]
    notes: Mapping[str, Sequence[str]]
    comparison: Comparison | None
    exported: Path
    export_method: str
    built: tuple[Path, ...]


def run(
    sources: Sequence[str | Path],
    directory: str | Path,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    embedder: str = DEFAULT_EMBEDDER,
    state_text: StateText | None = None,
    target: str = "weighted-batch",
    export_method: str | None = None,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    quarantine: bool = False,
    skip_bad: bool = False,
    report: Report = lambda stage, done, total: None,
) -> RunResult:
    """Reads, validates, embeds, indexes, scores, compares and exports into a workspace.

    Every artefact is named by the hash of what made it and is used again where it is there, so a
    second run on the same input does no work twice and an interrupted one goes on where it was.

    Args:
        sources: Files, folders or globs of one format.
        directory: The workspace.
        methods: "method" or "method:dialect", scored in this order.
        params: Method -> fields that differ from its values.
        embedder: Representation for methods that need similarities.
        state_text: What text of a step stands for its state.
        target: What to export for.
        export_method: Whose credit is exported; the last method by default.
        format: Reader; recognised by content where None.
        mapping: Column mapping.
        quarantine: Set broken trajectories aside instead of refusing the log.
        skip_bad: Leave out unreadable lines instead of refusing the file.
        report: Told about progress.

    Raises:
        WorkbenchError: The first stage that the user can put right.
    """
    made = [(name, create(name, (params or {}).get(name))) for name in methods]
    chosen = export_method or methods[-1]
    stations = _Stations(Workspace(Path(directory)), report)
    reading = {
        "format": format,
        "mapping": mapping,
        "quarantine": quarantine,
        "skip_bad": skip_bad,
    }
    log_folder = stations.log(sources, reading)
    log = pl.read_parquet(log_folder / LOG_FILE)
    log_sha256 = file_digest(log_folder / LOG_FILE)
    steps = Steps.from_log(log)
    space = stations.space(steps, embedder, state_text)
    if any("similarity" in method.method.needs for _, method in made):
        report("index", 0, 0)
        _ = space.neighbours
    credits = {name: stations.credit(name, method, space, log_sha256) for name, method in made}
    tables = {name: read_credit(path) for name, path in credits.items()}
    report("compare", 0, 0)
    exported = stations.export(log, *tables[chosen], target)
    return RunResult(
        workspace=Path(directory),
        log=log_folder / LOG_FILE,
        report=json.loads((log_folder / REPORT_FILE).read_text(encoding="utf-8")),
        facts=facts(log),
        credits=credits,
        notes={name: made_by["notes"] for name, (_, made_by) in tables.items()},
        comparison=compare({name: table for name, (table, _) in tables.items()})
        if len(tables) > 1
        else None,
        exported=exported,
        export_method=chosen,
        built=tuple(stations.built),
    )


class _Stations:
    """The stages of a run; each makes its artefact or finds it."""

    def __init__(self, workspace: Workspace, report: Report) -> None:
        self._workspace = workspace
        self._report = report
        self.built: list[Path] = []

    def _artefact(
        self, kind: str, label: str, inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> Path:
        folder, new = self._workspace.artefact(kind, label, inputs, build)
        if new:
            self.built.append(folder.relative_to(self._workspace.root))
        return folder

    def log(self, sources: Sequence[str | Path], reading: Mapping[str, Any]) -> Path:
        """The folder of the step log."""
        self._report("read", 0, 0)

        def build(folder: Path) -> None:
            imported = import_log(sources, **reading)
            validated = imported.validated
            validated.log.write_parquet(folder / LOG_FILE, compression="zstd")
            if validated.quarantined.height:
                validated.quarantined.write_parquet(
                    folder / "quarantined.parquet", compression="zstd"
                )
            text = json.dumps(imported.report.to_dict(), indent=1, ensure_ascii=False)
            (folder / REPORT_FILE).write_text(text, encoding="utf-8")

        files = [[str(path), file_digest(path)] for path in source_files(sources)]
        return self._artefact("log", "", {"files": files, **reading}, build)

    def space(self, steps: Steps, embedder: str, state_text: StateText | None) -> Space:
        """The space of a log, its vectors and index kept in the workspace."""
        cache = VectorCache(self._workspace.root / "embeddings")

        def index_store(key: str, build: Callable[[], NeighbourIndex]) -> NeighbourIndex:
            texts = digest(list(space.log_states.text))
            folder = self._artefact(
                "index",
                "",
                {"vectors": key, "texts": texts},
                lambda folder: build().save(folder / INDEX_FILE),
            )
            return NeighbourIndex.load(folder / INDEX_FILE)

        space = Space(
            steps,
            embedder=embedder,
            state_text=state_text,
            cache=cache,
            index_store=index_store,
            progress=lambda done, total: self._report("embed", done, total),
        )
        return space

    def credit(self, name: str, method: Estimator, space: Space, log_sha256: str) -> Path:
        """The file of a method's credit."""
        self._report(f"score {name}", 0, 0)
        inputs = provenance(name, method, space, log_sha256)

        def build(folder: Path) -> None:
            credit = method(space.steps, space)
            made_by = provenance(name, method, space, log_sha256, credit)
            write_credit(folder / CREDIT_FILE, credit.table(), made_by)

        label = name.replace(":", "-")
        return self._artefact("credit", label, inputs, build) / CREDIT_FILE

    def export(
        self, log: pl.DataFrame, table: pl.DataFrame, made_by: Mapping[str, Any], target: str
    ) -> Path:
        """The folder of the weighted batch."""
        self._report("export", 0, 0)
        name = f"{target}-{digest(made_by)[:16]}"
        folder = self._workspace.root / "exports" / name
        if folder.exists():
            read_manifest(folder)
        else:
            get(target)(log, table, made_by, folder)
            self.built.append(folder.relative_to(self._workspace.root))
        return folder
