"""Files on disk: atomic writes, digests, canonical JSON, manifests.

Nothing unfinished ever bears a final name: files and folders are written under a temporary name
beside their place and renamed. What is there is checked against its manifest before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workbench.errors import ArtefactError, ParameterError

PACKAGE = "trajectory-workbench"
MANIFEST = "manifest.json"


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
def locked(path: Path) -> Iterator[None]:
    """Waits until no other thread or process is inside such a block for `path`.

    The lock is a file `.<name>.lock` beside it, which stays; a process that dies lets go of it.
    """
    from filelock import FileLock  # only what writes into a workspace needs it

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f".{path.name}.lock"):
        yield


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Gives a folder to fill and puts it at `path` when the block ends without an error.

    A run that is killed leaves at most a hidden folder `.<name>.….part` beside the place.

    Args:
        path: The place.
        replace: Whether a folder that stands there is replaced. If not it stays, and the new one
            is dropped: artefacts are named by what made them, so one that another process finished
            first is equal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two levels: what is renamed into place has the permissions of any new folder.
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        new = holder / "new"
        new.mkdir()
        yield new
        if replace:
            _swap(new, path, holder / "old")
        else:
            _put(new, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _put(new: Path, path: Path) -> None:
    """Renames a folder into place unless one is there."""
    try:
        new.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def _swap(new: Path, path: Path, old: Path) -> None:
    """Renames a folder into place; what stood there comes back if that fails."""
    stood = path.exists()
    if stood:
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if stood:
            old.rename(path)
        raise


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
