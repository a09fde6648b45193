"""Contents of folders."""

from __future__ import annotations

from pathlib import Path


def names(folder: Path) -> list[str]:
    """The names in it, sorted."""
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    """Path below the folder -> bytes, of every file in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
