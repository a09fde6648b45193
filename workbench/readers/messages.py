"""Chat messages as steps: the one way of every reader of messages.

A step is a message that the policy wrote. Its observation is what was new to the policy since its
previous one; its action is its text and then its tool calls, one line per call, as JSON with sorted
keys:

    {"arguments": {"command": "look drawer"}, "name": "act"}

Both are views for keys and similarity. What a step keeps is the conversation itself, as the
messages that are new at it; see `log.conversation`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.log.conversation import (
    KEYS,
    Message,
    action_text,
    decoded,
    increments_of_prompts,
    normalised,
    observation_text,
    unread_parts,
)
from workbench.readers.votes import is_trained_key, untrained_by
from workbench.wording import shortened

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One message of the policy with what came before and after it.

    Args:
        observation: What was new since the policy's previous message: user and tool messages,
            joined by newlines. System and developer messages are prompt and count only where
            nothing else is new. Assistant messages that the policy did not write, and what stands
            before them, are history and do not count.
        action: The message as text.
        next_observation: The observation that followed; None where nothing did.
        messages: JSON list of the messages new at this step, the policy's last, in the form of
            `log.conversation`. Those of all steps of a segment joined are its conversation. None
            where the source has no conversation.
        segment: Prompts before this one that did not continue the one before them.
        tools: JSON of the tools that were offered, on the first step of a segment.
        notes: What was changed or could not be read, in words -> how often.
        trained: Whether the policy's message takes part in the loss, by a key such as `loss_mask`.
    """

    observation: str
    action: str
    next_observation: str | None
    messages: str | None
    segment: int = 0
    tools: str | None = None
    notes: Mapping[str, int] = field(default_factory=dict)
    trained: bool = True


def turns(messages: Any, acts: Collection[int] | None = None, tools: Any = None) -> list[Turn]:
    """The steps of a conversation; none if no message is the assistant's.

    Args:
        messages: Messages, oldest first, in any form that `log.conversation` knows.
        acts: Positions of the messages that the policy wrote; None means all of the assistant's.
        tools: The tools that were offered, in a form that `offered` knows; others are left out.

    Raises:
        MessageError: `messages` is not a list of objects with a role, or one of them holds
            content or tool calls that are not what they should be.
    """
    found = normalised(messages)
    written = [
        at
        for at, message in enumerate(found.messages)
        if message["role"] == "assistant" and (acts is None or found.origin[at] in acts)
    ]
    starts = [0, *(at + 1 for at in written)]
    ends = [*written, len(found.messages)]
    new = [found.messages[start:end] for start, end in zip(starts, ends, strict=True)]
    steps = [
        turn(
            [*new[step], found.messages[at]],
            new[step + 1] if new[step + 1] or step < len(written) - 1 else None,
        )
        for step, at in enumerate(written)
    ]
    if not steps:
        return []
    given = offered(tools)
    text = None if given is None else json.dumps(given, ensure_ascii=False)
    notes = {**steps[0].notes, **_words(found.changes)}
    if after := len(new[-1]):
        notes["conversation: messages after the last reply are its answer, and in no batch"] = after
    if given is None and decoded(tools):
        notes["tools that are neither a list nor an object are left out"] = 1
    return [replace(steps[0], tools=text, notes=notes), *steps[1:]]


def turn(new: Sequence[Message], answer: Sequence[Message] | None = None, segment: int = 0) -> Turn:
    """A step from its messages, which have the one form already.

    Args:
        new: The messages that are new at the step, the policy's last.
        answer: What followed it; None where nothing did.
        segment: As in `Turn`.
    """
    before, reply = new[:-1], new[-1]
    return Turn(
        observation=observation_text(before) if before else "",
        action=action_text(reply),
        next_observation=None if answer is None else observation_text(answer),
        messages=json.dumps(list(new), ensure_ascii=False),
        segment=segment,
        notes=_seen(new),
        trained=untrained_by(reply) is None,
    )


def joined(parts: Sequence[Sequence[Turn]]) -> list[Turn]:
    """Steps of one trajectory that were logged as several conversations, as one.

    The prompt of a conversation either continues what was said before it or begins a segment.

    Args:
        parts: The steps of each conversation, in order.
    """
    prompts: list[list[Message]] = []
    replies: list[Message] = []
    for part in parts:
        before: list[Message] = []
        for step in part:
            new = json.loads(step.messages or "[]")
            prompts.append([*before, *new[:-1]])
            replies.append(new[-1])
            before = [*before, *new]
    increments, segments = increments_of_prompts(prompts, replies)
    steps = [step for part in parts for step in part]
    return [
        replace(step, messages=json.dumps(new, ensure_ascii=False), segment=segment)
        for step, new, segment in zip(steps, increments, segments, strict=True)
    ]


def offered(value: Any) -> Any:
    """Tools that a record names, all or each of which may be JSON text; None for none."""
    tools = decoded(value)
    if isinstance(tools, list):
        tools = [decoded(tool) for tool in tools]
    return tools if isinstance(tools, list | dict) and tools else None


def _seen(messages: Sequence[Message]) -> Counter[str]:
    """Parts and keys that are kept and that nothing here reads, in words."""
    notes: Counter[str] = Counter()
    for message in messages:
        for kind in unread_parts(message.get("content")):
            notes[
                f"a part of the type {kind} is read as its digest: another one, another state"
            ] += 1
        if message["role"] not in _ROLES:
            role = shortened(message["role"], 30)
            notes[f"a message of the unknown role {role!r} is context, and not trained"] += 1
        for key in sorted(message.keys() - {*KEYS, "refusal", "function_call"}):
            if not is_trained_key(key, message[key]):
                notes[f"the key {key!r} of a message is kept, and nothing reads it"] += 1
    if (by := untrained_by(messages[-1])) is not None:
        notes[f"by the key {by!r} of messages their turns are not trained"] += 1
    return notes


def _words(changes: Mapping[str, int]) -> dict[str, int]:
    return {f"conversation: {change}": count for change, count in changes.items()}
