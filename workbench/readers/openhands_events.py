"""Events of OpenHands as a conversation: those of its first architecture, and of its SDK.

Read from All-Hands-AI/OpenHands (`openhands/events/serialization`, `memory/conversation_memory.py`,
`memory/view.py`) and OpenHands/software-agent-sdk (`openhands-sdk/openhands/sdk/event`), 611629e:

- First (V0): {id, source, action, args, tool_call_metadata} and {id, source, observation, content,
  extras, cause}. Where the model called tools, `tool_call_metadata.model_response` is its answer;
  several actions may come of one. Where it did not, the answer is not logged, and what is known of
  it is the thought and the action. Before 0.9, `history` is pairs of both.
- SDK (V1): {id, source, kind}. `ActionEvent` has the call and, in the first one of an answer, what
  was said besides it; those of one answer have one `llm_response_id`.
- A condensation takes events out of the view of the model and puts a summary in; it begins a
  segment.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.log.conversation import Message
from workbench.readers.jsonfiles import Record, objects
from workbench.readers.openhands_parts import (
    answer_of_tool,
    content_of,
    list_of,
    shown,
    thoughts_of,
    tool_of,
)
from workbench.readers.sessions import Talk, text_of

REBUILT = "actions"
"""Value of the column `reconstructed` for answers that are known from what was done alone."""

_SILENT = frozenset({"null", "agent_state_changed", "change_agent_state", "recall"})
_UNTOLD = frozenset({
    "thought", "is_input", "blocking", "hidden", "confirmation_state", "security_risk",
    "keep_prompt", "is_confirmed", "is_static", "cwd",
})  # fmt: skip
"""Keys of an action that are no arguments of it."""


@dataclass(kw_only=True)
class Events:
    """The conversation of a rollout while its events are read.

    Args:
        talk: What was said.
        tools: That were offered, in OpenAI's form.
        kinds: Kind of an event that says nothing -> how many.
        tokens: Ids of the prompt and of the answer, for each answer that has them.
        is_rebuilt: Some answers are known from what was done alone.
        ending: Why it ended, where an event says so.
    """

    talk: Talk = field(default_factory=Talk)
    tools: list[Any] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    tokens: list[tuple[Any, Any] | None] = field(default_factory=list)
    is_rebuilt: bool = False
    ending: str | None = None
    _view: list[tuple[Any, Message | None]] = field(default_factory=list)
    _answers: dict[str, Message] = field(default_factory=dict)
    _call_of: dict[Any, str] = field(default_factory=dict)

    def read(self, event: Record) -> None:
        """Take in an event."""
        if isinstance(event.get("kind"), str):
            self._read_new(event, str(event["kind"]))
        elif isinstance(event.get("action"), str):
            self._act(event, str(event["action"]))
        elif isinstance(event.get("observation"), str):
            self._observe(event, str(event["observation"]))
        else:
            self.kinds["unknown"] += 1

    def _say(self, event: Record, message: Message, *, acts: bool = False) -> None:
        self.talk.add(message, acts=acts)
        self._view.append((event.get("id"), message))
        if acts:
            self.tokens.append(None)

    def _pass(self, event: Record, kind: str) -> None:
        self.kinds[kind] += 1
        if "kind" not in event:  # the view of the first architecture counts what says nothing
            self._view.append((event.get("id"), None))

    # The first architecture.

    def _act(self, event: Record, action: str) -> None:
        given = event.get("args")
        arguments = given if isinstance(given, dict) else {}
        content = arguments.get("content")
        if action == "condensation":
            self._condense(arguments)
        elif action == "system":
            self.tools = list_of(arguments.get("tools")) or self.tools
            self._say(event, {"role": "system", "content": content})
        elif action == "message" and event.get("source") != "agent":
            self._say(event, {"role": "user", "content": _with_images(content, arguments)})
        elif action in _SILENT or event.get("source") != "agent":
            self._pass(event, action)
        elif (answer := _model_response(event)) is not None:
            self._answer(event, *answer)
        elif action == "message":
            self._say(event, {"role": "assistant", "content": content}, acts=True)
        else:
            self.is_rebuilt = True
            self._say(event, _rebuilt(event, action, arguments), acts=True)
            self._call_of[_hashable(event.get("id"))] = _identity(event)

    def _answer(self, event: Record, identity: str, message: Message) -> None:
        """An action that came of an answer with tool calls, of which it may be one of several."""
        metadata = event["tool_call_metadata"]
        if isinstance(call := metadata.get("tool_call_id"), str):
            self._call_of[_hashable(event.get("id"))] = call
        if identity in self._answers:
            self._view.append((event.get("id"), None))
            return
        self._answers[identity] = message
        self._say(event, message, acts=True)

    def _observe(self, event: Record, observation: str) -> None:
        if observation in _SILENT:
            self._pass(event, observation)
            return
        extras = event.get("extras")
        extras = extras if isinstance(extras, dict) else {}
        content = shown(event.get("content"), extras.get("metadata"))
        metadata = event.get("tool_call_metadata")
        call = metadata.get("tool_call_id") if isinstance(metadata, dict) else None
        call = call if isinstance(call, str) else self._call_of.get(_hashable(event.get("cause")))
        message: Message = {"role": "user", "content": content}
        if call is not None:
            message = {"role": "tool", "tool_call_id": call, "content": content}
        self._say(event, message)

    # The SDK.

    def _read_new(self, event: Record, kind: str) -> None:
        if kind == "SystemPromptEvent":
            texts = [event.get("system_prompt"), event.get("dynamic_context")]
            self.tools = [tool for tool in map(tool_of, objects(event.get("tools"))) if tool]
            self._say(event, {"role": "system", "content": content_of(texts)})
        elif kind == "MessageEvent":
            told = event.get("llm_message")
            told = told if isinstance(told, dict) else {}
            parts = [*list_of(told.get("content")), *list_of(event.get("extended_content"))]
            role = text_of(told, "role") or "user"
            message = {"role": role, "content": content_of(parts), **thoughts_of(told)}
            calls = objects(told.get("tool_calls"))
            message |= {"tool_calls": calls} if calls else {}
            self._say(event, message, acts=role == "assistant")
        elif kind == "ActionEvent":
            self._act_new(event)
        elif kind in {"ObservationEvent", "UserRejectObservation", "AgentErrorEvent"}:
            self._say(event, answer_of_tool(event, kind))
        elif kind == "Condensation":
            self._condense(event)
        elif kind == "TokenEvent" and self.tokens:
            self.tokens[-1] = (event.get("prompt_token_ids"), event.get("response_token_ids"))
        else:
            if kind == "ConversationErrorEvent":
                self.ending = text_of(event, "code")
            self.kinds[kind] += 1

    def _act_new(self, event: Record) -> None:
        """A call of a tool; those of one answer are one message."""
        call = event.get("tool_call")
        call = call if isinstance(call, dict) else {"name": event.get("tool_name")}
        own = {
            "id": call.get("id") or event.get("tool_call_id"),
            "type": "function",
            "function": {"name": call.get("name"), "arguments": call.get("arguments")},
        }
        identity = text_of(event, "llm_response_id")
        if identity is not None and identity in self._answers:
            self._answers[identity]["tool_calls"].append(own)
            self._view.append((event.get("id"), None))
            return
        message = {
            "role": "assistant",
            "content": content_of(list_of(event.get("thought"))),
            **thoughts_of(event),
            "tool_calls": [own],
        }
        if identity is not None:
            self._answers[identity] = message
        self._say(event, message, acts=True)

    # Both.

    def _condense(self, told: Mapping[str, Any]) -> None:
        """Take events out of the view and put the summary in."""
        forgotten = {_hashable(identity) for identity in list_of(told.get("forgotten_event_ids"))}
        first, last = told.get("forgotten_events_start_id"), told.get("forgotten_events_end_id")
        kept = [
            (identity, message)
            for identity, message in self._view
            if _hashable(identity) not in forgotten and not _is_between(identity, first, last)
        ]
        summary, offset = told.get("summary"), told.get("summary_offset")
        if isinstance(summary, str) and isinstance(offset, int) and offset >= 0:
            kept.insert(min(offset, len(kept)), (None, {"role": "user", "content": summary}))
        self._view = kept
        self.talk.clear()
        for _, message in kept:
            if message is not None:
                self.talk.add(message)


def flattened(history: Sequence[Any]) -> list[Any]:
    """The events of a history, which may be pairs of an action and what it gave."""
    found: list[Any] = []
    for item in history:
        found += item if isinstance(item, list) else [item]
    return found


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int) else None


def _is_between(identity: Any, first: Any, last: Any) -> bool:
    numbers = [item for item in (identity, first, last) if isinstance(item, int)]
    return len(numbers) == 3 and numbers[1] <= numbers[0] <= numbers[2]


def _model_response(event: Record) -> tuple[str, Message] | None:
    """The answer that an action came of, and its id; None where it is not logged."""
    metadata = event.get("tool_call_metadata")
    response = metadata.get("model_response") if isinstance(metadata, dict) else None
    choices = objects(response.get("choices")) if isinstance(response, dict) else []
    message = choices[0].get("message") if choices else None
    if not isinstance(response, dict) or not isinstance(message, dict):
        return None
    known = ("content", "tool_calls", "reasoning_content")
    kept = {key: message[key] for key in known if message.get(key) is not None}
    return text_of(response, "id") or _identity(event), {"role": "assistant", **kept}


def _identity(event: Record) -> str:
    """An id for the call of an action that has none."""
    return f"event-{event.get('id')}"


def _rebuilt(event: Record, action: str, arguments: Record) -> Message:
    """An answer that was not logged, as far as it is known: the thought, the action as a call."""
    thought = arguments.get("thought")
    given = {key: value for key, value in arguments.items() if key not in _UNTOLD}
    function = {"name": action, "arguments": json.dumps(given, ensure_ascii=False, default=str)}
    return {
        "role": "assistant",
        "content": thought if isinstance(thought, str) and thought else None,
        "tool_calls": [{"id": _identity(event), "type": "function", "function": function}],
    }


def _with_images(content: Any, arguments: Record) -> Any:
    """The text of a message with its images."""
    images = list_of(arguments.get("image_urls"))
    if not images:
        return content
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [{"type": "text", "text": content if isinstance(content, str) else ""}, *parts]
