"""One chat record as the steps of its rollout, in whichever of the known forms it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.chat_keys import Keys, fields_of
from workbench.readers.chat_records import BESIDE
from workbench.readers.dialects import first_user_message, openai_messages, with_system
from workbench.readers.jsonfiles import Record, lookup
from workbench.readers.messages import Turn, turns
from workbench.readers.nested_steps import are_steps, nested_steps, task_of
from workbench.readers.records import digest


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """The steps of a record and what it says besides them.

    Args:
        number: Number of the record.
        turns: Its steps.
        fields: Key -> value, of the record.
        asked: Digest that tells its task from others; None where the record names its group.
        of_steps: Whether the steps stood in a list, without a conversation.
        rewards: Reward of each step, where they stood there.
        step_fields: Column -> values, one per step, where they stood there.
    """

    number: int
    turns: Sequence[Turn]
    fields: Mapping[str, Any]
    asked: str | None
    of_steps: bool = False
    rewards: Sequence[float | None] | None = None
    step_fields: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def conversation_of(
    record: Record,
    columns: Mapping[str, str],
    keys: Keys,
    *,
    diagnostics: Diagnostics,
    place: str,
    number: int,
) -> Conversation | None:
    """The steps of a record; None where it has a problem or no step, which is reported.

    Args:
        record: The record.
        columns: Canonical name -> name in the file.
        keys: What its keys mean.
        diagnostics: Gets what is wrong with it.
        place: Where it stands.
        number: Its number.
    """
    given = lookup(record, keys.messages)
    if given is None:
        diagnostics.problem("messages", f"the record has no key {keys.messages!r}", place)
        return None
    if are_steps(given):
        return _of_steps(record, columns, keys, diagnostics=diagnostics, place=place, number=number)
    changes: Counter[str] = Counter()
    messages: Any = openai_messages(given, changes)
    acts: Collection[int] | None = None
    if keys.reply is not None:
        answer = record.get(keys.reply)
        if answer is None:
            diagnostics.drop("messages", f"have no {keys.reply}, so no step", place)
            return None
        prompt = with_system(_said(given, "user", changes), record.get("system"))
        reply = _said(answer, "assistant", changes)
        messages, acts = [*prompt, *reply], range(len(prompt), len(prompt) + len(reply))
    else:
        messages = with_system(messages, record.get("system"))
    try:
        steps = turns(messages, acts, tools=record.get("tools"))
    except ValueError as error:
        diagnostics.problem("messages", str(error), place)
        return None
    for change, count in changes.items():
        diagnostics.notice(f"conversation: {change}", count=count)
    if not steps:
        diagnostics.drop("messages", "hold no assistant message, so no step", place)
        return None
    return Conversation(
        number=number,
        turns=steps,
        fields=fields_of(record, columns, keys.messages, keys.reply),
        asked=_asked(messages, record, keys),
    )


def _of_steps(
    record: Record,
    columns: Mapping[str, str],
    keys: Keys,
    *,
    diagnostics: Diagnostics,
    place: str,
    number: int,
) -> Conversation | None:
    """A record whose steps stand in a list, without the messages that they were said in."""
    try:
        nested = nested_steps(lookup(record, keys.messages), record)
    except ValueError as error:
        diagnostics.problem(keys.messages, str(error), place)
        return None
    if nested.answers_only:
        diagnostics.notice(
            f"items of {keys.messages!r} name the action before what was observed, so that is read "
            "as the answer to it: a step saw the answer to the one before, the first saw the task",
            place,
        )
    asked = task_of(record) or nested.turns[0].observation
    said = [{"role": "user", "content": asked}]
    return Conversation(
        number=number,
        turns=nested.turns,
        fields=fields_of(record, columns, keys.messages, keys.reply),
        asked=_asked(said, record, keys),
        of_steps=True,
        rewards=nested.rewards,
        step_fields=nested.fields,
    )


def _said(given: Any, role: str, changes: Counter[str]) -> list[Any]:
    """A prompt or an answer as messages, whether it is text or messages already."""
    messages = openai_messages(given, changes)
    return messages if isinstance(messages, list) else [{"role": role, "content": given}]


def _asked(messages: Any, record: Record, keys: Keys) -> str | None:
    """A digest that tells the task of a conversation without a name for it, where it is needed.

    That is its prompt or its first user message, with what is shown with it.
    """
    named = keys.told.get("group_id")
    if named not in {None, "prompt"}:
        return None
    content = first_user_message(messages) if named is None else record.get(named)
    shown = [record[key] for key in BESIDE if record.get(key)]
    return None if content is None else digest(content, *shown)
