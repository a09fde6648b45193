"""Dotted keys with positions in them, in which OpenInference and OpenLLMetry write messages.

`llm.input_messages.0.message.role`, `gen_ai.prompt.0.content`: a value per key, since attributes of
spans hold no lists of objects. A data frame of Phoenix has lists of these keys' second halves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.log.conversation import Message, decoded
from workbench.readers.jsonfiles import objects

MEDIA = {"image": "image_url", "audio": "input_audio", "video": "video_url"}
"""Kind of a medium -> type of a part that holds its address."""


def flattened(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys -> values that are no objects and hold none."""
    for key, item in value.items():
        name = f"{before}{key}"
        if isinstance(item, Mapping):
            yield from flattened(item, f"{name}.")
        elif isinstance(item, list) and objects(item):
            yield from flattened({str(at): part for at, part in enumerate(item)}, f"{name}.")
        elif item is not None:
            yield name, item


def numbered(flat: Mapping[str, Any], name: str, prefix: str) -> Iterator[Message]:
    """The messages under a name, in their order."""
    for values in items(flat, name):
        own = {
            key.removeprefix(prefix): value
            for key, value in values.items()
            if key.startswith(prefix)
        }
        message: Message = {
            key: own[key] for key in ("role", "content", "tool_call_id", "name") if key in own
        }
        message["content"] = decoded_parts(message.get("content"))
        if parts := [_content_of(part) for part in items(own, "contents")]:
            message["content"] = parts
        calls = [_call(call) for call in items(own, "tool_calls")]
        if "function_call_name" in own:
            arguments = own.get("function_call_arguments_json")
            calls.append({"name": own["function_call_name"], "arguments": arguments})
        if calls:
            message["tool_calls"] = calls
        yield message


def items(flat: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The values under `name.0.`, `name.1.` and so on, by what stands behind that."""
    found: dict[int, dict[str, Any]] = {}
    for key, value in flat.items():
        if key.startswith(f"{name}."):
            at, _, rest = key.removeprefix(f"{name}.").partition(".")
            if at.isdecimal() and len(at) < 10 and rest:
                found.setdefault(int(at), {})[rest] = value
    return [found[at] for at in sorted(found)]


def _content_of(values: Mapping[str, Any]) -> Message:
    """A content item of OpenInference as a part."""
    own = {key.removeprefix("message_content."): value for key, value in values.items()}
    kind = own.pop("type", "text")
    if kind == "text":
        return {"type": "text", "text": str(own.get("text", ""))}
    if kind in ("reasoning", "thinking"):
        return {"type": "thinking", "thinking": own.get("text")}
    address = next((value for key, value in own.items() if key.endswith(".url")), None)
    if address is not None:
        media = MEDIA.get(str(kind), str(kind))
        return {"type": media, media: {"url": address}}
    return {"type": kind, **own}


def _call(values: Mapping[str, Any]) -> Message:
    """A call of a tool from dotted keys."""
    own = {
        key.removeprefix("tool_call.").removeprefix("function."): value
        for key, value in values.items()
    }
    arguments = own.get("arguments")
    if arguments is None:  # an object, whose keys were flattened
        inner = {
            key.removeprefix("arguments."): value
            for key, value in own.items()
            if key.startswith("arguments.")
        }
        arguments = json.dumps(inner, ensure_ascii=False, default=str) if inner else None
    return {"id": own.get("id"), "name": own.get("name"), "arguments": arguments}


def decoded_parts(value: Any) -> Any:
    """A value that may be a list or an object as JSON text; other text stays as it is."""
    is_json = isinstance(value, str) and value.lstrip().startswith(("[{", '{"'))
    found = decoded(value) if is_json else value
    return found if isinstance(found, list | dict) else value
