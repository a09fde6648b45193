"""The whole way from files to a weighted batch, stage by stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.analysis.advice import Advice, advise
from workbench.analysis.compare import Comparison, compare, summaries
from workbench.engines import Engine
from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters import TARGETS, Manifest, read_manifest
from workbench.log.credit import read_credit
from workbench.log.facts import Facts, facts
from workbench.methods import create, registered
from workbench.states.embedders.registry import DEFAULT_EMBEDDER
from workbench.states.text import StateText
from workbench.wording import Progress, silent
from workbench.workspace.artefacts import Artefacts
from workbench.workspace.opened import OpenedLog
from workbench.workspace.tracked import of_batch, of_credits

DEFAULT_METHODS = ("grpo", "gigpo", "proxmo")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Results of `run`, and their places.

    Args:
        workspace: The folder.
        log: The step log in it.
        quarantined: File of the trajectories that were set aside; None where none were.
        report: The import report, as data.
        facts: The facts of the log.
        credits: Method -> its credit file.
        notes: Method -> what a reader of its credit should know.
        advantages: Each credit in numbers, as `Comparison.credits`.
        comparison: The methods compared; None for one method.
        exported: Folder of the batch; None where it would train nothing.
        manifest: What the batch says of itself; None where there is none.
        no_batch: Why there is none; None where there is one.
        export_method: Whose credit it carries.
        advice: Whose credit to train with.
        params: Method -> fields that differ from its values.
        embedder: Representation that was used.
        state_text: What text of a step stood for its state.
        built: Artefacts made now, as paths below the workspace; what was there is not in it.
    """

    workspace: Path
    log: Path
    quarantined: Path | None
    report: Mapping[str, Any]
    facts: Facts
    credits: Mapping[str, Path]
    notes: Mapping[str, Sequence[str]]
    advantages: pl.DataFrame
    comparison: Comparison | None
    exported: Path | None
    manifest: Manifest | None
    no_batch: str | None
    export_method: str
    advice: Advice
    params: Mapping[str, Mapping[str, Any]]
    embedder: str
    state_text: StateText
    built: tuple[Path, ...]

    def numbers(self) -> dict[str, float | None]:
        """The moments of each credit and what the batch holds, as a tracker keeps them."""
        batch = {} if self.manifest is None else of_batch(self.manifest)
        return {**of_credits(self.advantages.to_dicts()), **batch}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: paths as text, tables as lists of rows, a manifest as in its file."""
        manifest = self.manifest
        return {
            "workspace": str(self.workspace),
            "log": str(self.log),
            "quarantined": None if self.quarantined is None else str(self.quarantined),
            "report": dict(self.report),
            "facts": self.facts.to_dict(),
            "credits": {name: str(path) for name, path in self.credits.items()},
            "notes": {name: list(notes) for name, notes in self.notes.items()},
            "advantages": self.advantages.to_dicts(),
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
            "batch": None if self.exported is None else str(self.exported),
            "manifest": None if manifest is None else json.loads(manifest.to_json()),
            "no_batch": self.no_batch,
            "export_method": self.export_method,
            "advice": self.advice.to_dict(),
            "built": [str(path) for path in self.built],
        }


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
    export_options: Mapping[str, Any] | None = None,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    quarantine: bool = False,
    skip_bad: bool = False,
    allow_unchained: bool = False,
    untrained: Sequence[str] = (),
    keep_masked: bool = False,
    max_unpacked: int | None = None,
    max_nesting: int | None = None,
    rewards: str | Path | None = None,
    engine: Engine | None = None,
    progress: Progress = silent,
) -> RunResult:
    """Read, validates, embeds, indexes, scores, compare and export into a workspace.

    Every artefact is named by the hash of what made it and is used again where it is there, so a
    second run on the same input does no work twice and an interrupted one goes on where it was.
    What an export would be refused for whatever its credit is refused before the long part. Where
    the credit leaves nothing to train, everything but the batch is made, with the reason.

    Args:
        sources: Files, folders or globs of one format.
        directory: The workspace.
        methods: "method" or "method:dialect", scored in this order.
        params: Method -> fields that differ from its values.
        embedder: Representation for methods that need similarities.
        state_text: What text of a step stands for its state.
        target: What to export for.
        export_method: Whose credit is exported; the last method by default.
        export_options: The target's own, such as {"tokenizer": …, "clip": 5.0}.
        format: Reader; recognised by content where None.
        mapping: Column mapping.
        quarantine: Set broken trajectories aside instead of refusing the log.
        skip_bad: Leave out unreadable lines instead of refusing the file.
        allow_unchained: Let methods run that ask which steps follow each other, where a reader had
            to guess that.
        untrained: As for `import_log`.
        keep_masked: As for `import_log`.
        max_unpacked: As for `import_log`.
        max_nesting: As for `import_log`.
        rewards: As for `import_log`.
        engine: What reads files, scores parts of the log and exports them; this process does it
            all at once where None.
        progress: Told about progress.

    Raises:
        WorkbenchError: The first stage that the user can put right.
    """
    if not methods:
        raise ParameterError("run needs at least one method")
    unused = sorted(set(params or {}) - set(methods))
    if unused:
        raise ParameterError(f"fields are set for {unused}, which are not scored: {list(methods)}")
    made = {name: create(registered(name), (params or {}).get(name)) for name in methods}
    chosen = export_method or methods[-1]
    if chosen not in made:
        raise ParameterError(f"{chosen!r} cannot be exported, it is not scored: {list(made)}")
    exporter, options = TARGETS[target], export_options or {}
    if "overwrite" in options:
        raise ParameterError(
            "overwrite says nothing in a run: batches of other options have folders of their own"
        )
    exporter.options_of(options)
    artefacts = Artefacts(directory, progress)
    log = artefacts.log(
        sources,
        format=format,
        mapping=mapping,
        quarantine=quarantine,
        skip_bad=skip_bad,
        untrained=untrained,
        keep_masked=keep_masked,
        max_unpacked=max_unpacked,
        max_nesting=max_nesting,
        rewards=rewards,
        engine=engine,
    )
    space = OpenedLog.of_stored(log, artefacts).space(
        embedder, state_text, progress, allow_unchained=allow_unchained
    )
    # Before the long part, and also where a credit that was allowed before lies there already.
    for method in made.values():
        method.require_chain(space.steps, space)
    decided = exporter.rehearse(log.frame, **options)
    if any("similarity" in method.needs() for method in made.values()):
        progress("index", 0, 0)
        _ = space.neighbours
    credits = artefacts.credits(made, space, log.path, engine)
    read = {name: read_credit(path) for name, path in credits.items()}
    progress("compare", 0, 0)
    tables = {name: credit.table for name, credit in read.items()}
    exported, no_batch = None, None
    try:
        exported = artefacts.export(
            log.frame,
            read[chosen],
            exporter,
            options,
            decided,
            space=lambda: space,
            path=log.path,
            engine=engine,
        )
    except EmptyBatchError as error:
        no_batch = str(error)
    return RunResult(
        workspace=Path(directory),
        log=log.path,
        quarantined=log.quarantined,
        report=log.report,
        facts=facts(log.frame),
        credits=credits,
        notes={name: credit.provenance.notes for name, credit in read.items()},
        advantages=summaries(tables),
        comparison=compare(tables) if len(tables) > 1 else None,
        exported=exported,
        manifest=None if exported is None else read_manifest(exported),
        no_batch=no_batch,
        export_method=chosen,
        advice=advise(space, convention=False),
        params=params or {},
        embedder=embedder,
        state_text=space.state_text,
        built=tuple(artefacts.built),
    )
