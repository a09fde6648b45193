"""Files on disk: atomic writes, digests, canonical JSON, manifests.

Nothing unfinished ever bears a final name: files and folders are written under a temporary name
next to their place and renamed; the next run removes what a killed one left so. What is there is
checked against its manifest before it is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workbench.errors import ArtefactError, ParameterError, StorageError, WorkbenchError
from workbench.temporary import prefix_of, sweep

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


def file_digest(*paths: Path) -> str:
    """SHA-256 of the bytes of a file, or of several one behind the other, as hex."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: found)
    return found.hexdigest()


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
_NUMPY_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn a full disk into one message, whichever library met it, while `path` is written.

    Polars, faiss and numpy lose the number of the error and keep its words.

    Raises:
        StorageError: With the place and a hint.
    """
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        found = getattr(error, "errno", None)
        text = str(error)
        full = next((os.strerror(code) for code in _FULL if os.strerror(code) in text), None)
        if full is None and found not in _FULL and not _NUMPY_SHORT_WRITE.search(text):
            raise
        why = full or "the disk takes no more"
        raise StorageError(
            f"{path} cannot be written: {why}. Nothing unfinished was left under its name. Hint: "
            "free some space or name another place, and run the same command again; "
            "`workbench clean` shows what can go"
        ) from error


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Turn a place where nothing can be created into one message.

    Raises:
        StorageError: With the place and a hint.
    """
    try:
        with storing(path):
            yield
    except OSError as error:
        if error.errno not in _CLOSED:
            raise
        raise StorageError(
            f"{path} cannot be written: {error.filename or path}: {error.strerror}. "
            "Hint: name a place in a folder that you may write to"
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path` and rename it when the block ends without an error.

    Raises:
        ParameterError: `path` is a folder.
        StorageError: The disk is full, or nothing can be created there.
    """
    if path.is_dir():
        raise ParameterError(f"{path} is a folder. Hint: name a file")
    with _opening(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        handle, name = tempfile.mkstemp(prefix=prefix_of(path), suffix=".part", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with storing(path):
            yield temporary
        with _opening(path):
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other thread or process is inside such a block for `path`.

    The lock is a file `.<name>.lock` next to it, which stays; a process that dies lets go of it.
    """
    from filelock import FileLock  # only what writes into a workspace needs it

    lock = FileLock(path.parent / f".{path.name}.lock")
    with _opening(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a folder to fill and put it at `path` when the block ends without an error.

    A run that is killed leaves at most a hidden folder `.<name>.….part` next to the place, which
    the next one that writes there removes.

    Args:
        path: The place.
        replace: Whether a folder that stands there is replaced. If not it stays, and the new one
            is dropped: artefacts are named by what made them, so one that another process finished
            first is equal.

    Raises:
        StorageError: The disk is full, or nothing can be created there.
    """
    with _opening(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        # Two levels: what is renamed into place has the permissions of any new folder.
        holder = Path(tempfile.mkdtemp(prefix=prefix_of(path), suffix=".part", dir=path.parent))
    try:
        new = holder / "new"
        with storing(path):
            new.mkdir()
            yield new
        if replace:
            _swap(new, path, holder / "old")
        else:
            _put(new, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def remove_folder(path: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder with all in it; what a kill leaves of it does not bear its name.

    It is renamed first: an artefact without some of its files would be taken for a damaged one. A
    kill leaves at most a hidden folder `.<name>.….part` next to the place.

    Args:
        path: The folder; nothing is done where there is none.
        ignore_errors: Whether what cannot be removed stays without a word.

    Raises:
        StorageError: Nothing can be created or renamed there.
    """
    ignored = (OSError, StorageError) if ignore_errors else ()
    with suppress(FileNotFoundError, *ignored), _opening(path):
        if not path.exists():
            return
        sweep(path.parent)
        # Two levels, as above: no search for artefacts finds what lies on the second.
        holder = Path(tempfile.mkdtemp(prefix=prefix_of(path), suffix=".part", dir=path.parent))
        try:
            path.rename(holder / "old")
        finally:
            shutil.rmtree(holder, ignore_errors=ignore_errors)


@contextmanager
def staging_folder(output: Path) -> Iterator[Path]:
    """A hidden folder next to a file, for as long as it is being made.

    Raises:
        StorageError: The disk is full, or nothing can be created there.
    """
    with _opening(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        sweep(output.parent)
        made = tempfile.TemporaryDirectory(
            prefix=prefix_of(output), suffix=".parts", dir=output.parent
        )
    with made as folder, storing(output):
        yield Path(folder)


def _put(new: Path, path: Path) -> None:
    """Rename a folder into place unless one is there."""
    try:
        new.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def _swap(new: Path, path: Path, old: Path) -> None:
    """Rename a folder into place; what stood there comes back if that fails."""
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
    """Write `manifest.json` with the digest of every other file of the folder."""
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
    return f"Hint: remove {folder} and run again to have it rebuilt"
