"""Conversation: the messages that a policy read and wrote in one trajectory.

A log stores it as increments. `messages` of a step is the JSON of the messages that are new at it,
its reply last; `segment` counts prompts that do not continue the one before, and the first step of
a segment holds its whole prompt; `tools` stands on the first step of a segment. `observation` and
`action` are views made from it for keys and similarity; what travels to a trainer is this.

A message has OpenAI's form: role (system, developer, user, assistant, tool), content (a text, or a
list of parts), reasoning_content, tool_calls ({"id", "type": "function", "function": {"name",
"arguments"}}, arguments as the text that they were), tool_call_id, name. Keys that are null are
left out; keys of other names are kept as they are. `messages_of` makes it from the other forms.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Message = dict[str, Any]

KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
"""Keys of a message that have a meaning here; others are kept, and no trainer sees them."""

_PROMPT_ROLES = frozenset({"system", "developer"})
_TEXTS = frozenset({"text", "output_text", "input_text"})
_CALLS = frozenset({"tool_use", "function_call", "tool_call", "server_tool_use", "mcp_tool_use"})
_RESULTS = frozenset(
    {
        "tool_result",
        "function_call_output",
        "web_search_tool_result",
        "code_execution_tool_result",
        "mcp_tool_result",
    }
)
_THOUGHTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_MEDIA = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "input_audio": "audio",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "video": "video",
    "video_url": "video",
}
_DIGITS = 16  # of a digest in a text


class MessageError(ValueError):
    """A list of messages that is not one; the text says what is wrong, for use in a problem."""


@dataclass(frozen=True)
class Normalised:
    """Messages in the one form, and what was done to give them that.

    Args:
        messages: The messages.
        origin: Position of the given message that each was made from. (M,)
        changes: What was changed, in words -> how often.
    """

    messages: list[Message]
    origin: list[int]
    changes: Counter[str] = field(default_factory=Counter)


def normalised(messages: Any) -> Normalised:
    """Messages of any known form in the one form.

    A text stays as it is, and so do arguments that are a text. Results of tools become messages of
    their own, calls become `tool_calls`, thoughts become `reasoning_content`; parts that are not
    understood stay in the content. Messages in OpenAI's form come out as they went in, but for
    keys that are null.

    Args:
        messages: Oldest first.

    Raises:
        MessageError: It is not a list of objects with a role, or one of them holds content or
            calls that are not what they should be.
    """
    if not isinstance(messages, list):
        raise MessageError(f"is a {type(messages).__name__}, expected a list of messages")
    found = Normalised([], [])
    try:
        for at, message in enumerate(messages):
            if not isinstance(message, dict) or not isinstance(message.get("role"), str):
                raise MessageError("holds a message without a role")
            made = list(_split(message, found.changes))
            found.messages.extend(made)
            found.origin.extend([at] * len(made))
    except RecursionError:
        raise MessageError("is nested too deeply") from None
    return found


def _split(message: Message, changes: Counter[str]) -> Iterator[Message]:
    """A message in the one form, behind those of the tool results that it holds."""
    role, text = message["role"], message.get("content")
    if len(message) == 2 and isinstance(text, str) and role != "function":
        yield {"role": role, "content": text}  # as most are
        return
    own = {key: value for key, value in message.items() if value is not None}
    content = own.get("content")
    if content is not None and not isinstance(content, str | list):
        changes["content that is neither text nor a list is kept as JSON"] += 1
        own["content"] = content = _json(content)
    parts = _sorted_parts(content if isinstance(content, list) else [])
    for result in parts["results"]:
        changes["tool results in the content are messages of the role tool"] += 1
        yield _result(result)
    if isinstance(content, list):
        left = parts["left"]
        moved = len(left) < len(content)
        if moved and not left and own["role"] != "assistant":
            return
        if moved and not left:
            del own["content"]
        elif moved or any(_kind(part) in {"output_text", "input_text"} for part in left):
            own["content"] = _joined(left, changes)
    thoughts = [*_reasoning(own, changes), *map(_thought, parts["thoughts"])]
    if parts["thoughts"]:
        changes["thoughts in the content are reasoning_content"] += len(parts["thoughts"])
    if thoughts:
        own["reasoning_content"] = "\n".join(thoughts)
    calls = [*_tool_calls(own, changes), *(_call(part, changes) for part in parts["calls"])]
    if parts["calls"]:
        changes["tool calls in the content are tool_calls"] += len(parts["calls"])
    if calls:
        own["tool_calls"] = calls
    if own["role"] == "function":
        changes["the role function is tool"] += 1
        own["role"] = "tool"
    yield {key: own[key] for key in (*KEYS, *own) if key in own}


def _sorted_parts(content: Sequence[Any]) -> dict[str, list[Any]]:
    """Parts of a content by what becomes of them."""
    groups = {"results": _RESULTS, "thoughts": _THOUGHTS, "calls": _CALLS}
    parts: dict[str, list[Any]] = {**{name: [] for name in groups}, "left": []}
    for part in content:
        kind = _kind(part)
        parts[next((name for name, kinds in groups.items() if kind in kinds), "left")].append(part)
    return parts


def _kind(part: Any) -> str:
    if isinstance(part, str):
        return "text"
    if not isinstance(part, dict):
        raise MessageError("holds a content part that is neither text nor an object")
    kind = part.get("type")
    return kind if isinstance(kind, str) else "text" if isinstance(part.get("text"), str) else ""


def _joined(parts: Sequence[Any], changes: Counter[str]) -> Any:
    """Parts that are all texts as one text; others as they are."""
    if not all(_kind(part) in _TEXTS for part in parts):
        return list(parts)
    changes["content of text parts is one text"] += 1
    return "\n".join(_part_text(part) for part in parts)


def _result(part: Message) -> Message:
    identity = part.get("tool_use_id") or part.get("call_id") or part.get("tool_call_id")
    given = part.get("content", part.get("output"))
    message = {"role": "tool", "content": content_text(given), "tool_call_id": identity}
    if part.get("is_error"):
        message["is_error"] = True
    return {key: value for key, value in message.items() if value is not None}


def _thought(part: Message) -> str:
    for key in ("thinking", "reasoning", "text", "summary", "content", "data"):
        value = part.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value:
            return content_text(value)
    return ""


def _reasoning(own: Message, changes: Counter[str]) -> list[str]:
    """Reasoning that a message holds outside its content; its keys are removed."""
    found: list[str] = []
    for key in ("reasoning_content", "reasoning", "thinking"):
        value = own.get(key)
        if value is None or (key != "reasoning_content" and not isinstance(value, str | list)):
            continue
        if isinstance(value, str):
            text = value
        elif isinstance(value, list):
            text = "\n".join(
                part if isinstance(part, str) else _thought(part)
                for part in value
                if isinstance(part, str | dict)
            )
        else:
            text = _json(value)
        if key != "reasoning_content" or not isinstance(value, str):
            changes[f"{key} is reasoning_content"] += 1
        del own[key]
        if text and text not in found:
            found.append(text)
    return found


def _tool_calls(own: Message, changes: Counter[str]) -> list[Message]:
    """The calls that a message has besides its content, in the one form; the keys are taken out."""
    given = own.pop("tool_calls", None)
    if isinstance(given, str):
        changes["tool_calls that were text are objects"] += 1
        given = decoded(given)
    if given and not isinstance(given, list):
        raise MessageError("holds tool_calls that are not a list")
    calls = [_call(call, changes) for call in given or []]
    single = own.pop("function_call", None)
    if single:
        changes["function_call is tool_calls"] += 1
        calls.append(_call(single, changes))
    return calls


def _call(call: Any, changes: Counter[str]) -> Message:
    """A call in the one form, whether its name and arguments are nested or flat."""
    if not isinstance(call, Mapping):
        raise MessageError("holds a tool call without a name")
    inner = call.get("function") or call.get("custom") or call
    if isinstance(inner, str):  # Inspect and LangChain name the function where OpenAI nests it
        inner = {**call, "name": inner}
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str):
        raise MessageError("holds a tool call without a name")
    given = inner.get("arguments", inner.get("input", inner.get("args")))
    arguments = given if isinstance(given, str) else None
    if given is not None and arguments is None:
        changes["arguments that were an object are its JSON text"] += 1
        arguments = _json(given)
    flat = inner is not call.get("function")
    if flat:
        changes["tool calls have OpenAI's form"] += 1
    function = {"name": name, **({} if arguments is None else {"arguments": arguments})}
    identity = call.get("id") or call.get("call_id") or call.get("tool_call_id")
    known = {"id", "call_id", "tool_call_id", "type", "function", "custom"}
    known |= {"name", "arguments", "input", "args"} if flat else set()
    others = {key: value for key, value in call.items() if key not in known and value is not None}
    kept = {} if identity is None else {"id": identity}
    return {**kept, "type": "function", "function": function, **others}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys: equal values give equal text; what JSON has no word for is text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def decoded(value: Any) -> Any:
    """A value that may be given as JSON text; text that is none, or too deep, stays as it is.

    Half characters, which a text inside a text may hold, become U+FFFD.
    """
    if not isinstance(value, str):
        return value
    try:
        return whole_characters(json.loads(value)) if value.strip() else None
    except (ValueError, RecursionError):
        return value


def whole_characters(value: Any) -> Any:
    """A JSON value with U+FFFD in place of half characters, in keys too."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(item) for key, item in value.items()}
    return value


