"""Opened log: a step log with its source, and the space in which methods score it.

The command line, the app, the pipeline, the benchmarks and `workbench.open_log` all go this way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.errors import ParameterError
from workbench.files import digest, file_digest, read_artefact_manifest
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.readers import Imported, import_log
from workbench.readers.remote import is_remote
from workbench.states.embedders.registry import DEFAULT_EMBEDDER, Embedder
from workbench.wording import Progress, silent
from workbench.workspace.artefacts import LOG_FILE, Artefacts, StoredLog

if TYPE_CHECKING:
    from workbench.states.space import Space
    from workbench.states.text import StateText


def user_folder() -> Path:
    """Folder of all that has no workspace, unless the user sets another."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "trajectory-workbench"


def user_cache() -> Path:
    """Folder of vectors outside a workspace, unless the user sets another."""
    return user_folder() / "embeddings"


@dataclass(frozen=True, kw_only=True)
class OpenedLog:
    """A validated step log, where it came from, and where its vectors are kept.

    Args:
        frame: The step log.
        files: What it was read from; empty for a table.
        rewards: The file that rewards were taken from, where they are not the log's own.
        stored_sha256: Digest of what was read, where that is known already.
        digests: Address -> what stands for the content of a file there, as of `source_digests`.
        artefacts: Of the workspace that keeps vectors and index; None for a log without one.
        cache: Folder for vectors where there is no workspace; the user's own by default.
    """

    frame: pl.DataFrame
    files: tuple[str, ...] = ()
    rewards: str | None = None
    stored_sha256: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    artefacts: Artefacts | None = None
    cache: Path | None = None

    @classmethod
    def of_import(cls, imported: Imported, cache: str | Path | None = None) -> OpenedLog:
        """A log as `import_log` gave it; that of a workspace has its vectors there.

        Args:
            imported: The log.
            cache: Folder for vectors, in place of the workspace's or the user's.
        """
        files = tuple(imported.report.files)
        stored = StoredLog.at(files[0]) if len(files) == 1 and cache is None else None
        return cls(
            frame=imported.validated.log,
            files=files,
            rewards=imported.report.rewards,
            digests=imported.digests,
            artefacts=Artefacts(stored.workspace) if stored else None,
            cache=Path(cache) if cache else None,
        )

    @classmethod
    def of_stored(
        cls,
        log: StoredLog,
        artefacts: Artefacts | None = None,
        sha256: str | None = None,
        *,
        cache: str | Path | None = None,
    ) -> OpenedLog:
        """A log of a workspace, which was validated when it was made.

        Args:
            log: The log.
            artefacts: Of the workspace that keeps its vectors, where that is another one.
            sha256: Digest that its credits name; that of its own file by default.
            cache: Folder for vectors, in place of the workspace's.
        """
        return cls(
            frame=log.frame,
            files=(str(log.path),),
            stored_sha256=sha256 or log.sha256,
            artefacts=None if cache else artefacts or Artefacts(log.workspace),
            cache=Path(cache) if cache else None,
        )

    @classmethod
    def of_table(cls, table: Any, cache: str | Path | None = None) -> OpenedLog:
        """A log out of memory, validated.

        Args:
            table: A polars frame, or anything that polars makes one of: a pandas or Arrow table,
                a `datasets.Dataset`.
            cache: Folder for vectors, in place of the user's.

        Raises:
            LogError: It breaks a rule of the step log; every problem is listed.
            ParameterError: It is no table.
        """
        frame = _frame(table)
        return cls(frame=validate(frame).log, cache=Path(cache) if cache else None)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the one file that was read, of the list of digests, or of the table."""
        if self.stored_sha256 is not None:
            return self.stored_sha256
        files = (*self.files, *([self.rewards] if self.rewards else []))
        if not files or any(is_remote(file) and file not in self.digests for file in files):
            return self.steps.sha256
        digests = [self.digests.get(file) or file_digest(Path(file)) for file in files]
        return digests[0] if len(digests) == 1 else digest(digests)

    @cached_property
    def steps(self) -> Steps:
        """The scored steps.

        Raises:
            LogError: No trajectory can be scored.
        """
        return Steps.from_log(self.frame)

    @cached_property
    def embedder(self) -> str:
        """Name of the embedder of all credits of its workspace; else the default.

        Raises:
            ArtefactError: A credit of the workspace is damaged.
        """
        made = self.artefacts.scored(self.sha256).values() if self.artefacts else ()
        names = {credit["embedder"]["name"] for credit in made if credit.get("embedder")}
        return names.pop() if len(names) == 1 else DEFAULT_EMBEDDER

    def space(
        self,
        embedder: str | Embedder | None = None,
        state_text: StateText | None = None,
        progress: Progress = silent,
        *,
        allow_unchained: bool = False,
    ) -> Space:
        """The space of the scored steps; nothing is embedded before a method asks.

        Args:
            embedder: Representation for methods that need similarities; that of the workspace by
                default.
            state_text: What text of a step stands for its state.
            progress: Told how many texts are encoded.
            allow_unchained: Let methods run that ask which steps follow each other, where a reader
                had to guess that.
        """
        from workbench.states.embedders.vector_cache import VectorCache
        from workbench.states.space import Space

        artefacts = self.artefacts
        return Space(
            self.steps,
            embedder=embedder or self.embedder,
            state_text=state_text,
            cache=artefacts.vectors if artefacts else VectorCache(self.cache or user_cache()),
            index_store=artefacts.index_store if artefacts else None,
            progress=progress,
            log_sha256=lambda: self.sha256,
            allow_unchained=allow_unchained,
        )


def stored_log(sources: Sequence[str | Path], reading: Mapping[str, Any]) -> StoredLog | None:
    """The log of a workspace that is asked for as it is, so that it need not be read again.

    Args:
        sources: What is read.
        reading: How, as for `import_log`; a log that is read otherwise is another one.

    Returns:
        The log, whole; None for any other file.

    Raises:
        ArtefactError: It is damaged.
    """
    if len(sources) != 1 or is_remote(sources[0]) or any(reading.values()):
        return None
    workspace = sorted(Path(sources[0]).glob(f"log/*/{LOG_FILE}"))
    found = StoredLog.at(workspace[0] if len(workspace) == 1 else sources[0])
    if found is not None:
        read_artefact_manifest(found.folder)
    return found


def _frame(table: Any) -> pl.DataFrame:
    """Anything with columns as a polars frame."""
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, pl.DataFrame):
        return table
    # A `datasets.Dataset` hands its Arrow table on; pandas and Arrow tables stream themselves.
    arrow = getattr(table, "with_format", None)
    given = arrow("arrow")[:] if arrow is not None else table
    if not any(hasattr(given, name) for name in ("__arrow_c_stream__", "columns")) and not (
        isinstance(given, Mapping)
    ):
        raise ParameterError(
            f"a log is a path, several paths or a table, got {type(table).__name__}. "
            "Hint: polars, pandas and Arrow tables, a datasets.Dataset, or a dict of columns"
        )
    try:
        frame = pl.DataFrame(given)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ParameterError(f"the table cannot be read: {error}") from error
    return frame


def open_log(
    source: Any,
    *,
    embedder: str | Embedder | None = None,
    state_text: StateText | None = None,
    cache: str | Path | None = None,
    format: str | None = None,
    mapping: Mapping[str, Any] | None = None,
    untrained: Sequence[str] = (),
    keep_masked: bool = False,
    max_unpacked: int | None = None,
    max_nesting: int | None = None,
    rewards: str | Path | None = None,
    progress: Progress = silent,
    allow_unchained: bool = False,
) -> Space:
    """Read and validate a log and open it for scoring; embed nothing before a method asks.

    Args:
        source: A file, folder or glob, several of one format, or the name of a bundled log; or a
            step log in memory: a polars, pandas or Arrow table or a `datasets.Dataset`.
        embedder: Representation for methods that need similarities; by default that of the
            credits of a workspace, else all-MiniLM-L6-v2.
        state_text: What text of a step stands for its state.
        cache: Folder for vectors; the workspace's or the user's own by default.
        format: Reader; recognised by content where None. Files only.
        mapping: Column mapping. Files only.
        untrained: `finish_reason=REASON` of trajectories that count in their group, but are not
            trained. Files only.
        keep_masked: Count and train the trajectories that the log masks. Files only.
        max_unpacked: Bytes to which a compressed file may unpack. Files only.
        max_nesting: Levels to which a record may nest. Files only.
        rewards: File of rewards by trajectory, as for `import_log`. Files only.
        progress: Told how many texts are encoded.
        allow_unchained: Let methods run that ask which steps follow each other, where a reader had
            to guess that; their credit has a note that says so.

    Raises:
        LogError: The log breaks a rule; every problem is listed.
        ParameterError: `source` is neither a path nor a table.
    """
    given = [source] if isinstance(source, str | Path) else source
    if isinstance(given, list | tuple) and all(isinstance(item, str | Path) for item in given):
        reading: dict[str, Any] = {
            "format": format,
            "mapping": mapping,
            "untrained": untrained,
            "keep_masked": keep_masked,
            "max_unpacked": max_unpacked,
            "max_nesting": max_nesting,
            "rewards": rewards,
        }
        stored = stored_log(given, reading)
        if stored is not None:
            opened = OpenedLog.of_stored(stored, cache=cache)
        else:
            opened = OpenedLog.of_import(import_log(given, **reading), cache)
    else:
        opened = OpenedLog.of_table(source, cache)
    return opened.space(embedder, state_text, progress, allow_unchained=allow_unchained)
