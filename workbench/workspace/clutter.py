"""Disk use of the workbench: what lies where, how large it is, and what can go."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.files import remove_folder
from workbench.temporary import maker_lives
from workbench.workspace.opened import user_folder

REMOVABLE: Mapping[str, str] = {
    "embeddings": "vectors of states and their indexes, made again when they are asked for",
    "uploads": "files that were uploaded into the app; the logs read from them stay",
    "leftovers": "unfinished files of processes that were killed, older than an hour",
}
"""Kinds that can be removed without loss of anything but time, each with what it is."""

KEPT: Mapping[str, str] = {
    "log": "step logs",
    "credit": "credits",
    "exports": "batches",
    "marks": "people's marks on steps",
}
"""Kinds that are only listed: a person removes them with their folder."""

_FOLDERS = {"embeddings": "embeddings", "index": "embeddings", "uploads": "uploads"} | {
    name: name for name in KEPT
}
_OLD = 3600.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder or file, and what it is.

    Args:
        kind: A key of `REMOVABLE` or `KEPT`.
        path: Where it is.
        files: How many files it holds.
        bytes: Their size.
    """

    kind: str
    path: Path
    files: int
    bytes: int


def places(workspaces: Sequence[Path] = (), *, now: float | None = None) -> list[Place]:
    """Contents of the user's folder, the app's, the current one and some workspaces.

    Of the current folder only leftovers are listed.

    Args:
        workspaces: Folders that `run` made.
        now: Seconds since 1970, to tell the age of leftovers by; this moment by default.
    """
    home = user_folder()
    here = time.time() if now is None else now
    roots = dict.fromkeys(path.resolve() for path in (home, home / "app", *workspaces))
    found = [place for root in roots for place in _of_root(root)]
    hidden = dict.fromkeys(path for root in (*roots, Path.cwd()) for path in _leftovers(root, here))
    return [*found, *(_place("leftovers", path) for path in hidden)]


def _of_root(root: Path) -> Iterator[Place]:
    for name, kind in _FOLDERS.items():
        if (root / name).is_dir():
            yield _place(kind, root / name)


def _leftovers(root: Path, now: float) -> Iterator[Path]:
    """Hidden temporary files and folders, those of a folder and of the folders right below it.

    Old by what was last written anywhere in them, so that a long run keeps its own; and never those
    of a process that lives, whatever the clock says.
    """
    for pattern in (".*.part", ".*.parts", ".parts"):
        for path in sorted([*root.glob(pattern), *root.glob(f"*/{pattern}")]):
            if not maker_lives(path) and now - _last_written(path) > _OLD:
                yield path


def _last_written(path: Path) -> float:
    """Seconds since 1970; of what vanishes meanwhile the rest counts."""
    times = [0.0]
    for each in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            times.append(each.stat().st_mtime)
    return max(times)


def _place(kind: str, path: Path) -> Place:
    inside = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in inside)
    return Place(kind=kind, path=path, files=len(inside), bytes=size)


def remove(found: Iterable[Place], kinds: Iterable[str]) -> list[Place]:
    """Remove what is of these kinds, all of them keys of `REMOVABLE`.

    Returns:
        What is gone.
    """
    chosen = set(kinds) & set(REMOVABLE)
    gone = [place for place in found if place.kind in chosen]
    for place in gone:
        if place.path.is_file():
            place.path.unlink()
        else:
            remove_folder(place.path)
    return gone
