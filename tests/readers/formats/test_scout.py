"""Inspect Scout transcripts as steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from log_files import log_of, problems_of
from samples_of import SAMPLES, assert_nine_steps

from workbench.readers import import_log


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "scout"]),
        "scout",
        group="find-key-env/find-key/demo-7b",
        trajectory="tr-{n}",
    )


def transcripts(path: Path, **columns: Any) -> Path:
    talk = json.dumps([{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}])
    count = len(next(iter(columns.values())))
    base = {"transcript_id": [f"t{at}" for at in range(count)], "messages": [talk] * count}
    pl.DataFrame(base | columns, strict=False).write_parquet(path)
    return path


def test_a_transcript_is_scored_by_its_score_or_its_success(tmp_path: Path):
    path = transcripts(
        tmp_path / "t.parquet",
        score=["0.5", None, '"C"', "C", None, "1"],
        success=[None, True, None, None, None, True],
        error=[None, "", None, None, None, "boom"],
        limit=["", None, None, None, None, "tokens"],
    )
    assert log_of(path)["truncated"].to_list() == [False] * 5 + [True]
    assert log_of(path)["reward"].to_list() == [0.5, 1.0, 1.0, 1.0, None, None]


def test_a_broken_transcript_is_named_by_its_row(tmp_path: Path):
    path = transcripts(tmp_path / "t.parquet", messages=["[", "null", '["x"]'])
    text = problems_of(path)
    assert all(f"{path}:{row}" in text for row in (1, 2, 3))


def test_numbers_name_a_task_as_text_does(tmp_path: Path):
    path = transcripts(tmp_path / "t.parquet", task_set=["s", "s"], task_id=[0, 1])
    assert log_of(path)["group_id"].to_list() == ["s/0", "s/1"]


def test_a_success_that_is_no_truth_value_is_named(tmp_path: Path):
    path = transcripts(tmp_path / "t.parquet", success=["maybe"])
    assert f"success: is neither true nor false, at {path}:1" in problems_of(path)


def test_transcripts_of_sessions_are_groups_by_what_the_user_asked(tmp_path: Path):
    asked = [
        json.dumps([{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}])
        for text in ("go", "go", "come")
    ]
    path = transcripts(
        tmp_path / "t.parquet",
        messages=asked,
        source_type=["claude_code"] * 3,
        task_id=["t0", "t1", "t2"],
        task_set=["project"] * 3,
        model=["m"] * 3,
    )
    log = log_of(path)
    assert log["group_id"].rle_id().to_list() == [0, 0, 1]
    assert set(log["reconstructed"]) == {"groups"}
    path = transcripts(path, messages=asked, source_type=["mine"] * 3, task_id=["t0", "t1", "t2"])
    assert log_of(path)["group_id"].to_list() == ["t0", "t1", "t2"]
