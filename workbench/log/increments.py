"""Conversations in the columns of a step log: whole prompts become increments and segments."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from workbench.log.conversation import (
    Conversation,
    Message,
    MessageError,
    action_text,
    increments_of_prompts,
    normalised,
)
from workbench.wording import number_of


def with_increments(log: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
    """A log whose `messages` are increments with their `segment`.

    A row that has a segment is in that form already. Otherwise `messages` that end with a reply
    are what is new at the step; others are its whole prompt, and the reply is its action.

    Args:
        log: Rows of whole trajectories, sorted by trajectory and step.

    Returns:
        The log, and what was done or seen, in words -> how often.
    """
    if "messages" not in log.columns:
        return log, Counter()
    if "segment" not in log.columns:
        log = log.with_columns(pl.lit(None, dtype=pl.Int32).alias("segment"))
    segment = log["segment"]
    open_rows = log["messages"].is_not_null() & segment.is_null()
    if not open_rows.any():
        return log, Counter()
    texts, segments = log["messages"].to_list(), segment.to_list()
    actions = log["action"].to_list()
    names = log["trajectory_id"]
    todo = set(names.filter(open_rows).unique().to_list())
    starts = (names != names.shift(1)).fill_null(value=True).arg_true().to_list()
    changes: Counter[str] = Counter()
    unread = 0
    for first, last in zip(starts, [*starts[1:], log.height], strict=True):
        if names[first] not in todo:
            continue
        here = slice(first, last)
        try:
            new, numbers, changed = _made(texts[here], actions[here])
        except MessageError:
            # Not lost: the text stays, and the conversation counts as not logged.
            unread += 1
            texts[here] = [None] * (last - first)
            continue
        texts[here], segments[here] = new, numbers
        changes += changed
    if unread:
        changes["conversations are no lists of messages and are left out"] += unread
    return (
        log.with_columns(
            pl.Series("messages", texts, dtype=pl.String),
            pl.Series("segment", segments, dtype=pl.Int32),
        ),
        changes,
    )


def sentences(changes: Counter[str]) -> list[str]:
    """Changes that `with_increments` made, one sentence each."""
    return [
        f"messages: {change} ({number_of(count, 'time')})"
        for change, count in sorted(changes.items())
    ]


def _made(
    texts: Sequence[str | None], actions: Sequence[str]
) -> tuple[list[str | None], list[int | None], Counter[str]]:
    """Increments and segments of one trajectory, and what changed on the way.

    Raises:
        MessageError: A text is no JSON list of messages.
    """
    prompts: list[list[Message]] = []
    replies: list[Message] = []
    told: list[Message] = []
    whole: list[bool] = []
    changes: Counter[str] = Counter()
    known: list[int] = []
    pending: list[int] = []
    for at, text in enumerate(texts):
        if text is None:
            pending.append(at)
            continue
        found = normalised(_parsed(text))
        changes += found.changes
        messages = found.messages
        if messages and messages[-1]["role"] == "assistant":
            told = [*told, *messages]
            whole.append(False)
        else:
            told = [*messages, {"role": "assistant", "content": actions[at]}]
            whole.append(True)
            # Steps without messages may stand in a later prompt, told by what they did.
            replies_there = [k for k, message in enumerate(messages) if _is_reply(message)]
            shown = replies_there[len(replies_there) - len(pending) :] if pending else []
            if [action_text(messages[k]) for k in shown] == [actions[k] for k in pending]:
                known += pending
                prompts += [messages[:k] for k in shown]
                replies += [messages[k] for k in shown]
        pending = []
        known.append(at)
        prompts.append(told[:-1])
        replies.append(told[-1])
    increments, segments = increments_of_prompts(prompts, replies)
    if any(whole):
        changes["whole prompts became what is new at each step"] += sum(whole)
    new: list[str | None] = [None] * len(texts)
    numbers: list[int | None] = [None] * len(texts)
    for at, increment, number in zip(known, increments, segments, strict=True):
        new[at] = json.dumps(increment, ensure_ascii=False)
        numbers[at] = number
    return new, numbers, changes


def _is_reply(message: Message) -> bool:
    return bool(message["role"] == "assistant")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MessageError(f"is no JSON: {error}") from error


def conversations(log: pl.DataFrame) -> list[Conversation | None]:
    """The conversation of each trajectory of a log, in its order; None where it was not logged.

    Args:
        log: Rows of whole trajectories, sorted by trajectory and step.
    """
    if "messages" not in log.columns:
        return [None] * log["trajectory_id"].n_unique()
    columns = [name for name in ("segment", "tools") if name in log.columns]
    grouped = log.select("trajectory_id", "messages", *columns).partition_by(
        "trajectory_id", maintain_order=True
    )
    return [
        Conversation.of(
            part["messages"].to_list(),
            *(part[name].to_list() if name in columns else None for name in ("segment", "tools")),
        )
        for part in grouped
    ]
