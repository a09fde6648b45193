"""Vectors on disk, found by the text that they were made from.

A cache only ever gains files: each flush writes one shard under the name of its own content, so
two processes that write at once cannot harm each other, and a killed one leaves no half shard.
"""

from __future__ import annotations

import hashlib
import io
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ArtefactError
from workbench.files import atomic_file


class Entry(NamedTuple):
    """The vector of one text, (D,) float32, and from how many windows it was pooled."""

    vector: NDArray[np.float32]
    windows: int


def text_hash(text: str) -> bytes:
    """SHA-256 of the text in UTF-8.

    A lone surrogate, which JSON allows and UTF-8 does not, is kept as its own three bytes.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class VectorCache:
    """Shards of vectors below `<directory>/<embedder key>/`, named by the SHA-256 of their bytes.

    Args:
        directory: The folder; made when first written to.
    """

    directory: Path

    def load(self, key: str, hashes: Iterable[bytes]) -> dict[bytes, Entry]:
        """The stored vectors of some texts; they stay on disk until they are looked at.

        Args:
            key: The embedder's key.
            hashes: Of the texts.

        Returns:
            From the text's hash to its vector, for those that are stored.

        Raises:
            ArtefactError: A shard is not what its name says.
        """
        wanted = set(hashes)
        heads = np.array([_head(value) for value in wanted], dtype=np.uint64)
        entries: dict[bytes, Entry] = {}
        for path in sorted((self.directory / key).glob("*.npy")):
            shard = _mapped(path)
            stored, windows = np.ascontiguousarray(shard["hash"]), shard["windows"]
            for at in np.flatnonzero(np.isin(stored[:, :8].copy().view(np.uint64), heads)).tolist():
                if (name := stored[at].tobytes()) in wanted:
                    entries[name] = Entry(shard["vector"][at], int(windows[at]))
        return entries

    def append(self, key: str, entries: Mapping[bytes, Entry]) -> None:
        """Write one shard; under its final name it is whole.

        Args:
            key: The embedder's key.
            entries: From the text's hash to its vector; nothing is written for none.
        """
        if not entries:
            return
        width = len(next(iter(entries.values())).vector)
        shard = np.zeros(len(entries), dtype=_shard_type(width))
        hashes = np.frombuffer(b"".join(entries), dtype=np.uint8)
        shard["hash"] = hashes.reshape(-1, 32)
        shard["windows"] = [entry.windows for entry in entries.values()]
        shard["vector"] = np.stack([entry.vector for entry in entries.values()])
        stream = io.BytesIO()
        np.save(stream, shard, allow_pickle=False)
        content = stream.getvalue()
        with atomic_file(self.directory / key / f"{_name(content)}.npy") as temporary:
            temporary.write_bytes(content)


def _shard_type(width: int) -> np.dtype[np.void]:
    return np.dtype([("hash", "u1", (32,)), ("windows", "<i4"), ("vector", "<f4", (width,))])


def _head(value: bytes) -> int:
    """The first eight bytes of a hash, as a number of this machine."""
    return int.from_bytes(value[:8], sys.byteorder)


def _name(content: bytes) -> str:
    return _short(hashlib.sha256(content))


def _short(digest: hashlib._Hash) -> str:
    return digest.hexdigest()[:16]


def _mapped(path: Path) -> NDArray[np.void]:
    """A shard, of which only the pages that are looked at are in memory."""
    with path.open("rb") as file:
        name = _short(hashlib.file_digest(file, "sha256"))
    if name != path.stem:
        raise ArtefactError(
            f"{path}: damaged, its content has the digest {name}. "
            f"Hint: `rm {shlex.quote(str(path))}`; its texts are encoded again in the next run"
        )
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
