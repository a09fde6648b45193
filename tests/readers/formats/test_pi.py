"""Pi sessions and the Hub's session traces."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from samples_of import SAMPLES, assert_nine_steps_of_sessions

from workbench.errors import LogError
from workbench.log.increments import conversations
from workbench.readers import import_log, read

WHOLE = SAMPLES / "pi/whole_session.jsonl"
SESSION = "b1000000-0000-4000-8000-000000000050"


def test_sessions_of_one_question_are_a_group():
    assert_nine_steps_of_sessions(import_log([SAMPLES / "pi/find-key"]), "pi", text="I act.")


def test_session_traces_of_one_question_are_a_group():
    imported = import_log([SAMPLES / "session-trace/find-key"])
    assert_nine_steps_of_sessions(imported, "session-trace")
    first = json.loads(imported.validated.log["messages"][0])
    assert [message["role"] for message in first] == ["system", "user", "assistant"]
    assert first[-1]["reasoning_content"] == "hm"
    assert set(imported.validated.log["model"]) == {"demo"}


def test_a_trace_in_the_form_of_pi_is_one_of_pi(tmp_path: Path):
    path = tmp_path / "trace.jsonl"
    lines = WHOLE.read_text().splitlines()
    header = json.loads(lines[0]) | {"harness": "mine"}
    path.write_text("\n".join([json.dumps(header), *lines[1:]]) + "\n")
    raw = read([path])
    assert raw.format == "pi"
    assert raw.frame.height == 5


def test_the_path_to_the_end_is_the_session_and_a_branch_that_was_left_its_own():
    log = import_log([WHOLE]).validated.log
    main = log.filter(pl.col("trajectory_id") == SESSION)
    branch = log.filter(pl.col("trajectory_id") == f"{SESSION}/branch-1")
    assert branch["action"].to_list() == ["I break it."]
    assert main["action"].to_list()[1:] == [
        "It is in the drawer.",
        '{"arguments": {"command": "take key"}, "name": "act"}',
        "Done.",
    ]
    # Told of the branch, of a command of the user's and by an extension, in Pi's own words.
    assert main["observation"][2].splitlines()[3:] == [
        "The shelf broke.</summary>", "Ran `ls`", "```", "drawer", "```", "",
        "Command exited with code 2", "Be quick.", "Take it.",
    ]  # fmt: skip
    assert (main["finish_reason"][-1], main["truncated"][-1]) == ("length", True)


def test_behind_a_compaction_stand_the_summary_and_what_was_kept():
    main = import_log([WHOLE]).validated.log.filter(pl.col("trajectory_id") == SESSION)
    (talk,) = conversations(main)
    assert talk is not None
    assert [message["role"] for message in talk.segments[1].messages] == [
        "user", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert talk.segments[1].replies == [3]


def test_the_first_version_has_no_ids_and_counts_what_was_kept():
    log = import_log([SAMPLES / "pi/first_version.jsonl"]).validated.log
    assert log["action"].to_list() == ["I look.", "I look again.", "Nothing."]
    assert log["segment"].to_list() == [0, 0, 1]
    told = [message["content"] for message in json.loads(log["messages"][2])]
    # Line 4, the fourth of the file with its header, is the first that was kept.
    assert told[1:4] == ["Again.", [{"type": "text", "text": "I look again."}], "And?"]


def test_an_answer_that_broke_off_is_counted_and_no_step():
    notices = " ".join(import_log([WHOLE]).report.notices)
    assert "lines of the type message that ended with aborted hold no message" in notices


def test_a_damaged_line_loses_what_goes_on_from_it(tmp_path: Path):
    path = tmp_path / "broken.jsonl"
    text = WHOLE.read_text()
    path.write_text(text.replace('"id": "e14"', '"id": "e14'))
    with pytest.raises(LogError, match=r"broken\.jsonl:15"):
        read([path])
    raw = read([path], skip_bad=True)
    main = raw.frame.filter(pl.col("trajectory_id") == SESSION)
    assert (
        main["action"].to_list()
        == import_log([WHOLE])
        .validated.log.filter(pl.col("trajectory_id") == SESSION)["action"]
        .to_list()[:3]
    )
    assert [problem.count for problem in raw.dropped] == [1]


def test_a_damaged_line_of_a_trace_loses_what_follows(tmp_path: Path):
    lines = (SAMPLES / "session-trace/find-key/trace-1.jsonl").read_text().splitlines()
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join([*lines[:4], "{", *lines[5:]]) + "\n")
    raw = read([path], skip_bad=True)
    assert raw.frame.height == 1
    assert [problem.count for problem in raw.dropped] == [2]


def test_events_of_another_program_are_not_of_pi(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    event = {"type": "user.message", "id": "a", "parentId": None, "data": {"content": "Go."}}
    path.write_text(json.dumps(event) + "\n")
    with pytest.raises(LogError, match="no reader recognises it"):
        read([path])


def test_a_first_line_may_name_the_session_as_what_it_follows(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    lines = [
        {"type": "session", "version": 3, "id": "s"},
        {
            "type": "message", "id": "a", "parentId": "s",
            "message": {"role": "user", "content": "Go."},
        },
        {
            "type": "message", "id": "b", "parentId": "a",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Gone."}]},
        },
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    raw = read([path])
    assert raw.frame["observation"].to_list() == ["Go."]
    assert not any("does not stand before" in notice for notice in raw.notices)


def test_what_was_copied_from_the_session_that_was_forked_is_context(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    said = {"role": "assistant", "content": [{"type": "text", "text": "Gone."}]}
    lines = [
        {
            "type": "session", "version": 3, "id": "s", "timestamp": "2026-03-01T11:00:00.000Z",
            "parentSession": "/sessions/other.jsonl",
        },
        *(
            {
                "type": "message", "id": f"m{at}", "parentId": f"m{at - 1}" if at else None,
                "timestamp": f"2026-03-01T{hour}:00:01.000Z",
                "message": {"role": "user", "content": "Go."} if at % 2 == 0 else said,
            }
            for at, hour in enumerate((10, 10, 11, 11))
        ),
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    frame = read([path]).frame
    assert frame["source_line"].to_list() == [5]
    assert len(json.loads(frame["messages"][0])) == 4


def test_a_line_that_was_written_twice_is_one_step(tmp_path: Path):
    lines = WHOLE.read_text().splitlines()
    reply = next(line for line in lines if '"role": "assistant"' in line)
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join([*lines, reply]) + "\n")
    twice, once = read([path]), read([WHOLE])
    assert twice.frame["action"].to_list() == once.frame["action"].to_list()
    assert any("lines with the id of another are passed over" in note for note in twice.notices)


def test_a_session_on_one_line_is_read_as_an_array(tmp_path: Path):
    records = [json.loads(line) for line in WHOLE.read_text().splitlines()]
    path = tmp_path / "s.json"
    path.write_text(json.dumps(records))
    raw = read([path])
    assert raw.format == "pi"
    assert raw.frame.height == read([WHOLE]).frame.height
