"""Keys of agents that call tools: the calls and their results, whatever their spelling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from workbench.log.conversation import MessageError, call_text, canonical_json
from workbench.log.steps import Index, Steps
from workbench.parameters import parameter
from workbench.states.keys.base import Key, KeySpace, action_key, labels, state_key
from workbench.states.keys.text import state_texts

_TAG = re.compile(r"</?tool_(?:call|response)>")


def tool_calls(action: str) -> list[str]:
    r"""The tool calls of an action: canonical JSON of name and arguments, in their order.

    A call is a JSON object with a name and arguments, on lines of its own or between
    `<tool_call>` tags; any other text is passed over.

    Example:
        >>> tool_calls('{"name": "look"}\n{"name": "go", "arguments": {"to": "b"}}')
        ['{"arguments": {"to": "b"}, "name": "go"}']
    """
    return [call for value in _json_values(action) if (call := _call(value)) is not None]


def _call(value: Any) -> str | None:
    inner = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        return None
    if "parameters" in inner and "arguments" not in inner:
        inner = {**inner, "arguments": inner["parameters"]}
    if not inner.keys() & {"arguments", "input"}:
        return None
    try:
        return call_text(inner)
    except MessageError:
        return None


def _json_values(text: str) -> list[Any]:
    """The JSON objects of a text: the whole of it, or one per line."""
    bare = _TAG.sub("\n", text).strip()
    for parts in ([bare], bare.splitlines()):
        values = [_parsed(part) for part in parts]
        if any(isinstance(value, dict) for value in values):
            return values
    return []


def _parsed(text: str) -> Any:
    if not text.strip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def canonical_result(observation: str) -> str:
    """An observation with the JSON at the end of each line in canonical form.

    Example:
        >>> canonical_result('[tool:get] {"b": 1,   "a": 2}')
        '[tool:get] {"a": 2, "b": 1}'
    """
    whole = _parsed(observation)
    if whole is not None:
        return canonical_json(whole)
    return "\n".join(map(_canonical_line, observation.splitlines()))


def _canonical_line(line: str) -> str:
    # Behind a name such as `[tool:search]` or `Result:`, or alone.
    found = re.match(r"(\s*(?:\[[^\]\n]*\]|[\w .:-]{0,80}:)?\s*)([{\[].*)$", line)
    value = None if found is None else _parsed(found.group(2))
    return line if found is None or value is None else found.group(1) + canonical_json(value)


def _of_distinct(texts: pl.Series, function: Callable[[str], str]) -> pl.Series:
    """A function of each text, called once for each distinct one."""
    distinct = texts.drop_nulls().unique(maintain_order=True)
    made = pl.Series([function(text) for text in distinct], dtype=pl.String)
    return texts.replace_strict(distinct, made, default=None, return_dtype=pl.String)


@action_key("tool")
@dataclass(frozen=True, kw_only=True)
class ToolCall(Key):
    """The same tools called with the same arguments, whatever was said besides it."""

    without_call: Literal["text", "same"] = parameter(
        "text", "actions without a call: the same where their texts are, or all the same"
    )

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by the calls of the action."""
        action = steps.column("action")
        calls = _of_distinct(action, lambda text: "\n".join(tool_calls(text)))
        without = calls == ""
        text = (
            action
            if self.without_call == "text"
            else pl.Series([""]).new_from_index(0, len(action))
        )
        return labels(steps, calls.zip_with(~without, text), without)


@state_key("tool")
@dataclass(frozen=True, kw_only=True)
class ToolResult(Key):
    """The same result of the same tool calls, whatever the order of its JSON keys.

    What was called is part of it because a result such as "Done." does not say of what.
    """

    call: bool = parameter(True, "whether the calls that led to the result are part of it")

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by result, and by the calls of the action before it."""
        text, logged = state_texts(steps)
        result = text.zip_with(logged, _of_distinct(text, canonical_result))
        if not self.call:
            return labels(steps, result, logged)
        calls = _of_distinct(steps.column("action"), lambda text: "\n".join(tool_calls(text)))
        before = calls.shift(1).set(pl.Series(steps.step_index == 0), "")
        return labels(steps, result, logged, before)

    def looks_back(self) -> bool:
        """True where the calls of the step before are part of it."""
        return self.call
