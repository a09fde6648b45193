"""Parts of OpenHands' events as parts of messages, as its agents are shown them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from workbench.log.conversation import Message
from workbench.readers.jsonfiles import Record, objects
from workbench.readers.sessions import text_of


def list_of(value: Any) -> list[Any]:
    """A list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def shown(content: Any, metadata: Any) -> Any:
    """The output of a command, with what the agent is told besides: where, and how it ended."""
    if not isinstance(metadata, dict) or not isinstance(content, str):
        return content
    before, after = (metadata.get(key) or "" for key in ("prefix", "suffix"))
    lines = [f"{before}{content}{after}"]
    if folder := metadata.get("working_dir"):
        lines.append(f"[Current working directory: {folder}]")
    if python := metadata.get("py_interpreter_path"):
        lines.append(f"[Python interpreter: {python}]")
    if metadata.get("exit_code", -1) != -1:
        lines.append(f"[Command finished with exit code {metadata['exit_code']}]")
    return "\n".join(lines)


def content_of(parts: Collection[Any]) -> Any:
    """Parts of the SDK's as content; one text as that."""
    found: list[Any] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            found.append({"type": "text", "text": part.get("text")})
        elif kind == "image" and isinstance(part.get("image_urls"), list):
            urls = part["image_urls"]
            found += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        elif part is not None:
            found.append(part)
    is_text = len(found) == 1 and isinstance(found[0], dict) and "text" in found[0]
    return found[0]["text"] if is_text else found or None


def thoughts_of(told: Mapping[str, Any]) -> Message:
    """The thoughts that a message has besides its content."""
    if text := told.get("reasoning_content"):
        return {"reasoning_content": text}
    blocks = objects(told.get("thinking_blocks"))
    item = told.get("responses_reasoning_item")
    summary = item.get("summary") if isinstance(item, dict) else None
    return {"thinking": blocks} if blocks else {"reasoning": summary} if summary else {}


def answer_of_tool(event: Record, kind: str) -> Message:
    """The message of what a call of a tool gave."""
    content: Any = event.get("error")
    if kind == "UserRejectObservation":
        content = f"Action rejected: {event.get('rejection_reason')}"
    elif kind == "ObservationEvent":
        given = event.get("observation")
        given = given if isinstance(given, dict) else {"content": given}
        content = content_of(list_of(given.get("content"))) if "content" in given else given
        content = shown(content, given.get("metadata"))
        extra = list_of(event.get("extended_content"))
        if extra:
            told = content if isinstance(content, list) else [{"type": "text", "text": content}]
            content = content_of([*told, *extra])
        if given.get("is_error") is True and isinstance(content, str):
            content = f"[An error occurred during execution.]\n{content}"
    message = {"role": "tool", "tool_call_id": event.get("tool_call_id"), "content": content}
    return {**message, "name": event.get("tool_name")}


def tool_of(tool: Record) -> Record | None:
    """A tool in OpenAI's form, of which an event has the name and the description."""
    name = text_of(tool, "name") or text_of(tool, "title")
    if name is None:
        return tool if isinstance(tool.get("function"), dict) else None
    function = {"name": name, "description": tool.get("description")}
    return {"type": "function", "function": function}
