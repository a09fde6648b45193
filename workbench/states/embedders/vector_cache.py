"""Vectors on disk, found by the text that they were made from.

A cache only ever gains files: each flush writes one shard under the name of its own content, so
two processes that write at once cannot harm each other, and a killed one leaves no half shard.
"""

from __future__ import annotations

import hashlib
import io
import shlex
from collections.abc import Mapping
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

    def load(self, key: str) -> dict[bytes, Entry]:
        """Every stored vector of one embedder.

        Args:
            key: The embedder's key.

        Returns:
            From the text's hash to its vector; empty where nothing is stored.

        Raises:
            ArtefactError: A shard is not what its name says.
        """
        entries: dict[bytes, Entry] = {}
        for path in sorted((self.directory / key).glob("*.npy")):
            shard = _read_shard(path)
            # Kept as integers because NumPy strips trailing zero bytes from byte strings.
            joined = shard["hash"].tobytes()
            hashes = (joined[at : at + 32] for at in range(0, len(joined), 32))
            stored = map(Entry, shard["vector"], shard["windows"].tolist())
            entries.update(zip(hashes, stored, strict=True))
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


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _read_shard(path: Path) -> NDArray[np.void]:
    content = path.read_bytes()
    if _name(content) != path.stem:
        raise ArtefactError(
            f"{path}: damaged, its content has the digest {_name(content)}. "
            f"Hint: `rm {shlex.quote(str(path))}`; its texts are encoded again in the next run"
        )
    shard: NDArray[np.void] = np.load(io.BytesIO(content), allow_pickle=False)
    return shard
