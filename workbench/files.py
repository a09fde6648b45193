"""Files on disk: atomic writes, digests, credit files, and the workspace folder.

Nothing unfinished ever bears a final name: files and folders are written under a temporary name
beside their place and renamed. What is there is checked against its manifest before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import ArtefactError, ParameterError

PACKAGE = "trajectory-workbench"
MANIFEST = "manifest.json"
METADATA_KEY = "workbench"


def package_version() -> str:
    """Version of the installed workbench; part of every artefact's hash."""
    return version(PACKAGE)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, the same text for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value, as hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` and renames it when the block ends without an error.

    Raises:
        ParameterError: `path` is a folder.
    """
    if path.is_dir():
        raise ParameterError(f"{path} is a folder. Hint: name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """The same for a folder; a folder that is there already stays, and the new one is dropped.

    Artefacts are named by what made them, so a folder that another process finished first is equal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    """Permissions that new files do not get; mkstemp makes private ones."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_artefact_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes `manifest.json` with the digest of every other file of the folder."""
    files = {
        file.relative_to(folder).as_posix(): file_digest(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / MANIFEST
    }
    text = json.dumps({**content, "files": files}, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_artefact_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artefact of a workspace whose files are all as it says.

    Raises:
        ArtefactError: No manifest, or a file is missing or has changed; the file is named.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = manifest["files"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{path} is missing or damaged: {error}. {_mend(folder)}") from error
    for name, expected in files:
        file = folder / name
        if not file.is_file():
            raise ArtefactError(f"{file} is missing. {_mend(folder)}")
        found = file_digest(file)
        if found != expected:
            raise ArtefactError(
                f"{file} is damaged: its SHA-256 is {found}, its manifest says {expected}. "
                f"{_mend(folder)}"
            )
    return manifest


def _mend(folder: Path) -> str:
    return f"Hint: remove {folder} and run again to have it made anew"


def write_credit(path: Path, table: pl.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Writes a credit table with what made it in the file's metadata, under `workbench`."""
    metadata = {METADATA_KEY: canonical_json(provenance)}
    with atomic_file(path) as temporary:
        table.write_parquet(temporary, compression="zstd", metadata=metadata)


def read_credit(path: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A credit table and what made it.

    Raises:
        ArtefactError: The file is missing, not Parquet, or was not written by `write_credit`.
    """
    try:
        metadata = pl.read_parquet_metadata(path)
        table = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ArtefactError(f"{path} cannot be read as a credit file: {error}") from error
    if METADATA_KEY not in metadata or "advantage" not in table.columns:
        raise ArtefactError(f"{path} is no credit file. Hint: `workbench score LOG -m METHOD -o …`")
    return table, json.loads(metadata[METADATA_KEY])


@dataclass(frozen=True)
class Workspace:
    """A folder of artefacts, each named by the hash of what made it.

        log/<hash>/  embeddings/<embedder>/  index/<hash>/  credit/<method>-<hash>/
        exports/<target>-<hash>/

    Args:
        root: The folder; made when first written to.
    """

    root: Path

    def artefact(
        self, kind: str, label: str, inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> tuple[Path, bool]:
        """The folder of an artefact, built only if it is not there whole.

        Args:
            kind: Sub-folder of the workspace.
            label: Readable part of the name; may be empty.
            inputs: All that decides the content; JSON-able.
            build: Writes the files into the folder it is given.

        Returns:
            The folder, and whether it was built now.

        Raises:
            ArtefactError: It is there, but damaged.
        """
        made_by = {"inputs": dict(inputs), "version": package_version()}
        name = digest(made_by)[:16]
        folder = self.root / kind / (f"{label}-{name}" if label else name)
        if folder.exists():
            read_artefact_manifest(folder)
            return folder, False
        with atomic_folder(folder) as temporary:
            build(temporary)
            write_artefact_manifest(temporary, made_by)
        return folder, True
