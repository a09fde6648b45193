"""What a workspace holds, made from its inputs or found: logs, spaces, credits, batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from workbench.exporters import Exporter, read_manifest
from workbench.files import MANIFEST, Workspace, digest, file_digest, package_version, write_credit
from workbench.log.credit import Credit
from workbench.log.steps import Steps
from workbench.methods import Method
from workbench.readers import import_log, source_files
from workbench.states.embedders.registry import Embedder, resolve
from workbench.states.embedders.vector_cache import VectorCache
from workbench.states.neighbours import NeighbourIndex
from workbench.states.space import Space
from workbench.states.text import StateText

LOG_FILE, REPORT_FILE, QUARANTINE_FILE = "log.parquet", "report.json", "quarantined.parquet"
CREDIT_FILE, INDEX_FILE = "credit.parquet", "index.faiss"

Report = Callable[[str, int, int], None]
"""Told (stage, done, total) while work is under way; total 0 where it is not known."""


@dataclass(frozen=True)
class StoredLog:
    """A step log in a workspace.

    Args:
        folder: Where it is.
    """

    folder: Path

    @classmethod
    def at(cls, path: str | Path) -> StoredLog | None:
        """The stored log that a path is the file of; None for any other file."""
        given = Path(path).resolve()
        folder = given.parent
        known = given.name == LOG_FILE and folder.parent.name == "log"
        return cls(folder) if known and (folder / MANIFEST).is_file() else None

    @property
    def workspace(self) -> Path:
        """The workspace that it is in."""
        return self.folder.parents[1]

    @property
    def path(self) -> Path:
        """The step log."""
        return self.folder / LOG_FILE

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The step log, validated."""
        return pl.read_parquet(self.path, glob=False)

    @cached_property
    def sha256(self) -> str:
        """Digest of the log's file."""
        return file_digest(self.path)

    @cached_property
    def source_sha256(self) -> str:
        """Digest of what it was imported from: of the one file, or of the list of digests."""
        manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        digests = [file[1] for file in manifest["inputs"]["files"]]
        return digests[0] if len(digests) == 1 else digest(digests)

    @cached_property
    def report(self) -> dict[str, Any]:
        """The import report, as data."""
        report: dict[str, Any] = json.loads((self.folder / REPORT_FILE).read_text(encoding="utf-8"))
        return report


def provenance(
    name: str, method: Method, space: Space, log_sha256: str, credit: Credit | None = None
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
            "name": method.info.name,
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
    if "similarity" in method.needs():
        own = getattr(method, "embedder", None)
        embedder = space.embedder if own is None else resolve(own)
        text = space.state_text if own is None else StateText()
        made_by["embedder"] = {"name": embedder.name, "key": embedder.key}
        made_by["state_text"] = vars(text)
        if credit and own is None:
            made_by["notes"] += space.notes
    return made_by


class Artefacts:
    """Makes the artefacts of a workspace, each only if it is not there whole.

    Args:
        root: The workspace.
        report: Told about progress.

    Attributes:
        built: What was made now, as paths below the workspace.
    """

    def __init__(self, root: str | Path, report: Report = lambda stage, done, total: None) -> None:
        self._workspace = Workspace(Path(root))
        self._report = report
        self.built: list[Path] = []

    def _artefact(
        self, kind: str, label: str, inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> Path:
        folder, new = self._workspace.artefact(kind, label, inputs, build)
        if new:
            self.built.append(folder.relative_to(self._workspace.root))
        return folder

    def log(
        self,
        sources: Sequence[str | Path],
        *,
        format: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        quarantine: bool = False,
        skip_bad: bool = False,
    ) -> StoredLog:
        """The step log of some files; for the arguments see `readers.import_log`.

        Raises:
            LogError: The files are refused; every problem is listed.
        """
        reading = {
            "format": format,
            "mapping": mapping,
            "quarantine": quarantine,
            "skip_bad": skip_bad,
        }
        self._report("read", 0, 0)

        def build(folder: Path) -> None:
            imported = import_log(
                sources, format=format, mapping=mapping, quarantine=quarantine, skip_bad=skip_bad
            )
            validated = imported.validated
            validated.log.write_parquet(folder / LOG_FILE, compression="zstd")
            if validated.quarantined.height:
                aside = folder / QUARANTINE_FILE
                validated.quarantined.write_parquet(aside, compression="zstd")
            text = json.dumps(imported.report.to_dict(), indent=1, ensure_ascii=False)
            (folder / REPORT_FILE).write_text(text, encoding="utf-8")

        files = [[path.name, file_digest(path)] for path in source_files(sources)]
        return StoredLog(self._artefact("log", "", {"files": files, **reading}, build))

    def space(
        self, steps: Steps, embedder: str | Embedder, state_text: StateText | None = None
    ) -> Space:
        """The space of a log, its vectors and index kept in the workspace."""
        cache = VectorCache(self._workspace.root / "embeddings")

        def index_store(key: str, build: Callable[[], NeighbourIndex]) -> NeighbourIndex:
            texts = digest([list(space.log_states.text), space.log_counts.tolist()])
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

    def credit(self, name: str, method: Method, space: Space, log_sha256: str) -> Path:
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
        self,
        log: pl.DataFrame,
        credit: tuple[pl.DataFrame, Mapping[str, Any]],
        target: Exporter,
        options: Mapping[str, Any],
        decided: Mapping[str, Any],
    ) -> Path:
        """The folder of the batch.

        Args:
            log: A validated step log.
            credit: Its credit, and what made that.
            target: Who writes.
            options: The target's own.
            decided: All that decides the files beside log and credit; see `Exporter.rehearse`.

        Raises:
            EmptyBatchError: The batch would train nothing.
        """
        self._report("export", 0, 0)
        table, made_by = credit
        name = f"{target.name}-{digest([made_by, decided])[:16]}"
        folder = self._workspace.root / "exports" / name
        if folder.exists():
            read_manifest(folder)
        else:
            target(log, table, made_by, folder, **options)
            self.built.append(folder.relative_to(self._workspace.root))
        return folder
