"""Codex sessions: calls of the model from items, roll backs and compactions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from samples_of import SAMPLES, assert_nine_steps_of_sessions

from workbench.errors import LogError
from workbench.log.increments import conversations
from workbench.readers import import_log, read

WHOLE = SAMPLES / "codex/whole_session.jsonl"
SESSION = "c0de0000-0000-7000-8000-000000000050"


def item(**payload: Any) -> dict[str, Any]:
    return {"type": "response_item", "payload": payload}


def said(role: str, text: str) -> dict[str, Any]:
    return item(type="message", role=role, content=[{"type": "input_text", "text": text}])


def written(folder: Path, *records: dict[str, Any], **meta: Any) -> Path:
    path = folder / "rollout.jsonl"
    begin = {"type": "session_meta", "payload": {"id": "s", **meta}}
    path.write_text("".join(json.dumps(record) + "\n" for record in (begin, *records)))
    return path


def test_sessions_of_one_question_are_a_group():
    imported = import_log([SAMPLES / "codex/find-key"])
    # The environment is what the program says; it is observed, but names no task.
    log = imported.validated.log
    first = log.filter(pl.col("step_index") == 0)["observation"]
    assert set(first) == {
        "<environment_context>\n  <cwd>/work/demo</cwd>\n</environment_context>\n"
        "Find the key. You see a drawer and a shelf."
    }
    said_by_user = pl.col("observation").str.replace(r"(?s)^<env.*context>\n", "")
    validated = replace(imported.validated, log=log.with_columns(said_by_user))
    assert_nine_steps_of_sessions(replace(imported, validated=validated), "codex")
    assert json.loads(log["messages"][0])[0] == {"role": "system", "content": "You find keys."}


def test_items_of_one_call_are_a_step():
    main = import_log([WHOLE]).validated.log.filter(pl.col("trajectory_id").str.ends_with(SESSION))
    assert main["action"].to_list() == [
        'I look.\n{"arguments": {"command": ["ls"]}, "name": "shell"}\n'
        '{"arguments": "*** Begin Patch\\n*** End Patch\\n", "name": "apply_patch"}',
        '{"arguments": {"action": {"command": ["cat", "drawer"], "type": "exec"}}, '
        '"name": "local_shell_call"}',
        "The key is in the drawer.",
        '{"arguments": {"command": ["take", "key"]}, "name": "shell"}',
        "Done.",
        "Thank you.",
    ]
    assert main["observation"].to_list()[1:4] == [
        "drawer shelf\nok",
        "a key",
        "Take what you see.\n[image sha256:4c4b6a3be1314ab8]",
    ]
    assert json.loads(main["messages"][0])[-1]["reasoning_content"] == "**Looking**"
    assert set(main["model"]) == {"gpt-demo+gpt-demo-2"}


def test_what_was_rolled_back_is_a_trajectory_of_its_own():
    log = import_log([WHOLE]).validated.log
    branch = log.filter(pl.col("trajectory_id").str.ends_with("/branch-1"))
    assert branch.select("observation", "action").rows() == [("Break the shelf.", "I break it.")]
    main = log.filter(~pl.col("trajectory_id").str.ends_with("/branch-1"))
    assert not main["messages"].str.contains("Break the shelf").any()


def test_a_compaction_is_a_segment_with_what_replaced_the_context():
    main = import_log([WHOLE]).validated.log.filter(pl.col("trajectory_id").str.ends_with(SESSION))
    assert main["segment"].to_list() == [0, 0, 0, 0, 1, 2]
    (talk,) = conversations(main)
    assert talk is not None
    told = [
        [(message["role"], str(message["content"])[:30]) for message in segment.prompt(0)]
        for segment in talk.segments[1:]
    ]
    system = ("system", "You find keys.")
    find, taken = ("user", "Find the key."), ("user", "The key was taken.")
    assert told == [
        [system, find, taken],
        [system, find, taken, ("user", "All is done."), ("user", "Good.")],
    ]
    notices = " ".join(import_log([WHOLE]).report.notices)
    assert "a compaction does not say what it kept" in notices


def test_the_summary_that_a_compaction_asked_for_is_no_step(tmp_path: Path):
    compacted = {"message": "It was said before:\nSummed up.", "replacement_history": []}
    path = written(
        tmp_path,
        said("user", "Go."),
        said("assistant", "Gone."),
        said("assistant", "Summed up."),
        {"type": "compacted", "payload": compacted},
        said("user", "And?"),
        said("assistant", "Done."),
    )
    raw = read([path])
    assert raw.frame["action"].to_list() == ["Gone.", "Done."]
    assert any("the summary of a compaction" in notice for notice in raw.notices)


def test_the_first_versions_wrote_items_bare(tmp_path: Path):
    path = tmp_path / "rollout.jsonl"
    lines = [
        {"id": "old", "timestamp": "2025-06-01T00:00:00Z", "instructions": None, "git": {}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": {"content": "x", "success": True},
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Ok"}],
        },
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in lines))
    frame = read([path]).frame
    assert frame["trajectory_id"].to_list() == ["old", "old"]
    assert frame["observation"].to_list() == ["Go.", "x"]
    assert frame["source_line"].to_list() == [5, 7]


def test_what_was_inherited_from_a_parent_is_context(tmp_path: Path):
    path = written(
        tmp_path,
        {**said("user", "Go."), "ordinal": 1},
        {**said("assistant", "Gone."), "ordinal": 2},
        {**said("user", "Help."), "ordinal": 3},
        {**said("assistant", "Helped."), "ordinal": 4},
        subagent_history_start_ordinal=3,
    )
    assert read([path]).frame["action"].to_list() == ["Helped."]


def test_a_session_that_goes_on_from_another_says_so(tmp_path: Path):
    again = {"type": "session_meta", "payload": {"id": "parent"}}
    path = written(tmp_path, again, said("user", "Go."), said("assistant", "Gone."))
    raw = read([path])
    assert set(raw.frame["trajectory_id"]) == {"s"}
    assert any("goes on from another" in notice for notice in raw.notices)


def test_replies_behind_a_damaged_line_are_left_out_and_counted(tmp_path: Path):
    path = written(
        tmp_path,
        said("user", "Go."), said("assistant", "Gone."),
        said("user", "Go on."), said("assistant", "Gone on."),
    )  # fmt: skip
    path.write_text(path.read_text().replace('"Go on."', '"Go on.'))
    with pytest.raises(LogError, match=r"rollout\.jsonl:4"):
        read([path])
    raw = read([path], skip_bad=True)
    assert raw.frame["action"].to_list() == ["Gone."]
    assert [problem.count for problem in raw.dropped] == [1]


def test_a_file_of_two_programs_is_refused_until_one_is_named(tmp_path: Path):
    path = tmp_path / "mixed.jsonl"
    other = SAMPLES / "claude-code/whole_session.jsonl"
    path.write_text(WHOLE.read_text() + other.read_text())
    with pytest.raises(LogError, match=r"several formats fit.*\['claude-code', 'codex'\]"):
        read([path])
    with pytest.raises(LogError, match=r"payload: is missing or of another type, at .*:30"):
        read([path], format="codex")
    raw = read([path], format="codex", skip_bad=True)
    assert raw.frame.height == read([WHOLE]).frame.height
    assert sum(problem.count for problem in raw.problems) == len(other.read_text().splitlines())


def test_lines_of_another_program_are_refused(tmp_path: Path):
    other = {"type": "user", "uuid": "a", "message": {"role": "user", "content": "Go."}}
    path = written(tmp_path, said("user", "Go."), said("assistant", "Gone."), other)
    with pytest.raises(LogError, match=r"payload: is missing or of another type, at .*:4"):
        read([path])


def test_turns_that_are_taken_back_leave_the_system_prompt(tmp_path: Path):
    def item(role: str, text: str) -> dict[str, Any]:
        content = [{"type": "output_text", "text": text}]
        return {"type": "response_item", "payload": {"role": role, "content": content}}

    begin = {"id": "s", "base_instructions": {"text": "You act."}}
    back = {"type": "thread_rolled_back", "num_turns": 9}
    lines = [
        {"type": "session_meta", "payload": begin},
        item("user", "go"),
        item("assistant", "I go."),
        {"type": "event_msg", "payload": back},
        item("user", "stay"),
        item("assistant", "I stay."),
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = read([path]).frame
    assert log["action"].to_list() == ["I stay.", "I go."]
    for messages in log["messages"]:
        assert json.loads(messages)[0] == {"role": "system", "content": "You act."}
