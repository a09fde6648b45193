"""Chat messages as steps: the one canonical form that every reader of messages uses.

A step is an assistant message. Its observation is what was new to the policy since its previous
one; its action is its text and then its tool calls, one line a call, as JSON with sorted keys:

    {"arguments": {"command": "look drawer"}, "name": "act"}

Reasoning that a message carries beside its content is no part of the action; it stays in the
column `messages`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PROMPT_ROLES = frozenset({"system", "developer"})


class MessageError(ValueError):
    """A list of messages that is not one; the text says what is wrong, for use in a problem."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One assistant message with what came before and after it.

    Args:
        observation: What was new since the previous assistant message: user and tool messages,
            joined by newlines. System and developer messages are prompt and count only where
            nothing else is new. Assistant messages that the policy did not write, and what stands
            before them, are history and do not count.
        action: The assistant message as text.
        next_observation: The observation that followed; None where nothing did.
        messages: JSON list of the messages new at this step, the assistant message last, as they
            were logged. Those of all steps joined are the conversation.
    """

    observation: str
    action: str
    next_observation: str | None
    messages: str


def turns(messages: Any, acts: Collection[int] | None = None) -> list[Turn]:
    """The steps of a conversation; none if no message is the assistant's.

    Args:
        messages: OpenAI-style messages, oldest first.
        acts: Positions of the messages that the policy wrote; None means all of the assistant's.

    Raises:
        MessageError: `messages` is not a list of objects with a role, or one of them holds
            content or tool calls that are not what they should be.
    """
    if not isinstance(messages, list):
        raise MessageError(f"is a {type(messages).__name__}, expected a list of messages")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise MessageError("holds a message without a role")
    try:
        return _turns(messages, range(len(messages)) if acts is None else acts)
    except RecursionError:
        raise MessageError("is nested too deeply") from None


def _turns(messages: Sequence[Mapping[str, Any]], written: Collection[int]) -> list[Turn]:
    acts = [
        at
        for at, message in enumerate(messages)
        if message["role"] == "assistant" and at in written
    ]
    starts = [0, *(at + 1 for at in acts)]
    ends = [*acts, len(messages)]
    new = [messages[start:end] for start, end in zip(starts, ends, strict=True)]
    observations: list[str | None] = [observation_text(chunk) for chunk in new]
    if not new[-1]:
        observations[-1] = None
    return [
        Turn(
            observation=observations[step] or "",
            action=action_text(messages[at]),
            next_observation=observations[step + 1],
            messages=canonical_json([*new[step], messages[at]]),
        )
        for step, at in enumerate(acts)
    ]


def observation_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the messages between two steps tell the policy."""
    history = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    messages = messages[history[-1] + 1 :] if history else messages
    seen = [message for message in messages if message["role"] not in _PROMPT_ROLES]
    return "\n".join(content_text(message.get("content")) for message in seen or messages)


def action_text(message: Mapping[str, Any]) -> str:
    """The canonical form of an assistant message: its text, then its calls, one a line."""
    text = content_text(message.get("content")) or content_text(message.get("refusal"))
    lines = [text] if text else []
    calls = _decoded(message.get("tool_calls")) or []
    if not isinstance(calls, list):
        raise MessageError("holds tool_calls that are not a list")
    if message.get("function_call"):
        calls = [*calls, message["function_call"]]
    return "\n".join([*lines, *(call_text(call) for call in calls)])


def call_text(call: Any) -> str:
    """The canonical form of a tool call, whether its name and arguments are nested or flat.

    Arguments that are the text of a JSON object are decoded, so that spacing and the order of
    keys make no difference; other text stays text, and missing arguments are an empty object.
    """
    if isinstance(call, Mapping):
        inner = call.get("function") or call.get("custom") or call
        name = inner.get("name") if isinstance(inner, Mapping) else None
        if isinstance(name, str):
            given = inner.get("arguments", inner.get("input"))
            decoded = _decoded(given)
            arguments = decoded if isinstance(decoded, dict) else given
            return canonical_json({"name": name, "arguments": arguments or {}})
    raise MessageError("holds a tool call without a name")


def content_text(content: Any) -> str:
    """The text of a message's content; null is empty, parts are joined by newlines.

    A part that is no text is named in brackets, such as `[image_url]`.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part_text(part) for part in content)
    return canonical_json(content)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys: equal values give equal text; what JSON has no word for is text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise MessageError("holds a content part that is neither text nor an object")
    text = part.get("text", part.get("refusal"))
    return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def _decoded(value: Any) -> Any:
    """A value that may be given as JSON text; text that is none stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except ValueError:
        return value
