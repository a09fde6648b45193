"""Export folders: finished ones with a manifest, written whole or not at all.

The manifest is written last and carries the digest of every other file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from workbench.errors import ArtefactError, ParameterError
from workbench.exporters.manifest import Manifest
from workbench.files import MANIFEST, atomic_folder, file_digest


def write_export(
    directory: Path,
    write: Callable[[Path], Manifest],
    check: Callable[[Path, Manifest], None],
    *,
    overwrite: bool = False,
) -> Manifest:
    """Make an export folder.

    Args:
        directory: Its place. An empty folder may stand there already.
        write: Writes all files but the manifest into the folder it is given, and returns the
            manifest without `files`.
        check: Reads the finished folder back; raises what is wrong with it.
        overwrite: Replace a finished export. A folder that holds anything else is never replaced.

    Returns:
        The manifest as written.

    Raises:
        ParameterError: Something that may not be replaced stands in the place.
    """
    directory = Path(directory).resolve()
    require_place(directory, overwrite=overwrite)
    with atomic_folder(directory, replace=True) as new:
        manifest = write(new)
        files = {path.name: _entry(path) for path in sorted(new.iterdir())}
        manifest = dataclasses.replace(manifest, files=files)
        (new / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        check(new, read_manifest(new))
    return manifest


def require_place(directory: Path, *, overwrite: bool) -> None:
    """Refuse a place where something stands that an export may not replace.

    Raises:
        ParameterError: With what stands there and what to do.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ParameterError(f"{directory} is a file. Hint: name a folder to make")
    found = {path.name for path in directory.iterdir()}
    if not found:
        return
    try:
        own = {MANIFEST, *_manifest(directory).files}
    except ArtefactError as error:
        raise ParameterError(
            f"{directory} is not empty and not a finished export. Hint: name another folder"
        ) from error
    foreign = sorted(found - own)
    if foreign:
        raise ParameterError(
            f"{directory} holds an export and also {foreign[:3]}, which would be lost. "
            "Hint: name another folder"
        )
    if not overwrite:
        raise ParameterError(
            f"{directory} holds a finished export. Hint: --overwrite replaces it, or name another "
            "folder"
        )


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an export whose files are all as it says.

    Raises:
        ArtefactError: There is none, a file is missing, or a digest is not the file's.
    """
    directory = Path(directory)
    manifest = _manifest(directory)
    for name, entry in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise ArtefactError(f"{path} is missing; {MANIFEST} lists it")
        found = _entry(path)
        if found != entry:
            raise ArtefactError(
                f"{path} is not the file that {MANIFEST} describes: it has {found['bytes']} bytes "
                f"and sha256 {found['sha256']}, expected {entry['bytes']} and {entry['sha256']}. "
                "Hint: export again"
            )
    return manifest


def _manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST
    if not path.is_file():
        raise ArtefactError(f"{directory} has no {MANIFEST}, so it is not a finished export")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ArtefactError(f"{path} is not text: {error}. Hint: export again") from error
    return Manifest.from_json(text, name=str(path))


def _entry(path: Path) -> dict[str, str | int]:
    return {"sha256": file_digest(path), "bytes": path.stat().st_size}
