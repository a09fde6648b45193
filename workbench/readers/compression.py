"""Plain local files out of what users have: compressed files, and files in UTF-16 or UTF-32."""

from __future__ import annotations

import codecs
import io
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from workbench.readers import bounds
from workbench.readers.bounds import BeyondBoundError

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BLOCK = 2**20

_LOOKS = 8  # so many times in `FREE` it is looked at how far the last bytes unpacked


def codec_of(head: bytes) -> str | None:
    """Codec of a file by its first bytes; None where it is not compressed."""
    return next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)


def encoding_of(head: bytes) -> str | None:
    """The encoding that a byte order mark names, UTF-8 excepted; None where there is none."""
    return next((name for mark, name in _ENCODINGS.items() if head.startswith(mark)), None)


def unpacked(content: bytes, codec: str, declared: int) -> bytes:
    """Compressed bytes as they were before, measured on the way.

    Args:
        content: The bytes.
        codec: "gzip", "zstd" or "deflate".
        declared: How many they say that they are; no more are taken.

    Raises:
        OSError: They are damaged or cut off, or more than declared.
        BeyondBoundError: They unpack to more than they may.
    """
    if declared > min(bounds.FREE, bounds.limit_of(len(content))):
        # Counted first, since what is refused must not fill the memory.
        for _ in _counted(_blocks(content, codec), len(content)):
            pass
    whole = bytearray()
    for block in _blocks(content, codec):
        whole += block
        if len(whole) > declared:
            raise OSError("it is larger than it says")
    return bytes(whole)


def unpack_file(source: Path, target: Path, codec: str) -> None:
    """Write a compressed file as it was before, a block at a time.

    Raises:
        OSError: It is damaged or cut off.
        BeyondBoundError: It unpacks to more than it may; then nothing is left of it.
    """
    size = source.stat().st_size
    try:
        with source.open("rb") as packed, target.open("wb") as file:
            suspect = _write(_counted(_file_blocks(packed, codec), size), packed, file)
        if suspect:
            # It was measured to the end and may be read.
            with source.open("rb") as packed, target.open("wb") as file:
                for block in _file_blocks(packed, codec):
                    file.write(block)
    except BeyondBoundError:
        target.unlink(missing_ok=True)
        raise


def _write(blocks: Iterator[bytes], packed: IO[bytes], file: IO[bytes]) -> bool:
    """Write blocks until what comes unpacks so far that it may be refused; whether that was so.

    The rest is measured then, and the disk is not filled.
    """
    total, mark, before = 0, 0, 0
    is_suspect = False
    for block in blocks:
        total += len(block)
        if not is_suspect:
            file.write(block)
        if total - mark >= bounds.FREE // _LOOKS:
            usual = bounds.RATIO * (packed.tell() - before)
            is_suspect |= total > bounds.FREE and total - mark > usual
            mark, before = total, packed.tell()
    return is_suspect


def _counted(blocks: Iterable[bytes], packed: int) -> Iterator[bytes]:
    """Blocks as long as they are not more than something of this size may unpack to.

    Raises:
        BeyondBoundError: They are.
    """
    total = 0
    for block in blocks:
        total += len(block)
        bounds.require_unpacked(total, packed)
        yield block


def _file_blocks(packed: IO[bytes], codec: str) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), codec) as stream:
        while block := stream.read(_BLOCK):
            yield block


def _blocks(content: bytes, codec: str) -> Iterator[bytes]:
    if codec != "deflate":
        yield from _file_blocks(io.BytesIO(content), codec)
        return
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    rest = content
    try:
        while not unpacker.eof:
            block = unpacker.decompress(rest, _BLOCK)
            rest = unpacker.unconsumed_tail
            if not block and not rest:
                raise OSError("it is cut off")
            yield block
    except zlib.error as error:
        raise OSError(str(error)) from error


def recode_file(source: Path, target: Path, encoding: str) -> None:
    """Write a text file as UTF-8, a block at a time, its lines as they are.

    Raises:
        UnicodeError: It is not of that encoding.
    """
    reading: Any = source.open(encoding=encoding, newline="")
    file: IO[str]
    with reading as given, target.open("w", encoding="utf-8", newline="") as file:
        shutil.copyfileobj(given, file, _BLOCK)
