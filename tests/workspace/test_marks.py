"""Marks and notes of a workspace: kept, taken away, found again, safe among several writers."""

from __future__ import annotations

from pathlib import Path

import logs
import polars as pl
import pytest

from workbench.errors import ArtefactError, ParameterError
from workbench.workspace.marks import SCHEMA, Marks, on_log

LOG = logs.log(
    {"g": {"a": [("s", "go", 0.0), ("t", "look", 1.0)], "b": [("s", "go", 0.0), ("u", "put", 0.0)]}}
)


def rows(marks: Marks) -> list[tuple[str, int, str | None, str | None]]:
    return list(marks.table().select("trajectory_id", "step_index", "mark", "note").iter_rows())


def test_what_is_said_of_a_step_is_kept_and_taken_away(tmp_path: Path):
    marks = Marks(tmp_path)
    assert marks.version == ""
    assert marks.table().schema == SCHEMA
    marks.put(("b", 1), "put", mark="-")
    marks.put(("a", 0), "go", note="  why? ")
    first = marks.version
    marks.put(("a", 0), "go", mark="+")
    assert marks.version != first
    assert rows(marks) == [("a", 0, "+", "why?"), ("b", 1, "-", None)]
    marks.put(("a", 0), "go", mark="")
    marks.put(("b", 1), "put", mark="")
    assert rows(marks) == [("a", 0, None, "why?")]
    assert pl.read_parquet(tmp_path / "marks" / "marks.parquet").schema == SCHEMA


def test_the_same_marks_are_the_same_bytes(tmp_path: Path):
    one, other = Marks(tmp_path / "one"), Marks(tmp_path / "other")
    for marks, order in ((one, ("a", "b")), (other, ("b", "a"))):
        for name in order:
            marks.put((name, 0), "go", mark="+")
    assert one.path.read_bytes() == other.path.read_bytes()


def test_marks_are_found_on_a_log_that_is_imported_again(tmp_path: Path):
    marks = Marks(tmp_path)
    marks.put(("a", 1), "look", mark="+")
    marks.put(("b", 0), "go", note="here")
    again = LOG.with_columns(pl.lit("new").alias("model")).reverse()
    found, other = on_log(again, marks.table())
    assert found["mark"].to_list() == [None, None, "+", None]
    assert found["note"].to_list() == [None, "here", None, None]
    assert other == 0


def test_a_step_that_does_something_else_has_no_mark_and_is_counted(tmp_path: Path):
    marks = Marks(tmp_path)
    marks.put(("a", 1), "jump", mark="+")
    marks.put(("elsewhere", 0), "go", mark="+")
    found, other = on_log(LOG, marks.table())
    assert found["mark"].null_count() == LOG.height
    assert other == 1
    assert on_log(LOG, Marks(tmp_path / "none").table())[0].height == LOG.height


@pytest.mark.parametrize(
    ("what", "said"), [({"mark": "!"}, "one of"), ({"note": "x" * 2001}, "at most 2,000")]
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, what: dict[str, str], said: str):
    with pytest.raises(ParameterError, match=said):
        Marks(tmp_path).put(("a", 0), "go", **what)


@pytest.mark.parametrize("content", [b"no parquet", b""])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes):
    marks = Marks(tmp_path)
    marks.path.parent.mkdir()
    marks.path.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"marks\.parquet cannot be read"):
        marks.table()
    pl.DataFrame({"mark": ["+"]}).write_parquet(marks.path)
    with pytest.raises(ArtefactError, match="Hint: move it away"):
        marks.put(("a", 0), "go", mark="+")
