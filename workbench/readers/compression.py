"""Plain local files out of what users have: compressed files, and files in UTF-16 or UTF-32."""

from __future__ import annotations

import codecs
import shutil
from pathlib import Path
from typing import IO, Any

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BLOCK = 2**20


def codec_of(head: bytes) -> str | None:
    """How a file is compressed, by its first bytes; None where it is not."""
    return next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)


def encoding_of(head: bytes) -> str | None:
    """The encoding that a byte order mark names, UTF-8 excepted; None where there is none."""
    return next((name for mark, name in _ENCODINGS.items() if head.startswith(mark)), None)


def unpacked(content: bytes, codec: str) -> bytes:
    """Compressed bytes as they were before.

    Raises:
        OSError: They are damaged or cut off.
    """
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(content), codec) as stream:
        return bytes(stream.read())


def unpack_file(source: Path, target: Path, codec: str) -> None:
    """Writes a compressed file as it was before, a block at a time.

    Raises:
        OSError: It is damaged or cut off.
    """
    import pyarrow as pa

    with pa.input_stream(str(source), compression=codec) as stream, target.open("wb") as file:
        shutil.copyfileobj(stream, file, _BLOCK)


def recode_file(source: Path, target: Path, encoding: str) -> None:
    """Writes a text file as UTF-8, a block at a time, its lines as they are.

    Raises:
        UnicodeError: It is not of that encoding.
    """
    reading: Any = source.open(encoding=encoding, newline="")
    file: IO[str]
    with reading as given, target.open("w", encoding="utf-8", newline="") as file:
        shutil.copyfileobj(given, file, _BLOCK)