# Views of messages as texts, for keys and similarity.


def observation_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Text that the messages between two replies give to the policy.

    System and developer messages are prompt and count only where nothing else is new. What stands
    before the last assistant message among them is history and does not count.
    """
    history = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    messages = messages[history[-1] + 1 :] if history else messages
    seen = [message for message in messages if message["role"] not in _PROMPT_ROLES]
    return "\n".join(content_text(message.get("content")) for message in seen or messages)


def action_text(message: Mapping[str, Any]) -> str:
    """The canonical form of a reply: its text, then its calls, one per line, without reasoning."""
    text = content_text(message.get("content")) or content_text(message.get("refusal"))
    lines = [text] if text else []
    return "\n".join([*lines, *(call_text(call) for call in message.get("tool_calls") or [])])


def call_text(call: Any) -> str:
    """The canonical form of a tool call, whether its name and arguments are nested or flat.

    Arguments that are the text of a JSON object are decoded, so that spacing and the order of
    keys make no difference; other text stays text. No arguments, null, an empty text and an empty
    object are one.

    Raises:
        MessageError: It has no name.
    """
    function = _call(call, Counter())["function"]
    given = function.get("arguments")
    arguments = decoded(given)
    if isinstance(given, str) and not isinstance(arguments, dict | None):
        arguments = given
    return canonical_json({"name": function["name"], "arguments": arguments or {}})


def said(message: Message) -> list[tuple[str, str]]:
    """A message as (kind, text): its "thought", its "text", each "call"; none that is empty."""
    held = [
        ("thought", message.get("reasoning_content")),
        ("text", content_text(message.get("content"))),
        *(("call", call_text(call)) for call in message.get("tool_calls") or ()),
    ]
    return [(kind, str(text)) for kind, text in held if text]


def content_text(content: Any) -> str:
    """The text of a message's content; null is empty, parts are joined by newlines.

    A part that is no text is named with the digest of its bytes or of its address, such as
    `[image sha256:1f3a…]`, so that two pictures are two texts.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part_text(part) for part in content)
    return canonical_json(content)


