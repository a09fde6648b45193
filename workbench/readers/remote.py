"""Files of an object store or another machine, by address such as `s3://bucket/run/*.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import MissingDependencyError
from workbench.readers.base import Diagnostics

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_remote(path: str | Path) -> bool:
    """True if this is an address rather than a path."""
    return _ADDRESS.match(str(path)) is not None


def fetch(address: str, folder: Path, diagnostics: Diagnostics) -> Iterator[tuple[Path, str, bool]]:
    """Copy the files that an address means into a folder, as they lie there.

    Args:
        address: Of a file, a folder, or a pattern.
        folder: An empty folder.
        diagnostics: Gets what is not there.

    Yields:
        The copy, the address of the original, and whether it was found in a folder.

    Raises:
        MissingDependencyError: The package that reaches this kind of address is not installed.
        OSError: The store refuses.
    """
    system, path = _opened(address)
    with _store_errors():
        if any(mark in path for mark in "*?["):
            found, is_folder = sorted(system.glob(path)), False
            found = [item for item in found if system.isfile(item)]
            rule = "no file matches the pattern"
        elif system.isdir(path):
            found, is_folder = sorted(system.find(path)), True
            rule = "the folder holds no file"
        else:
            found, is_folder = [path] if system.exists(path) else [], False
            rule = "does not exist"
    if not found:
        diagnostics.problem("files", rule, address)
    for item in found:
        parts = PurePosixPath(str(item).lstrip("/")).parts
        if is_folder and any(part.startswith((".", "_")) for part in parts):
            continue
        copy = folder.joinpath(*parts)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with _store_errors():
            system.get_file(item, str(copy))
        yield copy, str(system.unstrip_protocol(item)), is_folder


@contextmanager
def _store_errors() -> Iterator[None]:
    """Make an OSError of what goes wrong in a store: each store's package has its own errors."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _opened(address: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise MissingDependencyError(
            f"{address} cannot be opened: {error}. "
            "Hint: pip install 'trajectory-workbench[remote]', or copy the files here"
        ) from error
    return system, str(path)
