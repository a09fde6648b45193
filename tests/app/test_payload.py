"""Payload of the viewer: blocks of a step, heads of long texts, states, numbers."""

from __future__ import annotations

import json
from typing import Any

import logs
import polars as pl
import pytest

from workbench.analysis.rollouts import Rollouts
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space
from workbench.ui.viewer.payload import GroupOfLog, Scale, find, group_payload
from workbench.ui.viewer.turns import Turns, cut, done, whole_text

SMALL = {
    "g": {
        "g/10": [("s", "go", 0.0), ("t", "look", 1.0)],
        "g/9": [("s", "stay", 0.0)],
    }
}


def row(observation: str = "s", action: str = "go", **more: Any) -> dict[str, Any]:
    return {"observation": observation, "action": action, **more}


def told(step: dict[str, Any]) -> list[tuple[Any, ...]]:
    blocks = Turns().blocks(step)
    return [(b["role"], b["label"], b.get("args", b.get("text"))) for b in blocks]


def payload(frame: pl.DataFrame, group: str = "g", shown: str = "", **columns: Any):
    rollouts = Rollouts.from_log(frame)
    steps = Steps.from_log(frame)
    credit = create("grpo")(steps, Space(steps))
    of = GroupOfLog(frame, rollouts, group)
    found = group_payload(
        of, {"grpo": credit}, [Scale.of(credit)], shown=shown, step_columns=columns
    )
    return of, found


def test_a_step_without_messages_is_what_was_seen_thought_and_done():
    assert told(row("a room", "go", thought="well")) == [
        ("environment", "environment", "a room"),
        ("thought", "thought", "well"),
        ("action", "action", "go"),
    ]


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        ("[user] Hi", ("user", "user", "Hi")),
        ("[tool:search] {}", ("tool", "search", "{}")),
        ("[other] x", ("environment", "environment", "[other] x")),
    ],
)
def test_an_observation_that_names_who_speaks(observation: str, expected: tuple[str, str, str]):
    assert told(row(observation))[0] == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("search[a pen]", [("action", "search", [["", "a pen"]])]),
        ('{"arguments":{"b":2,"a":"x"},"name":"f"}', [("action", "f", [["b", "2"], ["a", "x"]])]),
        (
            'I look.\n{"arguments":{},"name":"look"}',
            [("action", "action", "I look."), ("action", "look", [])],
        ),
        ('{"name":', [("action", "action", '{"name":')]),
        ('{"name":"f","other":1}', [("action", "action", '{"name":"f","other":1}')]),
        ("", [("action", "action", "")]),
    ],
)
def test_an_action_is_text_and_calls(action: str, expected: list[tuple[Any, ...]]):
    assert told(row("s", action))[1:] == expected


def test_an_action_on_one_line():
    assert done('I look.\n{"arguments":{"at":"door"},"name":"look"}') == "I look. look(door)"


def test_messages_are_told_by_role_and_an_answer_names_the_call():
    first = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"at": 1}'}}],
        },
    ]
    second = [
        {"role": "tool", "content": "a door", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Done."},
    ]
    turns = Turns()
    blocks = [
        (b["role"], b["label"], b.get("args", b.get("text")))
        for messages in (first, second)
        for b in turns.blocks(row(messages=json.dumps(messages)))
    ]
    assert blocks == [
        ("system", "system", "Be brief."),
        ("user", "user", "Hi"),
        ("thought", "thought", "hm"),
        ("action", "look", [["at", "1"]]),
        ("tool", "look", "a door"),
        ("action", "message", "Done."),
    ]


def test_heads_are_sent_and_whole_lengths_told():
    blocks = Turns().blocks(row("x" * 700, '{"arguments":{"q":"' + "y" * 900 + '"},"name":"f"}'))
    heads, lengths = cut(blocks, 600)
    # The call is its name, the name of the argument and 900 characters: 1 + 1 + 900 and two blanks.
    assert lengths == {0: 700, 1: 904}
    assert [len(heads[0]["text"]), len(heads[1]["args"][0][1])] == [600, 600]
    assert len(whole_text(blocks[1])) == 904


def test_a_group_has_its_rollouts_in_the_order_of_people():
    of, made = payload(logs.log(SMALL), kept=[True, False, True])
    assert made["rollouts"]["id"] == ["g/9", "g/10"]
    assert of.rows.tolist() == [2, 0, 1]
    assert made["rollouts"]["length"] == [1, 2]
    # Rewards 1 and 0: mean 1/2, deviation √2/2, so ±1/√2.
    assert made["advantage"][0] == [-0.707106, 0.707106, 0.707106]
    assert made["steps"]["kept"] == [True, False, True]
    assert made["byState"]
    # "s" of both rollouts is one state.
    states = made["steps"]["state"]
    assert (states[0] == states[1], states[0] == states[2]) == (True, False)


def test_free_talk_is_aligned_by_who_spoke_and_what_was_called():
    talk = {
        "g": {
            "a": [("[user] hello", "f[x]", 0.0), ("[tool:f] 1", "bye", 1.0)],
            "b": [("[user] good day", "f[y]", 0.0), ("[tool:f] 2", "so long", 0.0)],
        }
    }
    _, made = payload(logs.log(talk))
    assert not made["byState"]
    first, second, third, fourth = made["steps"]["state"]
    assert (first, second) == (third, fourth)


def test_columns_that_say_nothing_are_not_sent():
    _, made = payload(logs.log(SMALL))
    assert set(made["steps"]) == {"blocks", "state", "reward"}
    agents = logs.log(SMALL, agent_id=["p", "q", "p"], valid_action=[True, False, True])
    _, made = payload(agents)
    assert made["steps"]["agent_id"] == ["p", "p", "q"]
    assert made["steps"]["valid_action"] == [True, True, False]


def test_of_a_group_with_too_much_text_one_rollout_is_sent():
    steps = [(f"{index} " * 300, f"{index} " * 300, 0.0) for index in range(1_500)]
    _, made = payload(logs.log({"g": {"a": steps, "b": steps}}), shown="b")
    assert made["partly"]
    sent = [blocks is not None for blocks in made["steps"]["blocks"]]
    assert sent == [False] * 1_500 + [True] * 1_500
    assert len(json.dumps(made)) < 2_000_000


def test_a_search_goes_through_whole_texts():
    frame = logs.log({"g": {"a": [("x" * 5_000 + " The END", "go", 0.0), ("s", "go", 1.0)]}})
    of, _ = payload(frame)
    assert find(of, "the end") == [0]
    assert find(of, "GO") == [0, 1]


def test_the_scale_of_credits_that_are_all_0_is_1():
    frame = logs.log({"g": {"a": [("s", "go", 1.0)], "b": [("s", "go", 1.0)]}})
    steps = Steps.from_log(frame)
    assert Scale.of(create("grpo")(steps, Space(steps))) == Scale(largest=1.0, deviation=0.0)


def test_the_same_group_has_the_same_key_and_another_state_another():
    _, one = payload(logs.log(SMALL))
    _, same = payload(logs.log(SMALL))
    _, other = payload(logs.log(SMALL), mark=["+", None, None])
    assert one["key"] == same["key"] != other["key"]