def is_text(content: Any) -> bool:
    """True if a content is a text, or parts that are all texts."""
    parts = content if isinstance(content, list) else []
    return isinstance(content, str) or all(_kind(part) in _TEXTS for part in parts)


def unread_parts(content: Any) -> list[str]:
    """The kinds of the parts of a content of which a text has only the digest."""
    if not isinstance(content, list):
        return []
    kinds = [_kind(part) or "part" for part in content]
    return [_MEDIA.get(kind, kind) for kind in kinds if kind not in _TEXTS | {"refusal"}]


def _part_text(part: Any) -> str:
    kind = _kind(part)
    if isinstance(part, str):
        return part
    text = part.get("text", part.get("refusal"))
    if isinstance(text, str) and (kind in _TEXTS or kind in {"", "refusal"}):
        return text
    return f"[{_MEDIA.get(kind, kind or 'part')} sha256:{_digest(part)}]"


def _digest(part: Message) -> str:
    """Digest of the bytes of a part, else of its address, else of all that it says."""
    kind = part.get("type")
    held = part.get(str(kind)) if kind is not None else None
    source = part.get("source")
    for given in (held, source, part):
        if isinstance(given, str):
            return _sha256(_bytes(given))
        if isinstance(given, Mapping):
            for key in ("data", "url", "image_url", "file_data", "file_id", "file_url", "image"):
                value = given.get(key)
                if isinstance(value, str):
                    return _sha256(_bytes(value, encoded=key in {"data", "file_data"}))
    return _sha256(canonical_json(part).encode("utf-8", "surrogatepass"))


