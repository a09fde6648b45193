"""Items of OpenAI's Responses API as chat messages: what one call of the model gave is one."""

from __future__ import annotations

from workbench.readers.jsonfiles import Record

_CALLS = ("function_call", "custom_tool_call")


def is_answer(kind: str) -> bool:
    """True for types of items that a tool gave."""
    return kind.endswith("_output")


def answer_of(item: Record) -> Record:
    """The message of a tool's answer."""
    given = item.get("output")
    if isinstance(given, dict) and isinstance(given.get("content"), str):
        given = given["content"]  # besides whether it succeeded, which no model is told
    return {"role": "tool", "tool_call_id": item.get("call_id"), "content": given}


def begins_call(item: Record, before: Record | None) -> bool:
    """True where an item that the model wrote is of another call than the one right before it.

    Args:
        item: A reasoning, a message or a call.
        before: The message of the call so far; None where something else stood before.
    """
    is_message = (item.get("type") or "message") == "message"
    return before is None or (is_message and bool(before.get("content")))


def empty_reply() -> Record:
    """The message of a call of which no item is known yet."""
    return {"role": "assistant", "content": None, "tool_calls": []}


def join_item(message: Record, item: Record, left_out: frozenset[str] = frozenset()) -> None:
    """Add an item that the model wrote to the message of its call.

    A call of a tool that the model's provider runs, such as `web_search_call`, is named by its
    type.

    Args:
        message: As of `empty_reply`.
        item: The item.
        left_out: Keys of it that are no argument of such a call.
    """
    kind = item.get("type") or "message"
    if kind == "message":
        message["content"] = item.get("content")
    elif kind in _CALLS:
        call: Record = {key: item[key] for key in ("name", "arguments", "input") if key in item}
        message["tool_calls"].append({**call, "id": item.get("call_id")})
    elif kind == "reasoning":
        before, new = message.get("reasoning"), item.get("summary") or item.get("content")
        if isinstance(before, list) and isinstance(new, list):
            new = [*before, *new]
        message["reasoning"] = new or before
    else:
        own = {"type", "id", "call_id", "status", *left_out}
        arguments = {key: value for key, value in item.items() if key not in own}
        identity = item.get("call_id") or item.get("id")
        message["tool_calls"].append({"id": identity, "name": kind, "arguments": arguments})
