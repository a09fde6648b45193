"""Choice of files, and of their format."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from log_files import record, write_lines, written
from polars.testing import assert_frame_equal
from samples_of import SAMPLES, lines

from workbench.errors import LogError, UnknownNameError
from workbench.readers import read

CHAT = SAMPLES / "openai_chat.jsonl"
TAU = SAMPLES / "tau_bench.json"
PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


def test_a_folder_and_a_pattern_give_the_same_log_as_the_files(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    lines = CHAT.read_text().splitlines()
    write_lines(tmp_path / "b.jsonl", lines[2:])
    write_lines(tmp_path / "deep/a.jsonl", lines[:2])
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "_SUCCESS").write_text("")
    named = read([tmp_path / "b.jsonl", tmp_path / "deep/a.jsonl"])
    assert_frame_equal(read([tmp_path]).frame, named.frame)
    assert_frame_equal(read([str(tmp_path / "**/*.jsonl")]).frame, named.frame)
    assert_frame_equal(read([tmp_path, tmp_path / "b.jsonl"]).frame, named.frame)
    assert read([str(tmp_path / "de*")]).frame.height == 5
    assert read(str(tmp_path / "deep/a.jsonl")).frame.height == 5
    assert named.frame["source_row"].to_list() == list(range(9))


def test_a_strange_file_in_a_folder_is_passed_over_and_said(tmp_path: Path):
    write_lines(tmp_path / "log.jsonl", [record()])
    (tmp_path / "README.md").write_text("words")
    raw = read([tmp_path])
    assert raw.notices[0] == f"files of no known format were passed over, at {tmp_path}/README.md"
    with pytest.raises(LogError, match="no reader recognises it"):
        read([tmp_path / "README.md", tmp_path / "log.jsonl"])


def test_a_damaged_file_in_a_folder_is_never_passed_over(tmp_path: Path):
    write_lines(tmp_path / "log.jsonl", [record()])
    (tmp_path / "zeros.jsonl").write_bytes(b"\0" * 100)
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(LogError) as caught:
        read([tmp_path])
    assert "empty.jsonl" in str(caught.value)
    assert "zeros.jsonl" in str(caught.value)
    assert read([tmp_path], skip_bad=True).frame.height == 1


def test_mixed_formats_are_refused_with_each_file_named(tmp_path: Path):
    with pytest.raises(LogError) as caught:
        read([CHAT, PARQUET])
    assert f"1 of format 'chat', at {CHAT}" in str(caught.value)
    assert f"1 of format 'parquet', at {PARQUET}" in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    given = [tmp_path / name for name in ("nothing", "*.parquet", "empty", "pipe")]
    with pytest.raises(LogError) as caught:
        read(given)
    rules = [problem.rule for problem in caught.value.problems]
    assert rules == [
        "does not exist",
        "no file matches the pattern",
        "the folder holds no file",
        "is no regular file; write it to disk first",
    ]
    with pytest.raises(LogError, match="none were given"):
        read([])


def test_an_unknown_format_name_lists_those_that_exist():
    with pytest.raises(UnknownNameError, match="did you mean 'parquet'"):
        read([PARQUET], format="parquett")


def test_a_named_format_is_not_sniffed_but_still_checked(tmp_path: Path):
    with pytest.raises(LogError, match="cannot be read as Parquet"):
        read([CHAT], format="parquet")
    with pytest.raises(LogError, match="trial: is missing or null"):
        read([CHAT], format="tau-bench")


def test_a_folder_with_other_files_is_read_by_the_format_that_is_named(tmp_path: Path):
    shutil.copy(CHAT, tmp_path / "chat.jsonl")
    shutil.copy(TAU, tmp_path / "tau.json")
    (tmp_path / "empty.log").write_bytes(b"")
    with pytest.raises(LogError, match="formats are mixed"):
        read([tmp_path])
    raw = read([tmp_path], format="chat")
    assert raw.files == (str(tmp_path / "chat.jsonl"),)
    notices = " ".join(raw.notices)
    assert f"files that are not chat were passed over, at {tmp_path}/tau.json" in notices
    assert "empty files were passed over" in notices


def test_messages_that_an_agent_leaves_beside_a_trajectory_are_passed_over(tmp_path: Path):
    job = tmp_path / "job"
    shutil.copytree(SAMPLES / "atif/harbor_job", job)
    alone = read([job])
    agent = next(job.rglob("trajectory.json")).parent
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}]
    (agent / "mini.traj.json").write_text(json.dumps({"messages": messages}, indent=2))
    (agent / "messages.json").write_text(json.dumps(messages))
    raw = read([job])
    assert raw.format == alone.format == "atif"
    assert raw.frame.height == alone.frame.height
    assert "documents of chat were passed over in favour of files of atif" in " ".join(raw.notices)
    # Named rather than found, they are meant.
    with pytest.raises(LogError, match="formats are mixed"):
        read([job, agent / "messages.json"])
    assert read([agent / "messages.json"]).format == "chat"


def test_files_of_two_trainers_in_one_folder_are_refused_by_name(tmp_path: Path):
    written(tmp_path, lines("verl/v1"), "a.jsonl")
    written(tmp_path, lines("verl-agent"), "b.jsonl")
    with pytest.raises(LogError) as caught:
        read([tmp_path])
    assert "1 of format 'verl', at" in str(caught.value)
    assert "1 of format 'verl-agent', at" in str(caught.value)