def _bytes(text: str, *, encoded: bool = False) -> bytes:
    """Bytes of a text: those of a data address or of base64, else of the text itself."""
    head, comma, data = text.partition(",")
    if text.startswith("data:") and comma and head.endswith(";base64"):
        text, encoded = data, True
    if encoded:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            pass  # no base64 after all: the text itself is what tells it apart
    return text.encode("utf-8", "surrogatepass")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


# The conversation of a trajectory.


@dataclass(frozen=True)
class Segment:
    """A stretch of a conversation in which each prompt continues the one before.

    Args:
        messages: All messages, replies among them, oldest first.
        replies: Position in `messages` of the reply of each step, in order. (K,)
        tools: The tools that were offered, as the log has them; None where none were.
    """

    messages: Sequence[Message]
    replies: Sequence[int]
    tools: Any = None

    def prompt(self, step: int) -> Sequence[Message]:
        """Messages before the reply of the segment's step, counted from 0."""
        return self.messages[: self.replies[step]]


@dataclass(frozen=True)
class Conversation:
    """The conversation of one trajectory.

    Args:
        increments: The new messages of each step, its reply last. (K,)
        segment: Segment of each step. (K,)
        tools: The tools of each step where a segment begins; None elsewhere. (K,)
    """

    increments: Sequence[Sequence[Message]]
    segment: Sequence[int]
    tools: Sequence[Any]

    @classmethod
    def of(
        cls,
        messages: Sequence[str | None],
        segment: Sequence[int | None] | None = None,
        tools: Sequence[str | None] | None = None,
    ) -> Conversation | None:
        """The conversation of a trajectory's steps; None where a step has no messages.

        Args:
            messages: JSON of the increments. (K,)
            segment: As the log has it; one segment where it has none. (K,)
            tools: JSON. (K,)
        """
        if any(text is None for text in messages):
            return None
        increments = [json.loads(text) for text in messages if text is not None]
        if not all(isinstance(each, list) and each for each in increments):
            return None
        offered = [None if text is None else json.loads(text) for text in tools or []]
        return cls(
            increments=increments,
            segment=[number or 0 for number in segment or [0] * len(increments)],
            tools=offered or [None] * len(increments),
        )

    @cached_property
    def segments(self) -> list[Segment]:
        """The segments in order."""
        found: list[Segment] = []
        for _, steps in itertools.groupby(range(len(self.increments)), self.segment.__getitem__):
            messages: list[Message] = []
            replies: list[int] = []
            tools = None
            for step in steps:
                messages += self.increments[step]
                replies.append(len(messages) - 1)
                tools = self.tools[step] if tools is None else tools
            found.append(Segment(messages, replies, tools))
        return found


def increments_of_prompts(
    prompts: Sequence[Sequence[Message]], replies: Sequence[Message]
) -> tuple[list[list[Message]], list[int]]:
    """Whole prompts as increments and segments.

    A prompt continues the one before where it begins with that prompt and its reply. A reply that
    the next prompt shows with more than its text (reasoning, calls) is taken from there.

    Args:
        prompts: What stood before each reply. (K,)
        replies: The reply of each step. (K,)

    Returns:
        The new messages of each step, its reply last, and its segment.
    """
    increments: list[list[Message]] = []
    segments: list[int] = []
    before: list[Message] = []
    for prompt, reply in zip(prompts, replies, strict=True):
        told = list(prompt)
        goes_on = bool(increments) and len(told) > len(before)
        goes_on = goes_on and told[: len(before) - 1] == before[:-1]
        if goes_on:
            shown = told[len(before) - 1]
            goes_on = shown["role"] == "assistant" and action_text(shown) == action_text(before[-1])
            if goes_on:
                increments[-1][-1] = shown
        new = told[len(before) :] if goes_on else told
        segments.append((segments[-1] if goes_on else segments[-1] + 1) if segments else 0)
        increments.append([*new, reply])
        before = [*told, reply]
    return increments, segments
