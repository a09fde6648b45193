"""Chat messages as steps."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from log_files import assistant, user
from narrow import some

from workbench.log.conversation import MessageError, content_text
from workbench.readers.messages import turns


def test_system_messages_are_observed_only_where_nothing_else_is_new():
    system = {"role": "system", "content": "rules"}
    both = turns([system, user("go"), assistant("a"), system, assistant("b")])
    assert [turn.observation for turn in both] == ["go", "rules"]
    assert json.loads(some(both[0].messages))[0] == system
    assert turns([system, assistant("a")])[0].observation == "rules"


def action(message: dict[str, Any]) -> str:
    return turns([message])[0].action


def test_content_parts_are_joined_and_pictures_named():
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert re.fullmatch(r"see\n\[image sha256:[0-9a-f]{16}\]", content_text(parts))
    assert content_text(None) == ""


@pytest.mark.parametrize(
    "call",
    [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"b":1,"a":2}'}},
        {"name": "f", "arguments": {"b": 1, "a": 2}},
        {"type": "custom", "custom": {"name": "f", "input": '{"a": 2, "b": 1}'}},
    ],
)
def test_tool_calls_have_one_canonical_form(call: dict[str, Any]):
    expected = 'text\n{"arguments": {"a": 2, "b": 1}, "name": "f"}'
    assert action(assistant("text", tool_calls=[call])) == expected
    assert action(assistant("text", tool_calls=json.dumps([call]))) == expected


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([assistant([3])], "a content part that is neither text nor an object"),
        ([assistant("", tool_calls=5)], "tool_calls that are not a list"),
        ([assistant("", tool_calls=[None])], "a tool call without a name"),
    ],
)
def test_a_malformed_message_says_what_is_wrong(messages: list[Any], says: str):
    with pytest.raises(MessageError, match=says):
        turns(messages)


def test_content_that_is_data_becomes_json():
    assert content_text({"b": 1, "a": 2}) == '{"a": 2, "b": 1}'
    assert content_text(["x", {"type": "text", "text": "y"}]) == "x\ny"


def test_odd_arguments_stay_as_they_are():
    def arguments(given: Any) -> Any:
        call = {"function": {"name": "f", "arguments": given}}
        return json.loads(action(assistant(None, tool_calls=[call])))["arguments"]

    assert arguments("not json") == "not json"
    assert arguments("5") == "5"
    assert arguments("") == {}
    assert arguments(None) == {}
    legacy = assistant(None, function_call={"name": "f", "arguments": "{}"})
    assert action(legacy) == '{"arguments": {}, "name": "f"}'


def test_what_of_a_record_cannot_be_used_is_said():
    talk = [user("go"), {"role": "banana", "content": "x"}, assistant("ok")]
    (one,) = turns(talk, tools="junk{")
    assert one.tools is None
    assert one.notes == {
        "a message of the unknown role 'banana' is context, and not trained": 1,
        "tools that are neither a list nor an object are left out": 1,
    }
    nothings: tuple[Any, ...] = (None, "", [], "[]")
    for nothing in nothings:
        assert turns([user("go"), assistant("ok")], tools=nothing)[0].notes == {}


def test_what_follows_the_last_reply_is_its_answer_and_counted():
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    (alone,) = turns(said)
    (step,) = turns([*said, {"role": "user", "content": "thanks"}])
    note = "conversation: messages after the last reply are its answer, and in no batch"
    assert alone.notes.get(note) is None
    assert step.notes[note] == 1
    assert step.next_observation == "thanks"
