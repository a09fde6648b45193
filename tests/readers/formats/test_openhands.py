"""OpenHands' output.jsonl: events of both architectures as conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import act, write_lines
from samples_of import SAMPLES, assert_nine_steps

from workbench.errors import LogError
from workbench.log.increments import conversations
from workbench.readers import import_log, read

WHOLE = SAMPLES / "openhands/whole.jsonl"


def record(history: list[Any], **fields: Any) -> dict[str, Any]:
    return {"instance_id": "i", "test_result": {}, "history": history} | fields


def user(text: str) -> dict[str, Any]:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return {"id": text, "kind": "MessageEvent", "source": "user", "llm_message": message}


def called(identity: str, response: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "kind": "ActionEvent",
        "source": "agent",
        "thought": [],
        "tool_name": "act",
        "tool_call_id": identity,
        "tool_call": {"id": identity, "name": "act", "arguments": "{}", "origin": "completion"},
        "llm_response_id": response,
    } | fields


def answered(identity: str, observation: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"o{identity}",
        "kind": "ObservationEvent",
        "source": "environment",
        "tool_name": "act",
        "tool_call_id": identity,
        "observation": observation,
    } | fields


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content, "cache_prompt": False}


def frame_of(folder: Path, *records: Any, **options: Any) -> pl.DataFrame:
    return read([write_lines(folder / "output.jsonl", records)], **options).frame


@pytest.mark.parametrize("name", ["first_architecture", "sdk.jsonl"])
def test_the_samples_become_the_nine_canonical_steps(name: str):
    assert_nine_steps(
        import_log([SAMPLES / "openhands" / name]),
        "openhands",
        action=act,
        group="find-key",
        trajectory="find-key#{n}",
    )


def test_what_the_sdk_says_beside_the_calls_is_kept():
    log = import_log([SAMPLES / "openhands/sdk.jsonl"]).validated.log
    first = json.loads(log["messages"][0])
    assert [message["role"] for message in first] == ["system", "user", "assistant"]
    assert first[-1]["reasoning_content"] == "hm"
    assert json.loads(log["tools"][0])[0]["function"] == {"name": "act", "description": "Acts."}
    assert log["prompt_ids"].to_list()[:2] == [[0, 1], [0, 1, 2]]
    assert log["response_ids"].to_list() == [[7, 8]] * 9
    assert log["response_mask"].to_list() == [[1, 1]] * 9


def test_actions_of_one_answer_are_a_step_and_a_condensation_is_a_segment():
    frame = read([WHOLE]).frame.filter(pl.col("group_id") == "other-key")
    assert frame["action"].to_list()[0].splitlines() == [
        "I look twice.", act("look drawer"), act("look shelf"),
    ]  # fmt: skip
    # What a command gave is told with where it ran and how it ended.
    assert frame["next_observation"][0].splitlines() == [
        "a key", "[Current working directory: /work]", "[Command finished with exit code 0]",
        "no shelf",
    ]  # fmt: skip
    assert frame["segment"].to_list() == [0, 1, 1, 1]
    (talk,) = conversations(frame)
    assert talk is not None
    # Events 4 to 7 were forgotten; of 0 to 3 two say something, and the summary follows them.
    told = [message["role"] for message in talk.segments[1].prompt(0)]
    assert told == ["system", "user", "user"]
    assert talk.segments[1].prompt(0)[-1]["content"] == "There is a key in the drawer."
    assert frame["observation"][3] == "Go on."
    assert talk.segments[0].tools[0]["function"]["name"] == "act"


def test_answers_that_are_not_logged_are_rebuilt_and_marked():
    raw = read([WHOLE])
    frame = raw.frame.filter(pl.col("group_id") == "old-key")
    assert frame["reconstructed"].to_list() == ["actions", "actions"]
    assert frame["action"][0].splitlines()[0] == "I look."
    assert frame["observation"].to_list() == ["Find the key.", "a key"]
    assert any("rebuilt from the thought and the action" in notice for notice in raw.notices)
    assert frame["reward"].to_list() == [0.0, 0.25]
    assert (frame["finish_reason"][1], frame["truncated"][1]) == ("max_iterations", True)


def test_an_instance_without_an_answer_is_counted_with_its_error():
    (dropped,) = read([WHOLE]).dropped
    assert (dropped.count, "Runtime died" in str(dropped)) == (1, True)


@pytest.mark.parametrize(
    ("fields", "reward", "success"),
    [
        ({"test_result": {"report": {"resolved": True}}}, 1.0, True),
        ({"test_result": {"resolved": False}}, 0.0, False),
        ({"report": {"resolved": True}}, 1.0, True),
        ({"test_result": {"score": 0.5}}, 0.5, None),
        ({"test_result": {"score": True}}, 1.0, True),
        ({"test_result": {"result": "timeout"}}, None, None),
        ({"test_result": {"report": {"resolved": None}}}, None, None),
    ],
)
def test_the_reward_is_what_the_report_says(
    tmp_path: Path, fields: dict[str, Any], reward: float | None, success: bool | None
):
    row = frame_of(tmp_path, record([user("Go."), called("a", "r")], **fields)).row(0, named=True)
    assert (row["reward"], row.get("success")) == (reward, success)


def test_another_key_can_be_the_reward(tmp_path: Path):
    told = record([user("Go."), called("a", "r")], test_result={"mine": {"points": 3}})
    mapping = {"columns": {"reward": "test_result.mine.points"}}
    assert frame_of(tmp_path, told, mapping=mapping)["reward"].to_list() == [3.0]
    # One point need be no success, nor is a cost of 1.
    told["test_result"]["mine"]["points"] = 1
    assert "success" not in frame_of(tmp_path, told, mapping=mapping).columns
    told["test_result"]["mine"]["points"] = "many"
    with pytest.raises(LogError, match=r"'test_result.mine.points' is not a number"):
        frame_of(tmp_path, told, mapping=mapping)


def test_calls_of_one_answer_of_the_sdk_are_a_step(tmp_path: Path):
    history = [
        user("Go."),
        called("a", "r", thought=[text("Twice.")]),
        called("b", "r"),
        answered("a", {"content": [text("one")], "kind": "X"}),
        answered("b", {"content": [text("two")], "is_error": True, "kind": "X"}),
        called("c", "s", thinking_blocks=[{"type": "thinking", "thinking": "hm"}]),
    ]
    frame = frame_of(tmp_path, record(history))
    assert frame.height == 2
    assert frame["action"][0] == "Twice.\n" + "\n".join(['{"arguments": {}, "name": "act"}'] * 2)
    assert frame["observation"][1] == "one\n[An error occurred during execution.]\ntwo"
    assert json.loads(frame["messages"][1])[-1]["reasoning_content"] == "hm"


def test_what_the_sdk_tells_the_agent_is_its_observation(tmp_path: Path):
    rejected = {"kind": "UserRejectObservation", "rejection_reason": "no"}
    error = {"kind": "AgentErrorEvent", "error": "broken"}
    picture = {"type": "image", "image_urls": ["data:image/png;base64,iVBORw0KGgo="]}
    metadata = {"exit_code": 1, "working_dir": "/w", "prefix": "", "suffix": ""}
    terminal = {"content": [text("x")], "metadata": metadata, "kind": "TerminalObservation"}
    history = [
        user("Go."),
        called("a", "r"),
        answered("a", None) | rejected,
        called("b", "s"),
        answered("b", None) | error,
        called("c", "t"),
        answered("c", {"content": [picture], "kind": "X"}),
        called("d", "u"),
        answered("d", terminal, extended_content=[text("a rule")]),
        called("e", "v"),
    ]
    assert frame_of(tmp_path, record(history))["observation"].to_list() == [
        "Go.",
        "Action rejected: no",
        "broken",
        "[image sha256:4c4b6a3be1314ab8]",
        "x\n[Current working directory: /w]\n[Command finished with exit code 1]\na rule",
    ]


def test_a_condensation_of_the_sdk_names_what_is_forgotten(tmp_path: Path):
    history = [
        user("Go."),
        called("a", "r"),
        answered("a", {"content": [text("one")], "kind": "X"}),
        {
            "id": "k", "kind": "Condensation", "forgotten_event_ids": ["a", "oa"],
            "summary": "One.", "summary_offset": 1,
        },
        called("b", "s"),
        {"id": "z", "kind": "ConversationErrorEvent", "code": "MaxIterationsReached"},
    ]  # fmt: skip
    frame = frame_of(tmp_path, record(history))
    assert frame["segment"].to_list() == [0, 1]
    assert [message["content"] for message in json.loads(frame["messages"][1])[:2]] == [
        "Go.",
        "One.",
    ]
    assert frame["finish_reason"].to_list() == [None, "max_iterations"]


def test_runs_of_one_model_are_one_group_and_models_are_not(tmp_path: Path):
    for name, model in (("run_1", "one"), ("run_2", "one"), ("run_3", "two")):
        told = record([user("Go."), called("a", "r")], metadata={"llm": {"model": model}})
        write_lines(tmp_path / name / "output.jsonl", [told])
    sizes = read([tmp_path]).frame.group_by("group_id").len().sort("len")
    assert sizes["len"].to_list() == [1, 2]


def test_what_is_no_event_is_refused_with_its_line(tmp_path: Path):
    for history, words in (
        ("none", "is missing or no list of events"),
        ([user("Go."), 3], "holds an event that is no object"),
    ):
        told = record(history)  # type: ignore[arg-type]
        with pytest.raises(LogError, match=rf"{words}, at .*output\.jsonl:2"):
            frame_of(tmp_path, record([user("Go."), called("a", "r")]), told)


def test_a_history_of_chat_messages_is_not_one_of_events(tmp_path: Path):
    talk = [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "Gone."}]
    assert read([write_lines(tmp_path / "c.jsonl", [record(talk)])]).format == "chat"


def test_an_odd_id_and_a_summary_far_behind_the_end_break_nothing(tmp_path: Path):
    ran = {"id": [1], "source": "agent", "action": "run", "args": {"command": "ls"}}
    ask = {"id": 0, "source": "user", "action": "message", "args": {"content": "go"}}
    summary = {"summary": "so far", "summary_offset": 10**30, "forgotten_event_ids": []}
    events = [ask, ran, {"id": 2, "action": "condensation", "args": summary}, ran | {"id": 3}]
    log = frame_of(tmp_path, record(events))
    assert log["observation"].to_list() == ["go", "so far"]


def test_a_reward_that_a_mapping_names_and_a_record_lacks_is_said_by_its_name(tmp_path: Path):
    path = write_lines(tmp_path / "output.jsonl", [record([user("go"), called("a", "r")])])
    raw = read([path], mapping={"columns": {"reward": "metrics.cost"}})
    assert any("there is no value for 'metrics.cost'" in note for note in raw.notices)
