"""JSON as logs hold it, whole or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from log_files import record

from workbench.errors import LogError
from workbench.readers import import_log, read
from workbench.readers.jsonfiles import leading_keys


def test_leading_keys_survive_a_cut_anywhere():
    text = json.dumps([{"a": 'x"{y', "b": [{"c": 1}], "d": 2}, {"e": 3}]).encode()
    assert leading_keys(text) == {"a", "b", "d"}
    for end in range(len(text)):
        assert leading_keys(text[:end]) <= {"a", "b", "d"}
    assert leading_keys(b'\xef\xbb\xbf{"a": 1}') == {"a"}
    assert leading_keys(b"plain text") == frozenset()


def test_a_line_in_latin_1_is_named_and_the_others_are_read(tmp_path: Path):
    path = tmp_path / "in.jsonl"
    lines = [record(task_id="é"), record(task_id="e", reward=0.0)]
    path.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="latin-1"
    )
    with pytest.raises(LogError, match=rf"is not UTF-8, at {path}:1"):
        read([path])
    assert import_log([path], skip_bad=True).validated.log["source_line"].to_list() == [2]
