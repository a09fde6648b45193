"""Messages of public sets, under the keys and roles of ShareGPT, LangChain and their kin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from workbench.log.conversation import Message, decoded
from workbench.readers.jsonfiles import objects

_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "environment": "tool",
    "env": "tool",
}
"""Roles of other forms -> the role of OpenAI's form."""

_KNOWN = {*_ROLES, "system", "developer", "user", "assistant", "tool", "function"}
_SESSIONS = ("session_id", "sessionId", "conversation_id", "thread_id", "trajectory_id")
_NAMES_OF_ROLE = ("role", "from", "type")
_NAMES_OF_CONTENT = ("content", "value", "text", "system_prompt", "parts")


def is_conversation(value: Any) -> bool:
    """True for a list of messages in a form that is known here, or its JSON text."""
    messages = decoded(value) if isinstance(value, str) and value[:1] == "[" else value
    if not isinstance(messages, list) or not messages or objects(messages) != messages:
        return False
    return all(_role(message) is not None for message in messages[:2])


def is_message(record: Mapping[str, Any]) -> bool:
    """True where a record is itself one message, of a file that holds one conversation."""
    is_of_several = any(isinstance(record.get(key), str | int) for key in _SESSIONS)
    says = "content" in record or "tool_calls" in record
    role = record.get("role")
    return isinstance(role, str) and role in _KNOWN and says and not is_of_several


def openai_messages(messages: Any, changes: Counter[str]) -> Any:
    """Messages with OpenAI's keys and roles; what is no list of objects comes back as it is.

    Args:
        messages: Oldest first, or their JSON text.
        changes: Gets what was changed, in words -> how often.
    """
    messages = decoded(messages)
    if not isinstance(messages, list):
        return messages
    return [_message(item, changes) if isinstance(item, dict) else item for item in messages]


def _role(message: Mapping[str, Any]) -> str | None:
    """The writer that a message names; None where it says nothing that is known here."""
    given = message.get("role")
    if isinstance(given, str):
        return given
    for name in _NAMES_OF_ROLE:
        given = message.get(name)
        if isinstance(given, str) and given in _KNOWN:
            return given
    return None


def _message(message: Message, changes: Counter[str]) -> Message:
    inner = message.get("data")
    if isinstance(inner, dict) and message.keys() <= {"type", "data"}:  # LangChain's own dump
        changes["data of messages are messages"] += 1
        message = {**inner, "type": message.get("type")}
    message = _with_parts(message, changes)
    role = _role(message)
    if role is None or (
        message.get("role") == role and role not in _ROLES and "content" in message
    ):
        return message
    own = dict(message)
    name = next(name for name in _NAMES_OF_ROLE if own.get(name) == role)
    del own[name]
    known = _ROLES.get(role, role)
    if name != "role":
        changes[f"{name} is role"] += 1
    if known != role:
        changes[f"the role {role} is {known}"] += 1
    made: Message = {"role": known}
    if "content" not in own:
        names = [name for name in _NAMES_OF_CONTENT if own.get(name) is not None]
        if names:
            changes[f"{names[0]} is content"] += 1
            made["content"] = own.pop(names[0])
    call = decoded(made.get("content", own.get("content"))) if role == "function_call" else None
    if isinstance(call, dict) and isinstance(call.get("name"), str):
        changes["content that is a call is tool_calls"] += 1
        made["content"], made["tool_calls"] = None, [call]
        own.pop("content", None)
    return made | own


def _with_parts(message: Message, changes: Counter[str]) -> Message:
    """A message whose content parts say under `type` what they are, as LLaMA-Factory has them."""
    content = message.get("content")
    if not isinstance(content, list) or not any("value" in part for part in objects(content)):
        return message
    changes["value of content parts is their content"] += 1
    return message | {"content": [_part(part) for part in content]}


def _part(part: Any) -> Any:
    if not isinstance(part, dict) or not isinstance(part.get("value"), str):
        return part
    kind, value = part.get("type"), part["value"]
    if kind == "tool_call" and isinstance(call := decoded(value), dict):
        return {"type": "tool_call", **call}
    name = {"text": "text", "reasoning": "reasoning"}.get(str(kind))
    return part if name is None else {"type": kind, name: value}


def with_system(messages: Any, system: Any) -> Any:
    """Messages behind the system prompt that a record has besides them.

    Args:
        messages: Messages in OpenAI's form.
        system: A text; anything else is none.
    """
    if not isinstance(messages, list) or not isinstance(system, str) or not system:
        return messages
    if any(item.get("role") in ("system", "developer") for item in objects(messages)):
        return messages
    return [{"role": "system", "content": system}, *messages]


def first_user_message(messages: Any) -> Any:
    """The content of the first user message of a conversation; None where there is none."""
    users = (item for item in objects(messages) if item.get("role") == "user")
    return next(users, {}).get("content")
