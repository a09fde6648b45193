"""Bounds of what a file may unpack to, and of how deep it may nest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.errors import LogError, ParameterError
from workbench.readers import import_log, import_to, read
from workbench.readers.bounds import LEVELS, BeyondBoundError, bounded, loaded, require_nesting
from workbench.workspace.artefacts import Artefacts

HINT = "Hint: if that is meant, --max-nesting LEVELS allows more (max_nesting in Python)"


def deep(levels: int) -> Any:
    """Lists and objects in turn, that many in each other; none holds a number alone."""
    value: Any = 1
    for level in range(levels):
        value = {"in": value} if level % 2 else [value]
    return value


def talk(levels: int) -> dict[str, Any]:
    """A chat record that nests to so many levels: its own are on 1."""
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    return {"task_id": "t", "messages": said, "reward": 1.0, "info": deep(levels - 1)}


def lines(path: Path, levels: int) -> Path:
    """Two records a line each, the second of them deep."""
    text = "\n".join(json.dumps(value) for value in (talk(3), talk(levels)))
    path.write_text(text + "\n", encoding="utf-8")
    return path


def array(path: Path, levels: int) -> Path:
    """The same in one array."""
    path.write_text(json.dumps([talk(3), talk(levels)], indent=1), encoding="utf-8")
    return path


def table(path: Path, levels: int) -> Path:
    """The same as rows of CSV, whose cells hold JSON."""
    rows = [
        {key: json.dumps(value) if key == "messages" else value for key, value in one.items()}
        for one in (talk(3), talk(3))
    ]
    said = json.loads(rows[1]["messages"])
    # A list of messages, a message, its content: three levels above what is deep; the row is one.
    said[0]["content"] = [{"type": "text", "text": "go", "more": deep(levels - 5)}]
    rows[1]["messages"] = json.dumps(said)
    pl.DataFrame([{**row, "info": None} for row in rows]).write_csv(path)
    return path


def columns(path: Path, levels: int) -> Path:
    """The same as rows of Parquet, whose column nests itself."""
    rows = [talk(3) | {"info": None}, talk(levels)]
    for row in rows:
        row["messages"] = json.dumps(row["messages"])
    rows[1]["info"] = nested_list(levels - 1)
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    return path


def nested_list(levels: int) -> Any:
    """Lists alone."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("write", "place"), [(lines, ":2"), (array, " record 2"), (table, ":3"), (columns, " row 2")]
)
def test_a_record_that_nests_too_deep_is_refused_and_read_where_that_is_allowed(
    tmp_path: Path, write: Any, place: str
):
    path = write(tmp_path / "log", 30)
    assert read([path], max_nesting=30).frame.height == 2
    for readable in (import_log, lambda given, **bound: import_to(tmp_path / "o", given, **bound)):
        with pytest.raises(LogError, match="nests deeper than 29 levels") as caught:
            readable([path], max_nesting=29)
        assert f"{path}{place}. {HINT}" in str(caught.value)
    # The other record is read all the same.
    assert import_log([path], max_nesting=29, skip_bad=True).report.rows == 1


def test_a_record_nests_to_250_levels_unless_more_is_asked_for(tmp_path: Path):
    assert LEVELS == 250
    assert read([lines(tmp_path / "a.jsonl", 250)]).frame.height == 2
    path = lines(tmp_path / "b.jsonl", 251)
    with pytest.raises(LogError, match="nests deeper than 250 levels"):
        read([path])
    assert read([path], max_nesting=400).frame.height == 2


def test_no_option_allows_more_than_python_reads(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"messages": ' + "[" * 5000 + "]" * 5000 + "}\n", encoding="utf-8")
    with pytest.raises(LogError, match="nests deeper than Python reads, some 1,000") as caught:
        read([path], max_nesting=10**6)
    assert f"{path}:1" in str(caught.value)
    assert "Hint" not in str(caught.value)
    with pytest.raises(BeyondBoundError, match="Python reads"):
        loaded("[" * 5000 + "]" * 5000)


def test_levels_are_counted_in_lists_and_objects():
    fine: Any
    wrong: Any
    with bounded(max_nesting=2):
        for fine in (1, "[[[[", [], [[]], [{}, {"a": 1}], {"a": [1, "[[["]}):
            require_nesting(fine)
            require_nesting(fine, json.dumps(fine))
            assert loaded(json.dumps(fine)) == fine
        for wrong in ([[[]]], [1, [{"a": {}}]], {"a": 1, "b": {"c": []}}):
            for text in (None, json.dumps(wrong)):
                with pytest.raises(BeyondBoundError, match="nests deeper than 2 levels"):
                    require_nesting(wrong, text)


def test_a_bound_holds_inside_its_block_alone():
    with bounded(max_nesting=1), pytest.raises(BeyondBoundError):
        require_nesting([[]])
    require_nesting([[]])


def test_a_bound_of_nesting_is_a_number_of_levels():
    wrongs: tuple[Any, ...] = (0, -1, 1.5, "9")
    for wrong in wrongs:
        with pytest.raises(ParameterError, match="max_nesting must be a whole number of levels"):
            import_log(["log.jsonl"], max_nesting=wrong)


def test_a_log_that_is_read_with_another_bound_is_another_log(tmp_path: Path):
    path = lines(tmp_path / "log.jsonl", 60)
    artefacts = Artefacts(tmp_path / "work")
    less = artefacts.log([path], skip_bad=True, max_nesting=29)
    more = artefacts.log([path], skip_bad=True)
    assert (less.report["rows"], more.report["rows"]) == (1, 2)
