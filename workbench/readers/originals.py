"""Parquet files that stay at their address and are read in places, some megabytes at a time.

Readers are given paths. Where a file stays elsewhere, its path is that of a stand-in: a file that
begins as Parquet does and holds nothing else. What opens a Parquet file asks `original_of` first.
A note about the original lies next to that folder, so that a worker needs no more than the store,
whose credentials it finds where this process did.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.readers.addresses import without_secrets
from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import PARQUET
from workbench.readers.stores import open_file, store_errors, version_of

_LEAST = 2**16  # bytes of a request; fewer would take as long
_HELD = 32
_NO_PLACES = "Parquet files are copied whole where the server gives no parts of a file"


class AddressError(WorkbenchError):
    """A file at an address that can no longer be read, or is another one by now."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A file system with the files of an address, and a folder here for them.

    Args:
        system: The file system, fsspec's; another process that gets it connects by itself.
        folder: Where copies and stand-ins of its files lie.
    """

    system: Any
    folder: Path

    def remember(self) -> None:
        """Let this process find the originals of stand-ins, while their folder is there."""
        for folder in [folder for folder in _STORES if not folder.exists()]:
            del _STORES[folder]
        _STORES[self.folder] = self

    def begins_as_parquet(self, item: str) -> bool:
        """True if this is a file that begins as a Parquet file does."""
        try:
            if self.system.info(item)["type"] == "directory":
                return False
            with closing(open_file(self.system, item)) as file:
                return bool(file.read(len(PARQUET)) == PARQUET)
        except (FileNotFoundError, IsADirectoryError):
            return False

    def stand_in(
        self,
        item: str,
        path: Path,
        name: str,
        version: Mapping[str, Any],
        diagnostics: Diagnostics,
    ) -> bool:
        """Put a stand-in for a Parquet file that can be read in places.

        Args:
            item: The file, as the file system calls it.
            path: Where the stand-in goes.
            name: The file's address, without secrets.
            version: What it is, as of `version_of`.
            diagnostics: Gets a notice of a Parquet file that has to be copied.

        Returns:
            Whether there is one now. One request fetches a small file, and a file that does not end
            as Parquet does is damaged, or none.
        """
        size = version["size"]
        if (size is not None and size <= _LEAST) or not self.begins_as_parquet(item):
            return False
        if size is None:
            diagnostics.notice(_NO_PLACES, name)
            return False
        try:
            with closing(open_file(self.system, item)) as file:
                file.seek(size - len(PARQUET))
                is_whole = bool(file.read(len(PARQUET)) == PARQUET)
        except ValueError:  # as fsspec says that a server gives no parts
            diagnostics.notice(_NO_PLACES, name)
            return False
        if is_whole:
            told = self._told(path)
            told.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"item": item, "name": name, "version": dict(version)})
            told.write_text(text, encoding="utf-8")
            path.write_bytes(PARQUET)
        return is_whole

    def original(self, path: Path) -> Original | None:
        """The file that a path of the folder stands in for; None for a copy."""
        told = self._told(path)
        if not told.is_file():
            return None
        return Original(system=self.system, **json.loads(told.read_text(encoding="utf-8")))

    def _told(self, path: Path) -> Path:
        # Outside the folder: no file that is fetched can lie there.
        return Path(f"{self.folder}-originals") / path.relative_to(self.folder)


_STORES: dict[Path, Store] = {}


def original_of(path: Path) -> Original | None:
    """The file at an address that a path stands in for; None for any other file."""
    store = next((_STORES[folder] for folder in path.parents if folder in _STORES), None)
    return None if store is None else store.original(path)


@dataclass(frozen=True, kw_only=True)
class Original:
    """A Parquet file at an address.

    Args:
        system: The file system that it is in.
        item: What it is called there.
        name: Its address, without secrets.
        version: What it was when it was found, as of `version_of`.
    """

    system: Any
    item: str
    name: str
    version: dict[str, Any]

    @property
    def size(self) -> int:
        """Its bytes."""
        return int(self.version["size"])

    @contextmanager
    def opened(self) -> Iterator[Places]:
        """The file, to be read in places.

        Raises:
            AddressError: It cannot be reached, or changed since it was found.
        """
        self.require_unchanged()
        try:
            with store_errors():
                file = open_file(self.system, self.item)
        except OSError as error:
            raise self._unreachable("it was opened", error) from error
        with closing(file):
            yield Places(self, file)

    def require_unchanged(self) -> None:
        """Refuse a file that is no longer what was found: rows of two versions would be mixed.

        Raises:
            AddressError: It is another one now, or that cannot be told.
        """
        try:
            changed = self._change()
        except OSError as error:
            raise self._unreachable("its version was asked for", error) from error
        if changed is not None:
            raise changed

    def failure(self, during: str, error: Exception) -> AddressError:
        """The reason why a read failed: that the file changed, if it did, or else the connection.

        Args:
            during: When it failed, such as "row group 3 of 9 was read".
            error: What was raised.
        """
        with suppress(OSError):
            if (changed := self._change()) is not None:
                return changed
        return self._unreachable(during, error)

    def _change(self) -> AddressError | None:
        with store_errors():
            self.system.invalidate_cache(self.item)
            now = version_of(self.system, self.item)
        if now == self.version:
            return None
        return AddressError(
            f"{self.name} changed while it was read: {_words(self.version)} before, "
            f"{_words(now)} now. Hint: the same command again, once nothing writes there"
        )

    def _unreachable(self, during: str, error: Exception) -> AddressError:
        reason = without_secrets(f"{type(error).__name__}: {error}".rstrip(": "))
        return AddressError(
            f"{self.name} could not be read any further while {during} ({reason}): the connection "
            "broke, or the file is gone. No row is left out for that, so nothing is read. "
            "Hint: the same command again, or copy the file here first"
        )


class Places:
    """A file at an address as pyarrow reads one: each read is one request, for what is asked.

    A short read asks for `_LEAST` bytes, of which some are held for the next ones: columns are
    read in turns.

    Args:
        original: The file.
        file: The same, as its file system opens it.
    """

    def __init__(self, original: Original, file: Any) -> None:
        self._original = original
        self._file = file
        self._at = 0
        self._held: deque[tuple[int, bytes]] = deque(maxlen=_HELD)
        self.closed = False
        self.part_at: Callable[[int], str] = lambda _: "its footer"
        """The part of the file that a byte belongs to, in words."""

    def read(self, length: int | None = None) -> bytes:
        """The next bytes, fewer only at the end of the file.

        Raises:
            AddressError: They cannot be read.
        """
        left = max(self._original.size - self._at, 0)
        wanted = left if length is None or length < 0 else min(length, left)
        for start, held in self._held:
            if start <= self._at and self._at + wanted <= start + len(held):
                found = held[self._at - start :][:wanted]
                break
        else:
            found = self._fetched(min(max(wanted, _LEAST), left))[:wanted]
        self._at += wanted
        return found

    def _fetched(self, wanted: int) -> bytes:
        try:
            self._file.seek(self._at)
            found = bytes(self._file.read(wanted)) if wanted else b""
            if len(found) != wanted:
                raise EOFError(f"{len(found)} bytes came of {wanted}")
        except Exception as error:
            during = f"{self.part_at(self._at)} was read"
            raise self._original.failure(during, error) from error
        if wanted <= _LEAST:
            self._held.append((self._at, found))
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte; nothing is read."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._original.size}
        self._at = start[whence] + offset
        return self._at

    def tell(self) -> int:
        """The byte that is read next."""
        return self._at

    def close(self) -> None:
        """Nothing: who opened the file closes it."""
        self.closed = True


def _words(version: dict[str, Any]) -> str:
    return f"{version['size']} bytes, version {version['mark']}"
