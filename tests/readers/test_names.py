"""Names of a file's fields, and their most likely meaning."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from samples_of import SAMPLES

from workbench.errors import UnknownNameError
from workbench.readers.names import mapped_format, names_in


def test_columns_of_a_parquet_file_whatever_it_is_called(tmp_path: Path):
    path = tmp_path / "a[1]*.parquet"
    pl.DataFrame({"x": [1], "y z": [2]}).write_parquet(path)
    assert names_in(path) == ("x", "y z")


def test_keys_of_the_first_readable_line_with_those_of_objects(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    record = {"a": 1, "info": {"score": 2, "deep": {"er": {"not": 1}}}}
    path.write_text("{broken\n[1]\n" + json.dumps(record) + '\n{"b": 1}\n')
    assert names_in(path) == ("a", "info", "info.score", "info.deep", "info.deep.er")


def test_columns_of_a_csv_file_that_may_be_steps(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text(",task,run,n,saw,did,won\n0,a,b,0,x,y,1\n")
    assert names_in(path) == ("task", "run", "n", "saw", "did", "won")
    assert mapped_format(path, None) == "csv"
    path.write_text("some,words\n")
    assert names_in(path) == ()
    assert mapped_format(path, None) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"PAR1 cut off", b"plain text\n"])
def test_a_file_of_another_kind_has_no_names(tmp_path: Path, content: bytes):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert names_in(path) == ()


def test_a_file_that_is_not_there_has_no_names(tmp_path: Path):
    assert names_in(tmp_path / "missing") == ()


def test_results_with_fixed_names_take_no_mapping():
    assert mapped_format(SAMPLES / "tau_bench.json", None) is None
    assert mapped_format(SAMPLES / "openai_chat.jsonl", None) == "chat"
    assert mapped_format(SAMPLES / "parquet/canonical_steps.parquet", None) == "parquet"


def test_unrecognised_json_lines_are_read_as_chat_or_as_steps(tmp_path: Path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "x", "tokens": [1], "answer": "y"}\n')
    assert mapped_format(path, None) == "steps"
    path.write_text('{"conversation": []}\n')
    assert mapped_format(path, None) == "chat"
    assert mapped_format(path, "parquet") == "parquet"
    path.write_text("text\n")
    assert mapped_format(path, None) is None
    with pytest.raises(UnknownNameError):
        mapped_format(path, "nonsense")
