"""Keys by tool calls and their results."""

from __future__ import annotations

import pytest
from keyed import acted, actions, states
from logs import Described, steps

from workbench.states.keys.tools import tool_calls

CALL = '{"name": "go", "arguments": {"a": 1, "b": [2]}}'


def test_tool_calls_are_the_same_whatever_their_spelling() -> None:
    same = [
        CALL,
        '{"arguments": {"b": [2], "a": 1},   "name": "go"}',
        'I go now.\n{"name": "go", "arguments": "{\\"b\\": [2], \\"a\\": 1}"}',
        '<tool_call>\n{"name": "go", "parameters": {"b": [2], "a": 1}}\n</tool_call>',
        '{"type": "function", "function": {"name": "go", "arguments": {"a": 1, "b": [2]}}}',
        '{\n "name": "go",\n "arguments": {"a": 1, "b": [2]}\n}',
    ]
    assert actions(steps(acted(*same)), "tool") == [0] * len(same)
    other = CALL.replace("1", "2")
    assert actions(steps(acted(CALL, other, f"{CALL}\n{other}")), "tool") == [0, 1, 2]


def test_actions_without_a_call_are_compared_by_text_or_are_all_the_same() -> None:
    found = steps(acted("Hello", "Goodbye", CALL, "Hello", '{"price": 3}'))
    assert actions(found, "tool") == [0, 1, 2, 0, 3]
    assert actions(found, "tool:without_call=same") == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", '{"name": "x"}', "null", '{"name": 3}', "[" * 9999]
)
def test_what_is_no_call_is_none(text: str) -> None:
    assert tool_calls(text) == []


def test_a_tool_state_is_the_result_and_what_was_called() -> None:
    described: Described = {
        "g": {
            "t0": [("hi", CALL, 0.0), ('[tool:go] {"x": 1, "y": 2}', "bye", 0.0)],
            "t1": [("hi", CALL, 0.0), ('[tool:go] {"y": 2, "x": 1}', "bye", 0.0)],
            "t2": [("hi", "nothing", 0.0), ('[tool:go] {"y": 2, "x": 1}', "bye", 0.0)],
        }
    }
    assert states(steps(described), "tool") == [0, 1, 0, 1, 0, 2]
    assert states(steps(described), "tool:call=false") == [0, 1, 0, 1, 0, 1]
