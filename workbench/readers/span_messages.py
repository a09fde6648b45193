"""Calls of a model that spans tell of, in the conventions that instrumentations follow.

- OpenTelemetry's for generative AI (open-telemetry/semantic-conventions, `docs/gen-ai`; version
  1.37 and later): `gen_ai.input.messages`, `gen_ai.output.messages` and
  `gen_ai.system_instructions`, lists of {role, parts [{type, content …}]} as JSON, on the span or
  its event `gen_ai.client.inference.operation.details`; `gen_ai.tool.definitions`.
- The same until 1.36: an event or a log record per message, `gen_ai.system.message`,
  `gen_ai.user.message`, `gen_ai.assistant.message`, `gen_ai.tool.message` and `gen_ai.choice`.
- The same until 1.28: `gen_ai.prompt` and `gen_ai.completion` as JSON, on the span or on its
  events `gen_ai.content.prompt` and `gen_ai.content.completion`.
- OpenLLMetry's: `gen_ai.prompt.0.role`, `gen_ai.completion.0.content`.
- OpenInference's (Arize-ai/openinference, `spec/semantic_conventions.md`):
  `llm.input_messages.0.message.role`, `llm.output_messages`, `llm.tools`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.log.conversation import Message, MessageError, canonical_json, decoded
from workbench.readers.sessions import text_of
from workbench.readers.span_files import Event, Span
from workbench.readers.span_keys import MEDIA, decoded_parts, flattened, items, numbered
from workbench.wording import shortened

_CALLS = frozenset({"chat", "text_completion", "generate_content"})
"""Values of `gen_ai.operation.name` of a call of a model."""

_SAYS = ("gen_ai.input.messages", "gen_ai.prompt.", "llm.input_messages")
_DETAILS = frozenset({
    "gen_ai.client.inference.operation.details", "gen_ai.content.prompt",
    "gen_ai.content.completion",
})  # fmt: skip
"""Events whose attributes are those that a span may have itself."""

_AS_JSON = frozenset({"gen_ai.input.messages", "gen_ai.output.messages"})
"""Attributes that are JSON by convention, where others may hold text."""

_EVENT = re.compile(r"gen_ai\.(system|developer|user|assistant|tool)\.message")
_CHOICE = "gen_ai.choice"


@dataclass(frozen=True, kw_only=True)
class Call:
    """The messages of a call of a model.

    Args:
        prompt: The messages that were sent, in a form that `log.conversation` knows.
        replies: The answers, of which the first counts.
        tools: The tools that were offered.
        finish_reason: Why the model stopped.
        model: The model that answered, or that was asked.
        tokens: How many it wrote.
    """

    prompt: Sequence[Message]
    replies: Sequence[Message]
    tools: Any
    finish_reason: str | None
    model: str | None
    tokens: int | None


def kind_of(span: Span) -> str:
    """The kind of a span, `call` where a model was called."""
    attributes = span.attributes
    operation = text_of(attributes, "gen_ai.operation.name")
    kinds = ("openinference.span.kind", "traceloop.span.kind")
    kind = next(filter(None, (text_of(attributes, key) for key in kinds)), None)
    if operation in _CALLS or kind == "LLM":
        return "call"
    if operation or kind:
        return str(operation or kind)
    is_call = any(key.startswith(_SAYS) for key in attributes)
    is_call |= any(event.name == _CHOICE for event in span.events)
    return "call" if is_call else "other"


def call_of(span: Span) -> Call:
    """The call of a model that a span tells of.

    Raises:
        MessageError: What it holds for messages is none.
    """
    attributes = dict(span.attributes)
    for event in span.events:
        if event.name in _DETAILS:
            attributes = {**event.values, **attributes}
    flat = dict(flattened(attributes))
    prompt, replies = _told(attributes, flat, span.events)
    reason = _first(attributes, "gen_ai.response.finish_reasons", "llm.finish_reason")
    reason = reason[-1] if isinstance(reason, list) and reason else reason
    told = [flat.get("gen_ai.completion.0.finish_reason")]
    told += [reply.get("finish_reason") for reply in replies]
    reason = reason or next(filter(None, told), None)
    tokens = _first(attributes, "gen_ai.usage.output_tokens", "llm.token_count.completion")
    model = _first(attributes, "gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
    return Call(
        prompt=[message for message in prompt if message],
        replies=[
            {key: value for key, value in reply.items() if key != "finish_reason"}
            for reply in replies
        ],
        tools=_tools(attributes, flat),
        finish_reason=reason if isinstance(reason, str) else None,
        model=model if isinstance(model, str) else None,
        tokens=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None,
    )


def _first(attributes: Mapping[str, Any], *keys: str) -> Any:
    return next((attributes[key] for key in keys if attributes.get(key) is not None), None)


def _told(
    attributes: Mapping[str, Any], flat: Mapping[str, Any], events: Sequence[Event]
) -> tuple[list[Message], list[Message]]:
    """The messages that were sent and the answers, by the first convention that has any."""
    for asked, answered in (
        ("gen_ai.input.messages", "gen_ai.output.messages"),
        ("gen_ai.prompt", "gen_ai.completion"),
    ):
        if asked in attributes or answered in attributes:
            told = _list(attributes.get("gen_ai.system_instructions"), "text")
            system = [_part(part) for part in told]
            before = [{"role": "system", "content": _content(system)}] if system else []
            sent, given = (
                [_message(item) for item in _list(_whole(attributes, name), "content")]
                for name in (asked, answered)
            )
            return [*before, *sent], given
    if any(event.name == _CHOICE or _EVENT.fullmatch(event.name) for event in events):
        return _events(events)
    for asked, answered, prefix in (
        ("llm.input_messages", "llm.output_messages", "message."),
        ("gen_ai.prompt", "gen_ai.completion", ""),
    ):
        sent, given = (list(numbered(flat, name, prefix)) for name in (asked, answered))
        if sent or given:
            return sent, given
    return [], []


def _whole(attributes: Mapping[str, Any], name: str) -> Any:
    """The messages under a name; text that only begins as a list was cut off.

    Raises:
        MessageError: It was.
    """
    found = decoded(attributes.get(name))
    if name in _AS_JSON and isinstance(found, str) and found.lstrip()[:1] in {"[", "{"}:
        raise MessageError(
            f"{name} is no JSON: it begins as {shortened(found, 30)!r} and is cut off"
        )
    return found


def _list(value: Any, key: str) -> list[Any]:
    """A list that may be given as JSON text; other text is the one thing of it, under a key."""
    found = decoded(value)
    if isinstance(found, str):
        return [{"type": "text", key: found} if key == "text" else {key: found}]
    if isinstance(found, dict):
        return [{"content": found["text"], **found} if "text" in found else found]
    return found if isinstance(found, list) else []


# OpenTelemetry: a list of messages with parts.


def _message(given: Any) -> Message:
    """A message with parts as one with content; a null is left for whoever reads it to refuse."""
    if not isinstance(given, dict) or not isinstance(given.get("parts"), list):
        return {"role": "user", **given} if isinstance(given, dict) else {"content": given}
    named = {key: given[key] for key in ("name", "finish_reason") if given.get(key)}
    return {
        "role": given.get("role"),
        "content": _content([_part(part) for part in given["parts"]]),
        **named,
    }


def _content(parts: list[Any]) -> Any:
    """Parts as content; one text as that."""
    is_text = len(parts) == 1 and isinstance(parts[0], dict) and parts[0].get("type") == "text"
    return parts[0]["text"] if is_text else parts


def _part(part: Any) -> Any:
    """A part of OpenTelemetry's in a form that `log.conversation` knows; others as they are."""
    kind = part.get("type") if isinstance(part, dict) else None
    known = _PARTS.get(kind) if isinstance(kind, str) else None
    return part if known is None else known(part)


