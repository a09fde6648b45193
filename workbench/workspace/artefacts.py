"""Artefacts of a workspace, made from its inputs or found: logs, spaces, credits, batches.

What scores and exports is imported where it is asked for: a log alone is there without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from workbench.files import (
    MANIFEST,
    atomic_folder,
    digest,
    file_digest,
    read_artefact_manifest,
    remove_folder,
    staging_folder,
)
from workbench.readers import import_to, source_digests
from workbench.wording import Progress, silent
from workbench.workspace.store import Workspace

if TYPE_CHECKING:
    from workbench.engines import Engine
    from workbench.exporters import Exporter
    from workbench.log.credit import Provenance, ScoredCredit
    from workbench.log.steps import Index, Real
    from workbench.methods import Method
    from workbench.states.embedders.vector_cache import VectorCache
    from workbench.states.neighbours import NeighbourIndex
    from workbench.states.similarity import States
    from workbench.states.space import Space

LOG_FILE, REPORT_FILE, QUARANTINE_FILE = "log.parquet", "report.json", "quarantined.parquet"
CREDIT_FILE, INDEX_FILE = "credit.parquet", "index.faiss"
PROJECTION_FILE = "projection.npy"


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

    @classmethod
    def of_credit(cls, credit: Path, sha256: str | None) -> StoredLog | None:
        """The log of the workspace that a credit file lies in, if the credit was made from it."""
        for path in sorted(credit.resolve().parents[2:3]):
            for file in sorted(path.glob(f"log/*/{LOG_FILE}")):
                found = cls.at(file)
                if found is not None and sha256 is not None and found.sha256 == sha256:
                    return found
        return None

    @property
    def workspace(self) -> Path:
        """The workspace that it is in."""
        return self.folder.parents[1]

    @property
    def path(self) -> Path:
        """The step log."""
        return self.folder / LOG_FILE

    @property
    def quarantined(self) -> Path | None:
        """The rows that were set aside; None where none were."""
        path = self.folder / QUARANTINE_FILE
        return path if path.is_file() else None

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
        digests = [own for _, own in self.source_digests]
        return digests[0] if len(digests) == 1 else digest(digests)

    @cached_property
    def source_digests(self) -> list[tuple[str, str]]:
        """Names and digests of what it was imported from: see `readers.source_digests`."""
        manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        return [(name, digest) for name, digest in manifest["inputs"]["files"]]

    @cached_property
    def report(self) -> dict[str, Any]:
        """The import report, as data."""
        report: dict[str, Any] = json.loads((self.folder / REPORT_FILE).read_text(encoding="utf-8"))
        return report


class Artefacts:
    """Makes the artefacts of a workspace, each only if it is not there whole.

    Args:
        root: The workspace.
        progress: Told about progress.

    Attributes:
        built: What was made now, as paths below the workspace.
    """

    def __init__(self, root: str | Path, progress: Progress = silent) -> None:
        self._workspace = Workspace(Path(root))
        self._progress = progress
        self.built: list[Path] = []

    @property
    def root(self) -> Path:
        """The workspace."""
        return self._workspace.root

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
        untrained: Sequence[str] = (),
        keep_masked: bool = False,
        max_unpacked: int | None = None,
        max_nesting: int | None = None,
        rewards: str | Path | None = None,
        engine: Engine | None = None,
    ) -> StoredLog:
        """The step log of some files; for the arguments see `readers.import_to`.

        Raises:
            LogError: The files are refused; every problem is listed.
        """
        reading: dict[str, Any] = {
            "format": format,
            "mapping": mapping,
            "quarantine": quarantine,
            "skip_bad": skip_bad,
        }
        # Named where they are used, so that logs without them keep their place.
        reading |= {"untrained": list(untrained)} if untrained else {}
        reading |= {"keep_masked": True} if keep_masked else {}
        reading |= {"max_unpacked": max_unpacked} if max_unpacked is not None else {}
        reading |= {"max_nesting": max_nesting} if max_nesting is not None else {}
        if rewards is not None:
            digests = [digest for _, digest in source_digests([rewards])]
            reading["rewards"] = digests[0] if len(digests) == 1 else digests
        self._progress("read", 0, 0)

        def build(folder: Path) -> None:
            report = import_to(
                folder / LOG_FILE,
                sources,
                format=format,
                mapping=mapping,
                quarantine=folder / QUARANTINE_FILE if quarantine else None,
                skip_bad=skip_bad,
                untrained=untrained,
                keep_masked=keep_masked,
                max_unpacked=max_unpacked,
                max_nesting=max_nesting,
                rewards=rewards,
                engine=engine,
                progress=self._progress,
            )
            text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
            (folder / REPORT_FILE).write_text(text, encoding="utf-8")

        files = [list(file) for file in source_digests(sources)]
        return StoredLog(self._artefact("log", "", {"files": files, **reading}, build))

    @property
    def vectors(self) -> VectorCache:
        """Vectors of texts, kept in the workspace."""
        from workbench.states.embedders.vector_cache import VectorCache

        return VectorCache(self._workspace.root / "embeddings")

    def index_store(
        self, key: str, states: States, counts: Index, build: Callable[[], NeighbourIndex]
    ) -> NeighbourIndex:
        """The neighbour index of a log's states; see `space.IndexStore`."""
        from workbench.states.neighbours import NeighbourIndex

        texts = digest([list(states.text), counts.tolist()])
        folder = self._artefact(
            "index",
            "",
            {"vectors": key, "texts": texts},
            lambda folder: build().save(folder / INDEX_FILE),
        )
        return NeighbourIndex.load(folder / INDEX_FILE)

    def projection(self, key: str, space: Space, build: Callable[[], Real]) -> Real:
        """The states of a log in the plane; see `states.projection.Store`.

        Args:
            key: How they are projected.
            space: The log with its embedder.
            build: Projects them.
        """
        states = space.log_states
        texts = digest([list(states.text), space.log_counts.tolist()])
        vectors = f"{space.embedder.key}-{space.state_text.key}"

        def write(folder: Path) -> None:
            np.save(folder / PROJECTION_FILE, build())

        folder = self._artefact(
            "projection", "", {"kind": key, "vectors": vectors, "texts": texts}, write
        )
        found: Real = np.load(folder / PROJECTION_FILE, allow_pickle=False)
        return found

    def credits(
        self,
        methods: Mapping[str, Method],
        space: Space,
        log: Path,
        engine: Engine | None = None,
    ) -> dict[str, Path]:
        """The files of the credits of some methods.

        Args:
            methods: By the name that each was asked for.
            space: Where they run.
            log: The log's file, which an engine's workers read.
            engine: What scores parts of the log; all of it is scored at once where None.
        """
        from workbench.methods.scoring import provenance, scored

        if engine is not None:
            return self._credits_in_parts(methods, space, log, engine)
        files = {}
        for name, method in methods.items():
            self._progress(f"score {name}", 0, 0)

            def score(name: str = name, method: Method = method) -> ScoredCredit:
                return scored(space, name, method).scored()

            files[name] = self._credit(provenance(space, name, method), score)
        return files

    def _credits_in_parts(
        self, methods: Mapping[str, Method], space: Space, log: Path, engine: Engine
    ) -> dict[str, Path]:
        from workbench.methods.scoring import provenance
        from workbench.workspace.in_parts import score_in_parts

        hidden = self._workspace.root / ".parts"
        made = {name: provenance(space, name, method) for name, method in methods.items()}
        missing = {
            name: method
            for name, method in methods.items()
            if not self._workspace.place("credit", *_key(made[name])).exists()
        }
        found = score_in_parts(
            log,
            space,
            missing,
            engine=engine,
            folder=hidden,
            cache=self.vectors.directory,
            progress=self._progress,
        )
        files = {
            name: self._credit(made[name], partial(found.__getitem__, name)) for name in methods
        }
        remove_folder(hidden, ignore_errors=True)
        return files

    def scored(self, log_sha256: str) -> dict[Path, dict[str, Any]]:
        """The credits of a log that lie here: file -> what made it, as in its manifest.

        Raises:
            ArtefactError: One is damaged.
        """
        manifests = sorted(self._workspace.root.glob(f"credit/*/{MANIFEST}"))
        found = {path.parent: read_artefact_manifest(path.parent)["inputs"] for path in manifests}
        return {
            folder / CREDIT_FILE: made
            for folder, made in found.items()
            if made["log"]["sha256"] == log_sha256
        }

    def _credit(self, made: Provenance, score: Callable[[], ScoredCredit]) -> Path:
        from workbench.log.credit import write_credit

        def build(folder: Path) -> None:
            write_credit(folder / CREDIT_FILE, score())

        return self._artefact("credit", *_key(made), build) / CREDIT_FILE

    def export(
        self,
        log: pl.DataFrame,
        credit: ScoredCredit,
        target: Exporter,
        options: Mapping[str, Any],
        decided: Mapping[str, Any],
        *,
        space: Callable[[], Space],
        path: Path,
        engine: Engine | None = None,
    ) -> Path:
        """The folder of the batch.

        Args:
            log: A validated step log.
            credit: Its credit.
            target: Who writes.
            options: The target's own.
            decided: All that decides the files besides log and credit; see `Exporter.rehearse`.
            space: The log's space, for a filter that asks for other methods.
            path: The log's file, which an engine's workers read.
            engine: What writes parts of the batch, where it can be divided; all of it is written
                at once where None.

        Raises:
            EmptyBatchError: The batch would train nothing.
        """
        from workbench.exporters import read_manifest
        from workbench.workspace.chosen import for_export
        from workbench.workspace.export_to import divisible, export_in_parts
        from workbench.workspace.partitions import narrow

        self._progress("export", 0, 0)
        chosen = for_export(log, credit, self._workspace.root, options, space)
        by = [chosen[name].to_list() for name in chosen.columns if name not in log.columns]
        made_from = [credit.provenance.to_dict(), decided, *by]
        name = f"{target.name}-{digest(made_from)[:16]}"
        folder = self._workspace.root / "exports" / name
        if folder.exists():
            read_manifest(folder)
        else:
            with staging_folder(self._workspace.root / name) as staging:
                made = staging / "batch"
                if engine is None or not divisible(target, target.options_of(options)):
                    target(chosen, credit, made, **options)
                else:
                    export_in_parts(
                        path,
                        narrow(path),
                        credit,
                        target,
                        made,
                        options=options,
                        engine=engine,
                        progress=self._progress,
                    )
                # Another process that makes the same batch may have finished first.
                with atomic_folder(folder) as new:
                    made.replace(new)
            self.built.append(folder.relative_to(self._workspace.root))
        return folder


def _key(made: Provenance) -> tuple[str, dict[str, Any]]:
    """Label and inputs of a credit's artefact."""
    return made.name.replace(":", "-"), made.to_dict()
