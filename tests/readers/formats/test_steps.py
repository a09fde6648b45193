"""The step log as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import log_of, step, write_lines, write_steps
from polars.testing import assert_frame_equal
from samples_of import SAMPLES, assert_canonical_tokens, assert_nine_steps

from workbench.errors import LogError, ParameterError
from workbench.readers import import_log, read

PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "steps"]), "steps", group="find-key", trajectory="t{n}")


def test_tokens_of_the_sample_are_the_canonical_ones():
    assert_canonical_tokens(log_of(SAMPLES / "steps"))


def test_a_step_log_as_json_lines_is_the_one_as_parquet(tmp_path: Path):
    frame = pl.read_parquet(PARQUET)
    path = write_lines(tmp_path / "in.jsonl", frame.to_dicts())
    imported = import_log([path])
    assert imported.report.format == "steps"
    expected = import_log([PARQUET]).validated.log
    places = ["source_file", "source_line"]
    assert_frame_equal(
        imported.validated.log.drop(places), expected.drop(places),
        check_column_order=False, check_dtypes=False, abs_tol=1e-6,
    )  # fmt: skip


def test_json_lines_are_read_through_a_mapping_that_reaches_into_objects(tmp_path: Path):
    told = {
        "who": {"group": "g", "id": "t"},
        "n": 0,
        "saw": "o",
        "did": "a",
        "info": {"score": 0.5},
    }
    columns = {
        "group_id": "who.group", "trajectory_id": "who.id", "step_index": "n",
        "observation": "saw", "action": "did", "reward": "info.score",
    }  # fmt: skip
    path = write_lines(tmp_path / "in.jsonl", [told])
    with pytest.raises(LogError, match="no reader recognises it"):
        read([path])
    imported = import_log([path], format="steps", mapping={"columns": columns})
    assert imported.validated.log.select("reward", "action").row(0) == (0.5, "a")
    assert imported.report.renamed == columns
    assert json.loads(imported.validated.log["who"][0]) == told["who"]
    with pytest.raises(ParameterError, match="for which no record has a value"):
        read([path], format="steps", mapping={"columns": {**columns, "task": "words"}})


def test_a_malformed_list_of_a_line_is_named(tmp_path: Path):
    path = write_lines(tmp_path / "in.jsonl", [step(), step(step_index=1, response_ids=["x"])])
    with pytest.raises(LogError, match=rf"response_ids: is not a list of token ids, at {path}:2"):
        read([path])
    assert import_log([path], skip_bad=True).report.rows == 1


def test_truth_values_may_be_numbers_and_others_are_named(tmp_path: Path):
    marks: list[dict[str, Any]] = [
        {"done": 0},
        {"done": True, "step_index": 1},
        {"done": None, "step_index": 2},
    ]
    path = write_lines(tmp_path / "in.jsonl", [step(**mark) for mark in marks])
    assert import_log([path]).validated.log["done"].to_list() == [False, True, None]
    write_lines(path, [step(), step(step_index=1, done="soon")])
    with pytest.raises(LogError, match=rf"done: is neither true nor false, at {path}:2"):
        read([path])
    write_lines(path, [step(masked=[1])])
    with pytest.raises(LogError, match=rf"masked: is neither true nor false, at {path}:1"):
        read([path])


def test_an_interruption_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def panics(*_: Any) -> None:
        # As polars ends where a signal comes while it calls Python.
        raise pl.exceptions.PanicException("PyErr { type: <class 'KeyboardInterrupt'> }")

    path = write_steps(tmp_path / "log.parquet")
    monkeypatch.setattr("workbench.readers.tables._frame", panics)
    with pytest.raises(KeyboardInterrupt):
        import_log([path], skip_bad=True)
