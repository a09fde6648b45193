"""Records from whatever contains them, sound and damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.readers import import_log, spread
from workbench.readers.base import Diagnostics
from workbench.readers.containers import (
    Cells,
    CsvRows,
    JsonArray,
    JsonLines,
    JsonObjects,
    ParquetRows,
    Records,
    container_of,
    first_keys,
    records_of,
)


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b'{"a": 1}\n{"a": 2}\n', JsonLines),
        (b'\xef\xbb\xbf{"a": 1}', JsonLines),
        (b'{"a": [{"b": 1},\n{"a": 2}\n', JsonLines),  # a line that is cut off
        (b'{"damaged\n{"a": 2}\n', JsonLines),
        (b'damaged, too\n{"a": 2}\n', JsonLines),
        (b"", JsonLines),
        (b' [{"a": 1}]', JsonArray),
        (b"[\n]", JsonArray),
        (b'{\n "a": 1\n}', JsonObjects),
        (b'{\r\n"a": 1\r\n}', JsonObjects),
        (b'{"a": {\n  "b": 1}}', JsonObjects),
        (b"PAR1\x15", ParquetRows),
        (b"a,b\n1,2\n", CsvRows),
        (b"a\tb\n1\t2\n", CsvRows),
        (b"one word\n", JsonLines),
    ],
)
def test_the_container_shows_in_the_first_bytes(head: bytes, container: type[Records]):
    assert container_of(head) is container


def found(path: Path, cells: Cells | None = None) -> tuple[list[Any], list[str]]:
    diagnostics = Diagnostics()
    records = records_of(path, diagnostics, cells)
    got = [(records.place(number).removeprefix(str(path)), record) for number, record in records]
    return got, [str(problem).replace(str(path), "FILE") for problem in diagnostics.problems]


def given(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_an_array_longer_than_a_block_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    records = [{"n": n, "text": 'ä\n\ud83d"' * n, "deep": [[n], {}]} for n in range(40)]
    path = given(tmp_path, json.dumps(records, indent=1))
    for block in (1, 7, 64):
        monkeypatch.setattr(spread, "_BLOCK", block)
        got, problems = found(path)
        assert [record["n"] for _, record in got] == list(range(40))
        assert got[3] == (" record 4", {"n": 3, "text": 'ä\n\ufffd"' * 3, "deep": [[3], {}]})
        assert not problems


def test_objects_over_several_lines_are_placed_by_their_first(tmp_path: Path):
    path = given(tmp_path, '{\n "a": 1\n}\n\n{\n "a": 2\n}\n')
    assert found(path) == ([(":1", {"a": 1}), (":5", {"a": 2})], [])


@pytest.mark.parametrize(
    ("text", "read", "problem"),
    [
        ('[{"a": 1}, {"a": 2', 1, "file: is not JSON from here on, at FILE record 2 (cut off)"),
        ('[{"a": 1}, {"a": tru', 1, "file: is not JSON from here on, at FILE record 2"),
        ('[{"a": 1} {"a": 2}]', 1, "the array is cut off or damaged here, at behind FILE record 1"),
        ('[{"a": 1}] x', 1, "file: has text behind its JSON array, at FILE"),
        ('[{"a": 1}, 3, {"a": 2}]', 2, "record: is a number, expected a JSON object, at FILE"),
        ('{\n "a": 1\n}\n{\n "a": ]\n}', 1, "is not JSON from here on, at FILE:4 (Expecting"),
        (b'[{"a": 1}, {"a": "\xff"}]', 0, "file: is not UTF-8, at FILE (byte 18)"),
        ('[{"a": 1}, ' + "[" * 100_000, 1, "at FILE record 2 (nests deeper than Python reads"),
    ],
)
def test_damage_is_named_and_what_stands_before_it_is_read(
    tmp_path: Path, text: str | bytes, read: int, problem: str
):
    got, problems = found(given(tmp_path, text))
    assert len(got) == read
    assert problem in problems[0]


def test_cells_of_a_table_are_what_the_reader_says_they_are(tmp_path: Path):
    row = {"traces": '[{"a": 1}]', "text": '[{"a": 1}]', "talk": "[1]", "n": "7"}
    cells = Cells(objects=frozenset({"traces", "talk"}), texts=frozenset({"text", "talk"}))
    pl.DataFrame([row]).write_parquet(tmp_path / "table")
    expected: dict[str, Any] = {**row, "traces": [{"a": 1}]}
    assert found(tmp_path / "table", cells) == ([(" row 1", expected)], [])
    pl.DataFrame([row | {"empty": None, "won": "True"}]).write_csv(tmp_path / "csv")
    expected = expected | {"n": 7, "empty": None, "won": True}
    assert found(tmp_path / "csv", cells) == ([(":2", expected)], [])


def test_pictures_in_a_table_are_told_apart_by_their_digest(tmp_path: Path):
    parts = [{"type": "image", "bytes": name} for name in (b"one", b"two")]
    pl.DataFrame({"messages": [[part] for part in parts]}).write_parquet(tmp_path / "table")
    got, _ = found(tmp_path / "table")
    # sha256 of "one" begins with 7692c3ad.
    assert got[0][1]["messages"][0]["bytes"].startswith("sha256:7692c3ad")
    assert got[0] != got[1]


def test_a_damaged_parquet_file_is_named(tmp_path: Path):
    assert found(given(tmp_path, b"PAR1 cut off"))[0] == []
    assert "cannot be read as Parquet" in found(given(tmp_path, b"PAR1 cut off"))[1][0]


def test_keys_are_those_of_the_first_record_though_the_file_changes(tmp_path: Path):
    path = given(tmp_path, "{\n" + '"a": "' + "x" * 70_000)
    head = path.read_bytes()[:65_536]
    assert first_keys(path, head) == {"a"} or first_keys(path, head) == frozenset()
    path.write_text("{\n" + '"a": "' + "x" * 70_000 + '", "b": 1}')
    assert first_keys(path, head) == {"a", "b"}


def test_arguments_of_calls_that_are_null_in_a_table_are_said_to_be_left_out(tmp_path: Path):
    calls = [
        {"function": {"name": "f", "arguments": given}}
        for given in ({"a": 1, "b": None}, {"a": 1, "b": 2})
    ]
    records = [
        {"task_id": 1, "messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
        for call in calls
    ]
    path = tmp_path / "log.parquet"
    pl.DataFrame(records).write_parquet(path)
    notices = import_log([path]).report.notices
    said = "arguments of calls that are null in a structure are left out"
    assert [f"{path} row 1" in text for text in notices if said in text] == [True]