def _text_part(part: Message) -> Message:
    return {"type": "text", "text": _words(_first(part, "text", "content")) or ""}


def _thought(part: Message) -> Message:
    return {"type": "thinking", "thinking": _first(part, "content", "thinking")}


def _answer(part: Message) -> Message:
    given = _first(part, "response", "result", "content", "server_tool_call_response")
    return {"type": "tool_result", "tool_use_id": part.get("id"), "content": _words(given)}


def _server_call(part: Message) -> Message:
    given = part.get("server_tool_call")
    named = {"id": part.get("id"), "name": part.get("name")}
    return {"type": "server_tool_use", **named, "input": given}


def _media(part: Message) -> Message:
    media = str(part.get("modality") or "file")
    address = _first(part, "uri", "file_id")
    held = {"data": part.get("content")} if address is None else {"url": address}
    return {"type": MEDIA.get(media, media), "source": held}


_PARTS: Mapping[str, Callable[[Message], Message]] = {
    "text": _text_part,
    "reasoning": _thought,
    "thinking": _thought,
    "tool_call_response": _answer,
    "server_tool_call_response": _answer,
    "server_tool_call": _server_call,
    "blob": _media,
    "uri": _media,
    "file": _media,
}


def _words(value: Any) -> Any:
    """A text as it is, anything else as JSON."""
    return value if value is None or isinstance(value, str) else canonical_json(value)


# OpenTelemetry until 1.36: an event a message.


def _events(events: Sequence[Event]) -> tuple[list[Message], list[Message]]:
    sent: list[Message] = []
    given: list[Message] = []
    for event in events:
        found = _EVENT.fullmatch(event.name)
        values = {key: decoded_parts(value) for key, value in event.values.items()}
        if found:
            sent.append(_of_event(values, found.group(1)))
        elif event.name == _CHOICE:
            inner = values.get("message")
            reply = inner if isinstance(inner, dict) else values
            reason = {"finish_reason": values.get("finish_reason")}
            given.append({**_of_event(reply, "assistant"), **reason})
    return sent, given


def _of_event(values: Mapping[str, Any], role: str) -> Message:
    told = values.get("role")
    message: Message = {"role": told if isinstance(told, str) else role}
    message |= {key: values[key] for key in ("content", "tool_calls", "name") if key in values}
    if role == "tool":
        message["tool_call_id"] = values.get("id")
    return message


def _tools(attributes: Mapping[str, Any], flat: Mapping[str, Any]) -> Any:
    """The tools that were offered; None where no convention names any."""
    told = decoded(_first(attributes, "gen_ai.tool.definitions", "gen_ai.request.tools"))
    if isinstance(told, list) and told:
        return told
    schemas = [
        decoded(item.get("tool.json_schema", item.get("json_schema")))
        for item in items(flat, "llm.tools")
    ]
    functions = [
        {"type": "function", "function": {**item, "parameters": decoded(item.get("parameters"))}}
        for item in items(flat, "llm.request.functions")
    ]
    return [schema for schema in schemas if schema is not None] or functions or None
