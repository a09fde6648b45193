"""Claude Code sessions: one answer of several lines, side chains, branches and compactions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from samples_of import SAMPLES, assert_nine_steps_of_sessions

from workbench.errors import LogError
from workbench.log.increments import conversations
from workbench.readers import import_log, read

SESSION = "5e550000-0000-4000-8000-000000000050"
WHOLE = SAMPLES / "claude-code/whole_session.jsonl"


def line(kind: str, uuid: str, parent: str | None, content: Any, **others: Any) -> dict[str, Any]:
    own = {"role": kind, "content": content, **others.pop("own", {})}
    told = {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": own}
    return told | others


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "s.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in lines))
    return path


def steps(path: Path, **options: Any) -> dict[str, list[str]]:
    frame = read([path], **options).frame
    return {
        name: part["action"].to_list()
        for (name,), part in frame.partition_by(
            "trajectory_id", as_dict=True, maintain_order=True
        ).items()
    }


def test_sessions_of_one_question_are_a_group():
    imported = import_log([SAMPLES / "claude-code/find-key"])
    assert_nine_steps_of_sessions(imported, "claude-code", text="I act.")
    # The first line is a snapshot; text and call of an answer are lines 3 and 4.
    assert imported.validated.log["source_line"].to_list()[:2] == [4, 7]


def test_lines_of_one_answer_are_a_step_observed_by_their_results():
    log = import_log([WHOLE]).validated.log
    main = log.filter(pl.col("trajectory_id") == SESSION)
    assert main["action"][0].splitlines() == [
        '{"arguments": {"command": "look drawer"}, "name": "act"}',
        '{"arguments": {"command": "look shelf"}, "name": "act"}',
    ]
    assert json.loads(main["messages"][0])[-1]["reasoning_content"] == "Both at once."
    assert main["observation"][1] == "You see a key in the drawer.\nThe shelf is empty."


def test_a_side_chain_and_a_branch_that_was_left_are_trajectories_of_their_own():
    log = import_log([WHOLE]).validated.log
    found = dict(log.group_by("trajectory_id").agg(pl.len()).iter_rows())
    assert found == {SESSION: 6, f"{SESSION}/branch-1": 1, f"{SESSION}/a1b2c3": 2}
    agents = dict(log.group_by("trajectory_id").agg(pl.col("agent_id").first()).iter_rows())
    assert agents[SESSION] == "main"
    assert agents[f"{SESSION}/a1b2c3"] == "a1b2c3"
    branch = log.filter(pl.col("trajectory_id") == f"{SESSION}/branch-1")
    messages = json.loads(branch["messages"][0])
    assert [message["role"] for message in messages] == [
        "user", "user", "assistant", "tool", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert branch["observation"].to_list() == ["Take the shelf."]
    groups = log.group_by("trajectory_id").agg(pl.col("group_id").first())
    by_name = dict(groups.iter_rows())
    assert by_name[SESSION] == by_name[f"{SESSION}/branch-1"] != by_name[f"{SESSION}/a1b2c3"]


def test_a_compaction_begins_a_segment_with_the_summary_and_what_was_kept():
    log = import_log([WHOLE]).validated.log
    main = log.filter(pl.col("trajectory_id") == SESSION)
    assert main["segment"].to_list() == [0, 0, 0, 0, 1, 1]
    (talk,) = conversations(main)
    assert talk is not None
    prompt = talk.segments[1].prompt(0)
    assert [(message["role"], str(message["content"])[:12]) for message in prompt] == [
        ("user", "This session"),
        ("assistant", "[{'type': 't"),
        ("user", "Now take it."),
    ]
    assert main["next_observation"][3] == "Now take it."


def test_what_holds_no_message_is_counted_by_its_type():
    notices = " ".join(import_log([WHOLE]).report.notices)
    for words in (
        "attachments, which the program told the model",
        "lines of the type summary hold no message",
        "lines of the type system turn_duration hold no message",
        "(errors of the API) hold no message",
        "a part of the type image is read as its digest: another one, another state",
        "does not hold the system prompt",
    ):
        assert words in notices


def test_two_pictures_are_two_tasks(tmp_path: Path):
    groups = set()
    for data in ("iVBORw0KGgo=", "iVBORw0KGAA="):
        picture = {"type": "image", "source": {"type": "base64", "data": data}}
        path = written(
            tmp_path,
            line("user", "a", None, [{"type": "text", "text": "What?"}, picture]),
            line("assistant", "b", "a", "A key."),
        )
        groups |= set(read([path]).frame["group_id"])
    assert len(groups) == 2


def test_versions_and_models_do_not_share_a_group(tmp_path: Path):
    for name, version in (("one", "2.1.0"), ("two", "2.1.1")):
        folder = tmp_path / name
        folder.mkdir()
        written(
            folder,
            line("user", "a", None, "Go.", sessionId=name),
            line("assistant", "b", "a", "Yes.", sessionId=name, version=version),
        )
    assert read([tmp_path]).frame["group_id"].n_unique() == 2


def test_what_is_copied_from_the_session_that_was_resumed_is_context(tmp_path: Path):
    path = written(
        tmp_path,
        line("user", "a", None, "Go.", sessionId="old"),
        line("assistant", "b", "a", "Gone.", sessionId="old"),
        line("user", "c", "b", "Go on.", sessionId="new"),
        line("assistant", "d", "c", "Gone on.", sessionId="new"),
    )
    assert steps(path) == {"new": ["Gone on."]}
    assert len(json.loads(read([path]).frame["messages"][0])) == 4
    forked = written(
        tmp_path,
        line("user", "a", None, "Go."),
        line("assistant", "b", "a", "Gone.", forkedFrom={"sessionId": "old", "messageUuid": "x"}),
        line("assistant", "d", "b", "Gone on."),
    )
    assert steps(forked) == {"s": ["Gone on."]}


def test_a_session_that_was_cleared_is_two(tmp_path: Path):
    path = written(
        tmp_path,
        line("user", "a", None, "Go."),
        line("assistant", "b", "a", "Gone."),
        line("user", "c", "b", "<command-name>/clear</command-name>"),
        line("user", "d", "c", "Come."),
        line("assistant", "e", "d", "Come."),
    )
    assert steps(path) == {"s": ["Come."], "s/branch-1": ["Gone."]}
    assert read([path]).frame["group_id"].n_unique() == 2


def test_sessions_of_one_file_are_apart_and_orphans_are_in_order(
    tmp_path: Path,
):
    lines = [
        line(kind, f"{name}{at}", None, f"{kind} {name} {at}", sessionId=name)
        for name in ("x", "y")
        for at, kind in enumerate(["user", "assistant", "user", "assistant"])
    ]
    for record in lines:
        record["parentUuid"] = None
    assert steps(written(tmp_path, *lines[:4])) == {"x": ["assistant x 1", "assistant x 3"]}
    chained = [
        {**record, "parentUuid": before["uuid"] if at % 4 else None}
        for at, (record, before) in enumerate(zip(lines, [lines[0], *lines], strict=False))
    ]
    assert steps(written(tmp_path, *chained)) == {
        "x": ["assistant x 1", "assistant x 3"],
        "y": ["assistant y 1", "assistant y 3"],
    }


def test_old_side_chains_without_a_name_are_numbered(tmp_path: Path):
    path = written(
        tmp_path,
        line("user", "a", None, "Go."),
        line("user", "p", "a", "Help one.", isSidechain=True),
        line("assistant", "q", "p", "One.", isSidechain=True),
        line("user", "r", None, "Help two.", isSidechain=True),
        line("assistant", "t", "r", "Two.", isSidechain=True),
        line("assistant", "b", "a", "Gone."),
    )
    assert steps(path) == {"s": ["Gone."], "s/side-1": ["One."], "s/side-2": ["Two."]}


def test_a_file_of_one_agent_that_is_not_named_is_called_by_the_file(tmp_path: Path):
    for name in ("agent-1", "agent-2"):
        path = written(
            tmp_path,
            line("user", "a", None, "Help.", isSidechain=True),
            line("assistant", "b", "a", "Helped.", isSidechain=True),
        )
        path.rename(tmp_path / f"{name}.jsonl")
    log = import_log([tmp_path]).validated.log
    assert log["trajectory_id"].to_list() == ["s/agent-1", "s/agent-2"]


def test_an_older_compaction_names_the_ends_of_what_it_kept(tmp_path: Path):
    boundary = {
        "type": "system", "subtype": "compact_boundary", "uuid": "e", "parentUuid": None,
        "sessionId": "s",
        "compactMetadata": {"preservedSegment": {"headUuid": "c", "tailUuid": "d"}},
    }  # fmt: skip
    path = written(
        tmp_path,
        line("user", "a", None, "Go."),
        line("assistant", "b", "a", "Gone."),
        line("user", "c", "b", "Go on."),
        line("assistant", "d", "c", "Gone on."),
        boundary,
        line("user", "f", "e", "Summary.", isCompactSummary=True),
        line("user", "g", "f", "And?"),
        line("assistant", "h", "g", "Done."),
    )
    frame = read([path]).frame
    assert frame["segment"].to_list() == [0, 0, 1]
    told = [message["content"] for message in json.loads(frame["messages"][2])]
    assert told == ["Summary.", "Go on.", "Gone on.", "And?", "Done."]


def test_a_summary_without_a_boundary_begins_a_segment(tmp_path: Path):
    path = written(
        tmp_path,
        line("user", "a", None, "Go."),
        line("assistant", "b", "a", "Gone."),
        line("user", "c", "b", "Summary.", isCompactSummary=True),
        line("assistant", "d", "c", "Done."),
    )
    assert read([path]).frame["segment"].to_list() == [0, 1]


def test_a_session_that_was_cut_off_keeps_what_stands_before(tmp_path: Path):
    text = WHOLE.read_text()
    whole = steps(WHOLE)[SESSION]
    path = tmp_path / "cut.jsonl"
    path.write_text(text[: text.index("Done.")])
    with pytest.raises(LogError, match=r"cut\.jsonl:29 \(cut off\)"):
        read([path])
    assert steps(path, skip_bad=True)[SESSION] == whole[:-1]


def test_replies_behind_a_damaged_line_are_left_out_and_counted(tmp_path: Path):
    lines = [
        line("user", "a", None, "Go."),
        line("assistant", "b", "a", "Gone."),
        line("user", "c", "b", "Go on."),
        line("assistant", "d", "c", "Gone on."),
        line("assistant", "e", "d", "Gone."),
    ]
    path = written(tmp_path, *lines)
    path.write_text(path.read_text().replace('"Go on."', '"Go on.'))
    raw = read([path], skip_bad=True)
    assert raw.frame["action"].to_list() == ["Gone."]
    (dropped,) = raw.dropped
    assert (dropped.count, "behind a damaged line" in dropped.rule) == (2, True)


def test_lines_in_a_circle_are_refused_with_their_place(tmp_path: Path):
    path = written(
        tmp_path,
        line("user", "a", "b", "Go."),
        line("assistant", "b", "a", "Gone."),
    )
    with pytest.raises(LogError, match=r"lines refer to each other in a circle, at .*s\.jsonl:"):
        read([path])


def test_what_the_program_said_itself_is_no_step(tmp_path: Path):
    path = written(
        tmp_path,
        line("user", "a", None, "Go."),
        line("assistant", "b", "a", "No response requested.", own={"model": "<synthetic>"}),
        line("user", "c", "b", "Go now."),
        line("assistant", "d", "c", "Gone."),
    )
    assert steps(path) == {"s": ["Gone."]}
    told = [message["role"] for message in json.loads(read([path]).frame["messages"][0])]
    assert told == ["user", "assistant", "user", "assistant"]


def test_what_a_command_said_is_read_and_names_no_task(tmp_path: Path):
    said = {
        "type": "system", "subtype": "local_command", "uuid": "b", "parentUuid": "a",
        "sessionId": "s", "content": "<local-command-stdout>x</local-command-stdout>",
    }  # fmt: skip
    first = written(
        tmp_path,
        line("user", "a", None, "<command-name>/model</command-name>"),
        said,
        line("user", "c", "b", "Go."),
        line("assistant", "d", "c", "Gone."),
    )
    frame = read([first]).frame
    assert frame["observation"][0].splitlines()[1:] == [said["content"], "Go."]
    plain = written(tmp_path, line("user", "a", None, "Go."), line("assistant", "d", "a", "Gone."))
    assert read([plain]).frame["group_id"][0] == frame["group_id"][0]


def test_sessions_with_parts_for_content_are_of_another_program(tmp_path: Path):
    path = written(tmp_path, line("user", "a", None, "Go."))
    path.write_text(path.read_text().replace('"content": "Go."', '"parts": [{"text": "Go."}]'))
    with pytest.raises(LogError, match="no reader recognises it"):
        read([path])


def test_a_line_that_was_written_twice_is_one_step(tmp_path: Path):
    ask, reply = line("user", "a", None, "go"), line("assistant", "b", "a", "I go.")
    path = written(tmp_path, ask, reply, reply, line("user", "c", "b", "on"))
    assert steps(path) == {"s": ["I go."]}
    assert "lines with the id of another: the last one counts, at" in "".join(read([path]).notices)
