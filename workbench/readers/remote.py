"""Files of an object store or another machine, by address such as `s3://bucket/run/*.jsonl`.

A Parquet file stays there and is read in places (`originals`); any other one is copied, since its
reader needs it whole or from its beginning to its end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import MissingDependencyError
from workbench.readers.addresses import without_secrets
from workbench.readers.base import Diagnostics
from workbench.readers.originals import Store
from workbench.readers.stores import store_errors, version_digest, version_of

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WEB = ("http://", "https://")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file of an address, as it is here.

    Args:
        path: Its copy, or what stands in for a file that stays where it is.
        name: The address of the original, without secrets.
        from_folder: Whether it was found in a folder.
        store: Where the original is.
        digest: Of its version, as of `version_digest`.
    """

    path: Path
    name: str
    from_folder: bool
    store: Store
    digest: str | None


def is_remote(path: str | Path) -> bool:
    """True if this is an address rather than a path."""
    return _ADDRESS.match(str(path)) is not None


def fetch(address: str, folder: Path, diagnostics: Diagnostics) -> Iterator[Fetched]:
    """Copy the files that an address means into a folder; Parquet files get a stand-in there.

    Args:
        address: Of a file, a folder, or a pattern.
        folder: An empty folder.
        diagnostics: Gets what is not there, and what could not be read in places.

    Raises:
        MissingDependencyError: The package that reaches this kind of address is not installed.
        OSError: The store refuses.
    """
    store, found, is_folder = _found(address, folder, diagnostics)
    store.remember()
    for item in found:
        name = without_secrets(str(store.system.unstrip_protocol(item)))
        copy = folder.joinpath(*_parts(item, name))
        copy.parent.mkdir(parents=True, exist_ok=True)
        with store_errors():
            version = version_of(store.system, item)
            if not store.stand_in(item, copy, name, version, diagnostics):
                store.system.get_file(item, str(copy))
        yield Fetched(
            path=copy,
            name=name,
            from_folder=is_folder,
            store=store,
            digest=version_digest(name, version),
        )


def version_digests(address: str, diagnostics: Diagnostics) -> dict[str, str]:
    """The files that an address means and the digests of their versions, without reading them.

    Args:
        address: Of a file, a folder, or a pattern.
        diagnostics: Gets what is not there, and files of which the store tells no version.

    Raises:
        MissingDependencyError: The package that reaches this kind of address is not installed.
        OSError: The store refuses.
    """
    store, found, _ = _found(address, Path(), diagnostics)
    told = {}
    for item in found:
        name = without_secrets(str(store.system.unstrip_protocol(item)))
        with store_errors():
            digest = version_digest(name, version_of(store.system, item))
        if digest is None:
            rule = "tells neither an ETag nor when it changed: a later version would not be noticed"
            hint = f"import it first: workbench import {name} -o log.parquet"
            diagnostics.problem("files", rule, name, hint)
        else:
            told[name] = digest
    return told


def _found(address: str, folder: Path, diagnostics: Diagnostics) -> tuple[Store, list[str], bool]:
    """The store of an address, the files there that it means, and whether it is a folder's."""
    system, path = _opened(address)
    store = Store(system=system, folder=folder)
    is_folder = False
    system.invalidate_cache()  # what was listed before, in a process that goes on for long
    with store_errors():
        if any(mark in path for mark in ("*[" if address.startswith(_WEB) else "*?[")):
            found = [item for item in sorted(system.glob(path)) if system.isfile(item)]
            rule = "no file matches the pattern"
        elif store.begins_as_parquet(path):  # asked first: a web server sends a file to tell more
            found, rule = [path], ""
        elif system.isdir(path):
            found, is_folder = sorted(system.find(path)), True
            rule = "the folder holds no file"
        else:
            found = [path] if system.exists(path) else []
            rule = "does not exist"
    if is_folder:
        found = [item for item in found if not _is_hidden(item, path)]
    if not found:
        diagnostics.problem("files", rule, without_secrets(address))
    return store, found, is_folder


def _is_hidden(item: str, folder: str) -> bool:
    """True if a file lies in a hidden folder of this one, or is hidden itself."""
    inner = item.lstrip("/").removeprefix(folder.strip("/"))
    return any(part.startswith((".", "_")) for part in inner.split("/"))


def _parts(item: str, name: str) -> tuple[str, ...]:
    """The place of a file's copy in its folder: under the names of the folders that it is in.

    What a web address asks for behind `?` tells files apart, and is too long for a name.
    """
    place = name.partition("://")[2] or name
    asked = ""
    if item.startswith(_WEB):
        place, _, asked = place.partition("?")
    own = (hashlib.sha256(item.encode()).hexdigest()[:12],) if asked else ()
    return (*own, *(part for part in PurePosixPath(place).parts if part not in ("/", "..")))


def _opened(address: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
    except (ImportError, ValueError) as error:
        reason = without_secrets(str(error))
        raise MissingDependencyError(
            f"{without_secrets(address)} cannot be opened: {reason}. "
            "Hint: pip install 'trajectory-workbench[remote]', or copy the files here"
        ) from None
    return system, str(path)
