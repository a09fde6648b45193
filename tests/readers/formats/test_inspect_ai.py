"""Inspect logs as steps."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import act, log_of, problems_of, write_json
from narrow import number
from samples_of import SAMPLES, assert_nine_steps, samples_of

from workbench.errors import LogError
from workbench.readers import import_log


@pytest.mark.parametrize("sample", samples_of("inspect"))
def test_every_sample_becomes_the_nine_canonical_steps(sample: Path):
    imported = import_log([sample])
    assert_nine_steps(imported, "inspect", action=act, group="find/mockllm/model/find-key")


def test_a_real_file_is_a_valid_log(shared: Path):
    imported = import_log([shared / "data/raw/inspect_ai_log_popularity.json"])
    log = imported.validated.log
    assert imported.report.format == "inspect"
    assert log.height == 3
    scored = log.filter(pl.col("excluded").is_null())
    assert scored["trajectory_id"].n_unique() == 3
    assert log["observation"][0]
    assert number(log["action"].str.len_chars().min()) > 0


def test_the_real_inspect_log_has_the_scores_of_its_own_summary(shared: Path):
    # Its own accuracy is 2 of 3.
    log = log_of(shared / "data/raw/inspect_ai_log_popularity.json")
    assert sorted(log["reward"]) == [0.0, 1.0, 1.0]
    assert set(log["model"]) == {"openai/gpt-4o-mini"}


def sample(**fields: Any) -> dict[str, Any]:
    talk = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}]
    return {"id": "a", "epoch": 1, "input": "go", "messages": talk} | fields


def inspect_log(path: Path, *samples: dict[str, Any]) -> Path:
    evaluation = {"task": "t", "model": "m", "run_id": "r"}
    return write_json(
        path, {"version": 2, "status": "success", "eval": evaluation, "samples": samples}
    )


def test_a_sample_that_failed_or_was_not_scored_is_not_counted(tmp_path: Path):
    scores = {"match": {"value": "C"}}
    path = inspect_log(
        tmp_path / "log.json",
        sample(epoch=1, scores=scores, error={"message": "boom"}),
        sample(epoch=2),
        sample(epoch=3, scores=scores, limit={"type": "token", "limit": 10}),
        sample(epoch=4, scores={"match": {"value": [1]}}),
    )
    imported = import_log([path])
    log = imported.validated.log
    assert log["reward"].to_list() == [None, None, 1.0, None]
    assert log["truncated"].to_list() == [False, False, True, False]
    assert log["finish_reason"].to_list() == [None, None, "token", None]
    notices = " ".join(imported.report.notices)
    assert "ended in an error" in notices
    assert "the score 'match' is no number" in notices


def test_of_several_scores_the_first_is_taken_and_said(tmp_path: Path):
    scores = {"judge": {"value": {"style": 0.5, "facts": 1}}, "match": {"value": "I"}}
    path = inspect_log(tmp_path / "log.json", sample(scores=scores))
    imported = import_log([path])
    log = imported.validated.log
    assert log.select("reward", "aux_reward_judge.facts", "aux_reward_match").row(0) == (0.5, 1, 0)
    assert "'judge.style' is the reward" in " ".join(imported.report.notices)
    assert log_of(path, mapping={"columns": {"reward": "match"}})["reward"].to_list() == [0.0]


def test_attachments_are_put_in_and_reasoning_is_no_action(tmp_path: Path):
    talk = [
        {"role": "user", "content": "attachment://x"},
        {"role": "assistant", "content": [
            {"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "ok"},
        ]},
    ]  # fmt: skip
    path = inspect_log(tmp_path / "log.json", sample(messages=talk, attachments={"x": "long text"}))
    log = log_of(path)
    assert log["observation"].to_list() == ["long text"]
    assert log["action"].to_list() == ["ok"]
    assert "hm" in log["messages"][0]


def test_a_damaged_entry_of_an_archive_is_named_and_the_others_are_read(tmp_path: Path):
    source, copy = SAMPLES / "inspect/find.eval", tmp_path / "find.eval"
    content = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        entry = next(item for item in archive.infolist() if item.filename.startswith("samples/"))
    name_length, extra = struct.unpack("<HH", content[entry.header_offset + 26 :][:4])
    start = entry.header_offset + 30 + name_length + extra
    content[start + 20 : start + 30] = b"\xff" * 10
    copy.write_bytes(content)
    assert entry.filename in problems_of(copy)
    assert import_log([copy], skip_bad=True).report.trajectories == 3


def test_the_archive_of_a_run_that_was_killed_is_read_by_its_journal(tmp_path: Path):
    path = tmp_path / "log.eval"
    start = {"version": 2, "eval": {"task": "t", "model": "m"}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", json.dumps(start))
        archive.writestr("samples/a_epoch_1.json", json.dumps(sample(scores={"x": {"value": 1}})))
    log = log_of(path)
    assert log.select("group_id", "reward").row(0) == ("t/m/a", 1.0)


def test_an_archive_of_something_else_is_no_log(tmp_path: Path):
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    assert "it is a zip archive; unpack it first" in problems_of(path)


def test_messages_that_are_nested_too_deeply_are_named(tmp_path: Path):
    deep: list[Any] = []
    for _ in range(800):
        deep = [deep]
    talk = [{"role": "user", "content": deep}, {"role": "assistant", "content": "ok"}]
    path = inspect_log(tmp_path / "log.json", sample(messages=talk))
    assert f"nests deeper than 250 levels, at {path}. Hint: if that" in problems_of(path)
    # Allowed, what works on them says where it could not.
    with pytest.raises(LogError, match=re.escape(f"at {path} record 1")):
        import_log([path], max_nesting=900)


def test_words_of_no_one_set_are_not_known_and_that_is_said(tmp_path: Path):
    for values, rewards in (
        (("C", "I", "P"), [1.0, 0.0, 0.5]),
        (("yes", "no", "0.25"), [1.0, 0.0, 0.25]),
        (("C", "no", "0.25"), [None, None, 0.25]),
        (("good", "C", 1), [None, None, 1.0]),
    ):
        samples = [
            sample(epoch=at, scores={"judge": {"value": value}}) for at, value in enumerate(values)
        ]
        imported = import_log([inspect_log(tmp_path / "log.json", *samples)])
        assert imported.validated.log["reward"].to_list() == rewards
        said = any("'judge' is no number and is null" in text for text in imported.report.notices)
        assert said is (None in rewards)


def test_two_runs_of_one_model_share_no_group(tmp_path: Path):
    # Each run has one success in two epochs; as one group of four it would be 2 of 4.
    scores = [{"match": {"value": letter}} for letter in "CI"]
    samples = [sample(epoch=n, scores=score) for n, score in enumerate(scores, start=1)]
    paths = [tmp_path / name for name in ("one.json", "two.json")]
    for run, path in zip("rs", paths, strict=True):
        evaluation = {"task": "t", "model": "m", "run_id": run}
        write_json(path, {"version": 2, "status": "ok", "eval": evaluation, "samples": samples})
    imported = import_log(paths)
    log = imported.validated.log
    assert sorted(log["group_id"].unique()) == ["r/t/m/a", "s/t/m/a"]
    assert log.height == 4
    assert "several systems, runs or updates (r, s)" in " ".join(imported.report.notices)
