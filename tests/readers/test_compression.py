"""Compressed files, and files in other encodings."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from log_files import record
from polars.testing import assert_frame_equal
from samples_of import SAMPLES

from workbench.errors import LogError
from workbench.readers import import_log, read

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
