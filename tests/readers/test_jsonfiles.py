"""JSON as logs hold it, whole or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from log_files import record, written
from samples_of import SAMPLE_FILES, SAMPLES

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


@pytest.mark.parametrize(("name", "form"), SAMPLE_FILES.items())
def test_a_format_is_known_by_content_behind_damage_and_in_long_lines(
    tmp_path: Path, name: str, form: str
):
    text = (SAMPLES / name).read_text()
    path = tmp_path / "log.xyz"
    path.write_text("{damaged\n" + text)
    assert read([path], skip_bad=True).format == form
    record = {"padding": "x" * 100_000} | json.loads(text.splitlines()[0])
    assert read([written(tmp_path, [record])]).format == form
