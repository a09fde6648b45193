"""Half characters, wherever JSON stands in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from log_files import assistant, record, step, user, write_lines

from workbench.readers import import_log
from workbench.readers.halves import Mender

HALF, WHOLE = "\ud83d", "\U0001f600"


def test_halves_are_replaced_at_every_depth_and_whole_characters_stay():
    deep = json.dumps({"c": json.dumps({"d": json.dumps([HALF, WHOLE])})})
    mender = Mender()
    found = mender.mended({HALF: [deep, WHOLE, "plain"]})
    assert mender.count == 2
    (text, whole, plain) = found["\ufffd"]
    assert json.loads(json.loads(json.loads(text)["c"])["d"]) == ["\ufffd", WHOLE]
    assert (whole, plain) == (WHOLE, "plain")


def test_an_escape_in_a_text_that_is_no_json_is_a_text():
    program = r'print("\ud83d")'
    assert Mender().mended({"content": program}) == {"content": program}
    said = [user("go"), assistant(program)]
    assert Mender().mended(said) == said


def test_only_the_half_of_a_json_text_is_rewritten():
    text = r'{ "b":  "\ud83d\ude00 \ud83d \\ud83d" , "a": 1.0}'
    assert Mender().mended(text) == r'{ "b":  "\ud83d\ude00 \ufffd \\ud83d" , "a": 1.0}'


def test_tables_hold_halves_in_json_only(tmp_path: Path):
    call = assistant("", tool_calls=[{"name": "write", "arguments": json.dumps({"t": HALF})}])
    rows = [step(messages=json.dumps([user("go"), call]))]
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    names = list(rows[0])
    cells = ['"' + str(rows[0][name]).replace('"', '""') + '"' for name in names]
    (tmp_path / "log.csv").write_text(f"{','.join(names)}\n{','.join(cells)}\n")
    for file in ("log.parquet", "log.csv"):
        imported = import_log([tmp_path / file])
        (text,) = imported.validated.log["messages"]
        inner = json.loads(text)[1]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(inner) == {"t": "\ufffd"}
        assert any("became U+FFFD" in notice for notice in imported.report.notices)


def test_halves_of_a_record_are_counted(tmp_path: Path):
    path = write_lines(tmp_path / "chat.jsonl", [record(task_id=HALF, note=HALF)])
    (notice,) = [text for text in import_log([path]).report.notices if "U+FFFD" in text]
    assert notice.endswith(":1 and 1 more")
