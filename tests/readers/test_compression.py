"""Compressed files, and files in other encodings."""

from __future__ import annotations

import gzip
import json
import random
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from log_files import record
from polars.testing import assert_frame_equal
from samples_of import SAMPLES

from workbench.errors import LogError, ParameterError
from workbench.readers import bounds, import_log, import_to, read

CHAT = SAMPLES / "openai_chat.jsonl"
TAU = SAMPLES / "tau_bench.json"
PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("source", [CHAT, TAU, PARQUET])
def test_compressed_files_are_read_as_what_they_hold(tmp_path: Path, codec: str, source: Path):
    content = source.read_bytes()
    packed = (
        gzip.compress(content) if codec == "gzip" else pa.compress(content, codec, asbytes=True)
    )
    path = tmp_path / f"{source.name}.packed"
    path.write_bytes(packed)
    log, expected = import_log([path]).validated.log, import_log([source]).validated.log
    assert set(log["source_file"]) == {str(path)}
    assert_frame_equal(log.drop("source_file"), expected.drop("source_file"))


def test_a_place_in_a_compressed_file_is_the_file_and_its_line(tmp_path: Path):
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(record()) + "\nnonsense\n").encode()))
    with pytest.raises(LogError) as caught:
        read([path])
    assert f"line: is not JSON, at {path}:2 (" in str(caught.value)
    assert import_log([path], skip_bad=True).report.rows == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_files_whose_mark_names_an_encoding_are_read_in_it(tmp_path: Path, encoding: str):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(record(task_id="é"), ensure_ascii=False) + "\n", encoding=encoding)
    raw = read([path])
    assert raw.frame["group_id"].to_list() == ["é"]
    assert any(f"read as {encoding.upper()}" in notice for notice in raw.notices) == (
        encoding != "utf-8-sig"
    )


# Bounds


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> int:
    """Anything may unpack to 4 MiB, so that a test of what may not is short."""
    monkeypatch.setattr(bounds, "FREE", 2**22)
    return 2**22


def filled(size: int) -> bytes:
    """A record whose text is nothing but spaces."""
    return json.dumps(record(note=" " * size)).encode() + b"\n"


def archive(path: Path, content: bytes, method: int) -> Path:
    """An Inspect log of which one entry is compressed by a method that `zipfile` need not know."""
    header = json.dumps({"version": 2, "eval": {"task": "t", "model": "m"}}).encode()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("header.json", header)
        packed = pa.compress(content, "zstd", asbytes=True) if method == 93 else None
        if packed is None:
            file.writestr("samples/a.json", content, compress_type=zipfile.ZIP_DEFLATED)
            return path
        file.writestr("samples/a.json", packed)
    # The number of the method, the checksum and the size in the local and the central header.
    raw = path.read_bytes()
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = raw.rindex(mark)
        raw = raw[: start + at] + struct.pack("<H", method) + raw[start + at + 2 :]
        crc = struct.pack("<I", zlib.crc32(content))
        raw = raw[: start + at + 6] + crc + raw[start + at + 10 :]
        size = struct.pack("<I", len(content))
        raw = raw[: start + at + 14] + size + raw[start + at + 18 :]
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_file_that_unpacks_without_end_is_refused_and_leaves_nothing(
    tmp_path: Path, codec: str, little: int
):
    # Zeros of four times the bound, which gzip packs to a thousandth.
    content = filled(4 * little)
    packed = (
        gzip.compress(content) if codec == "gzip" else pa.compress(content, codec, asbytes=True)
    )
    assert len(packed) * bounds.RATIO < len(content)
    path = tmp_path / "log.jsonl.packed"
    path.write_bytes(packed)
    for readable in (import_log, lambda paths: import_to(tmp_path / "out.parquet", paths)):
        with pytest.raises(LogError, match=r"file: unpacks to more than 4,194,304 bytes") as caught:
            readable([path])
        assert f"{path}. Hint: if that is meant, --max-unpacked BYTES" in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert import_log([path], max_unpacked=10 * little).report.rows == 1


@pytest.mark.parametrize("method", [8, 93])
def test_an_entry_that_unpacks_without_end_is_refused_in_little_memory(
    tmp_path: Path, method: int, little: int
):
    # Eight times the bound; zstd packs it to less than a two-thousandth.
    path = archive(tmp_path / "log.eval", b'{"x": "' + b" " * (8 * little) + b'"}', method)
    tracemalloc.start()
    with pytest.raises(LogError, match="the entry unpacks to more than"):
        import_log([path])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * little
    # Once more is allowed it is read, and turns out to be no sample.
    with pytest.raises(LogError, match="id: is missing"):
        import_log([path], max_unpacked=10 * little)


def test_an_entry_that_is_larger_than_it_says_is_refused(tmp_path: Path):
    path = archive(tmp_path / "log.eval", b'{"x": "' + b" " * 10**6 + b'"}', 8)
    raw = path.read_bytes()
    start = raw.rindex(b"PK\x01\x02") + 24
    path.write_bytes(raw[:start] + struct.pack("<I", 100) + raw[start + 4 :])
    with pytest.raises(LogError, match="it is larger than it says"):
        import_log([path])


def test_an_honest_log_is_read_whatever_its_size(tmp_path: Path, little: int):
    # Forty times its size and twice what anything may unpack to.
    text = random.Random(0).randbytes(little // 80).hex()
    lines = [json.dumps(record(task_id=str(at), note=text)) for at in range(90)]
    content = "".join(f"{line}\n" for line in lines).encode()
    packed = pa.compress(content, "zstd", asbytes=True)
    assert len(content) > 2 * little
    assert 30 < len(content) / len(packed) < 200
    path = tmp_path / "log.jsonl.zst"
    path.write_bytes(packed)
    assert import_log([path]).report.rows == 90


def test_what_is_suspect_is_measured_to_its_end_and_then_read(tmp_path: Path, little: int):
    # Bytes that do not pack, then spaces beyond every ratio: 40 times its size as a whole.
    noise = random.Random(0).randbytes(little // 40).hex()
    content = json.dumps(record(note=noise)).encode() + b"\n" + filled(2 * little)
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(content))
    assert len(content) / path.stat().st_size < 100
    assert import_log([path]).report.rows == 2


def test_a_bound_of_the_user_holds_for_small_files_too(tmp_path: Path):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(filled(1000)))
    assert import_log([path], max_unpacked=2000).report.rows == 1
    with pytest.raises(LogError, match="unpacks to more than 1,000 bytes"):
        import_log([path], max_unpacked=1000)
    wrongs: tuple[Any, ...] = (0, -1, 1.5)
    for wrong in wrongs:
        with pytest.raises(ParameterError, match="max_unpacked must be a whole number"):
            import_log([path], max_unpacked=wrong)
