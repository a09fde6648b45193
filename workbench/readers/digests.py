"""Digests of what is read, by which a workspace knows that it has read the same before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.errors import LogError
from workbench.files import file_digest
from workbench.readers.base import Diagnostics
from workbench.readers.importing import subject_of
from workbench.readers.remote import is_remote, version_digests
from workbench.readers.sources import expand, store_refusals


def source_digests(paths: Sequence[str | Path]) -> list[tuple[str, str]]:
    """Name and digest of each file that paths and addresses mean, each once, in the order given.

    The digest of a file here is that of its content. A file at an address is not read for it: its
    digest is that of its address, its size and the mark that its store changes with its content, an
    ETag or else the time of its last change.

    Args:
        paths: Files, folders, glob patterns, and addresses of those.

    Raises:
        LogError: One means no file, a store refuses, or it tells no such mark.
    """
    diagnostics = Diagnostics()
    found: dict[str, tuple[str, str]] = {}
    for given in paths:
        if is_remote(given):
            with store_refusals(str(given)):
                told = version_digests(str(given), diagnostics)
            found |= {name: (name, digest) for name, digest in told.items()}
        else:
            for path in (source.path for source in expand([given], diagnostics, Path())):
                if (place := str(path.resolve())) not in found:
                    found[place] = (path.name, file_digest(path))
    if diagnostics.problems:
        raise LogError(subject_of(paths), diagnostics.problems)
    return [*found.values()]
