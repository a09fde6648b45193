"""Messages of ShareGPT, LangChain and others in OpenAI's form."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from samples_of import SAMPLES, assert_nine_steps

from workbench.readers import import_log
from workbench.readers.dialects import (
    first_user_message,
    is_conversation,
    is_message,
    openai_messages,
    with_system,
)


def said(message: dict[str, Any]) -> Any:
    (only,) = openai_messages([message], Counter())
    return only


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"from": "human", "value": "hi"}, {"role": "user", "content": "hi"}),
        ({"from": "gpt", "value": "yes"}, {"role": "assistant", "content": "yes"}),
        ({"role": "ai", "text": "ls"}, {"role": "assistant", "content": "ls"}),
        (
            {"role": "system", "text": None, "system_prompt": "be brief"},
            {"role": "system", "content": "be brief", "text": None},
        ),
        (
            {"type": "human", "data": {"content": "hi", "name": None}},
            {"role": "user", "content": "hi", "name": None},
        ),
        ({"type": "ai", "content": "ok"}, {"role": "assistant", "content": "ok"}),
        ({"from": "observation", "value": "3"}, {"role": "tool", "content": "3"}),
        (
            {"from": "function_call", "value": '{"name": "act", "arguments": {"x": 1}}'},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"name": "act", "arguments": {"x": 1}}],
            },
        ),
        (
            {"role": "function_call", "content": "no JSON"},
            {"role": "assistant", "content": "no JSON"},
        ),
    ],
)
def test_keys_and_roles_of_other_forms_are_those_of_openai(
    message: dict[str, Any], expected: dict[str, Any]
):
    assert said(message) == expected


def test_messages_in_openai_s_form_stay_as_they_are_to_the_key():
    changes: Counter[str] = Counter()
    messages = [
        {"role": "user", "content": "a", "value": 1},
        {"role": "critic", "content": "b"},
        {"role": "assistant", "content": None, "tool_calls": []},
        "text",
    ]
    assert openai_messages(messages, changes) == messages
    assert not changes


def test_what_is_changed_is_counted():
    changes: Counter[str] = Counter()
    openai_messages([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], changes)
    assert changes == {
        "from is role": 2,
        "the role human is user": 1,
        "the role gpt is assistant": 1,
        "value is content": 2,
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"role": "user", "content": "a"}], True),
        (json.dumps([{"from": "human", "value": "a"}]), True),
        ([{"action": "ls", "observation": "x"}], False),  # steps of SWE-agent
        ([{"type": "text", "text": "a"}], False),  # content parts
        ([], False),
        ("[not JSON", False),
        ("text", False),
        (None, False),
    ],
)
def test_a_conversation_is_told_by_the_roles_of_its_messages(value: Any, expected: bool):
    assert is_conversation(value) is expected


def test_a_system_prompt_beside_the_messages_comes_first_unless_there_is_one():
    user = {"role": "user", "content": "a"}
    system = {"role": "system", "content": "s"}
    assert with_system([user], "s") == [system, user]
    assert with_system([system, user], "other") == [system, user]
    assert with_system([user], {"no": "text"}) == [user]


def test_two_pictures_are_two_first_messages():
    asked = [
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": name}}]}]
        for name in ("a.png", "b.png")
    ]
    assert first_user_message(asked[0]) != first_user_message(asked[1])
    assert first_user_message(asked[0]) == asked[0][0]["content"]
    assert first_user_message([{"role": "system", "content": "s"}]) is None


@pytest.mark.parametrize(
    "name",
    [
        "swe_agent_trajectories.parquet",
        "swe_rebench_openhands.parquet",
        "swe_smith.parquet",
        "open_swe_traces.parquet",
        "sharegpt.json",
        "langchain.jsonl",
    ],
)
def test_public_layouts_are_the_nine_canonical_steps(name: str):
    calls = name not in {"swe_agent_trajectories.parquet", "sharegpt.json"}

    def action(text: str) -> str:
        call = {"arguments": {"command": text}, "name": "act"}
        return json.dumps(call) if calls else text

    imported = import_log([SAMPLES / "chat" / name])
    assert_nine_steps(imported, "chat", action=action)
    first = json.loads(imported.validated.log["messages"][0])
    assert [message["role"] for message in first] == ["system", "user", "assistant"]


def test_runs_of_swe_gym_are_rollouts_of_their_tasks():
    imported = import_log([SAMPLES / "chat/swe_gym_openhands.parquet"])
    log = imported.validated.log
    # Four runs over two tasks: run_id names a rollout only within its task.
    assert dict(imported.report.rollouts) == {4: 2}
    assert log["trajectory_id"][0] == f"find-key/{RUN.format(1)}"
    assert log.filter(step_index=0)["success"].to_list() == [True, True, False, False] * 2
    assert imported.report.renamed["trajectory_id"] == "run_id"
    assert "tools" in log.columns
    # Keys that only the table has are no parameters of a tool.
    (finish,) = [t for t in json.loads(log["tools"][0]) if t["function"]["name"] == "finish"]
    assert finish["function"].keys() == {"name", "description"}


RUN = "gpt-4o-2024-08-06_maxiter_50_N_v2.1-no-hint-train-t0-run_{}"


def test_a_role_that_is_no_text_is_none():
    assert not is_message({"role": [1], "content": "go"})
