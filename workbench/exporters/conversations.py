"""Text rows of a batch, for logs without token ids: conversations and one advantage per reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from workbench.exporters.lists import nested
from workbench.exporters.tokens import row_facts
from workbench.log.conversation import KEYS, Message
from workbench.log.increments import conversations

_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", _FUNCTION),
        ("extra", pa.string()),
    ]
)
MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("content_type", pa.string()),
        ("reasoning_content", pa.string()),
        ("tool_calls", pa.list_(_CALL)),
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
        ("extra", pa.string()),
    ]
)
"""A message of a batch; null keys say nothing. `content_type` is "parts" where `content` is the
JSON of a list of parts; `extra` is the JSON of keys that have no field here."""

_PARTS = "parts"


def packed(message: Message) -> dict[str, Any]:
    """A message as a row of `MESSAGE`."""
    content = message.get("content")
    parts = isinstance(content, list)
    calls = message.get("tool_calls")
    others = {key: value for key, value in message.items() if key not in KEYS}
    return {
        "role": message["role"],
        "content": _json(content) if parts else content,
        "content_type": _PARTS if parts else None,
        "reasoning_content": message.get("reasoning_content"),
        "tool_calls": [_packed_call(call) for call in calls] if calls else None,
        "tool_call_id": _text(message.get("tool_call_id")),
        "name": _text(message.get("name")),
        "extra": _json(others) if others else None,
    }


def _packed_call(call: Message) -> dict[str, Any]:
    function = call["function"]
    known = {"id", "type", "function"}
    others = {key: value for key, value in call.items() if key not in known}
    return {
        "id": _text(call.get("id")),
        "type": call.get("type"),
        "function": {"name": function["name"], "arguments": function.get("arguments")},
        "extra": _json(others) if others else None,
    }


def unpacked(message: Mapping[str, Any]) -> Message:
    """A row of `MESSAGE` as the message that it was; null keys are dropped."""
    given = {key: value for key, value in message.items() if value is not None}
    others = json.loads(given.pop("extra", "{}"))
    if given.pop("content_type", None) == _PARTS:
        given["content"] = json.loads(given["content"])
    if "tool_calls" in given:
        given["tool_calls"] = [_unpacked_call(call) for call in given["tool_calls"]]
    return {**given, **others}


def _unpacked_call(call: Mapping[str, Any]) -> Message:
    given = {key: value for key, value in call.items() if value is not None}
    others = json.loads(given.pop("extra", "{}"))
    function = {key: value for key, value in given["function"].items() if value is not None}
    return {**given, "function": function, **others}


def messages_of(rows: pl.DataFrame) -> list[list[Message]]:
    """The conversation of each row of a text batch, as the log had it."""
    return [[unpacked(message) for message in row] for row in rows["messages"].to_list()]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _json(value)


@dataclass(frozen=True, kw_only=True)
class TextRows:
    """Rows of a text-only batch.

    Args:
        rows: The batch, columns of the weighted batch's `TEXT_SCHEMA` and of `tokens.row_facts`.
        counts: Counts of each row, to be summed over those that are written: rows_from_messages
            (1 where its conversation is the logged one), rows_rebuilt (1 where not),
            rows_of_later_segments (1 where it begins where an earlier prompt of its trajectory does
            not go on), and history_replies (assistant messages that are no step of the log).
    """

    rows: pl.DataFrame
    counts: pl.DataFrame


@dataclass(frozen=True)
class ConversationRow:
    """A row to be: messages, and which of the log's steps its replies are.

    Args:
        first, last: Positions of its first and last step.
        messages: Its conversation.
        steps: Position of the step of each assistant message; -1 for history. (A,)
        tools: JSON of the tools that were offered.
        kept: Whether the conversation is the logged one.
        segment: Which of its trajectory's it is.
    """

    first: int
    last: int
    messages: Sequence[Message]
    steps: Sequence[int]
    tools: str | None
    kept: bool
    segment: int


def text_rows(steps: pl.DataFrame, *, unit: str) -> TextRows:
    """Lay steps out as conversations, with one entry for each assistant message.

    The conversation is the logged one: every message with its role, calls and reasoning. A segment
    of it, whose prompts continue each other, is a row. Assistant messages that are no step of the
    log are history: they have advantage 0 and are not trained. Where a step has no messages, the
    trajectory is rebuilt as observation (user) and action (assistant) in turn.

    Args:
        steps: Kept steps in canonical order, with advantage, episode_reward and weight.
        unit: "trajectory": one row per segment; or "step": one row per step with all messages
            before its reply, which alone is trained.
    """
    laid_out = conversation_rows(steps, by_step=unit == "step")
    trained = steps["gradient_mask"].to_numpy()
    advantage = steps["advantage"].fill_null(0.0).to_numpy()
    at = np.array([step for row in laid_out for step in row.steps], dtype=np.int64)
    size = np.array([len(row.steps) for row in laid_out], dtype=np.int64)
    mask = (at >= 0) & trained[at]
    if unit == "step":
        mask &= at == np.repeat([row.last for row in laid_out], size)
    values = np.where(mask, advantage[at], 0.0)
    first = np.array([row.first for row in laid_out], dtype=np.int64)
    last = np.array([row.last for row in laid_out], dtype=np.int64)
    final = steps[last]
    messages = pa.array(
        [[packed(message) for message in row.messages] for row in laid_out], pa.list_(MESSAGE)
    )
    rows = final.select("group_id", "trajectory_id").with_columns(
        pl.Series("messages", pl.from_arrow(messages)),
        pl.Series("tools", [row.tools for row in laid_out], dtype=pl.String),
        nested(values.astype(np.float32), size, "step_advantages"),
        nested(mask.astype(np.int8), size, "step_mask"),
        final["episode_reward"].cast(pl.Float32).alias("reward"),
        final["weight"].cast(pl.Float32),
        *row_facts(steps, first, last),
    )
    counts = {
        "rows_from_messages": [int(row.kept) for row in laid_out],
        "rows_rebuilt": [int(not row.kept) for row in laid_out],
        "rows_of_later_segments": [int(row.segment > 0) for row in laid_out],
        "history_replies": [sum(step < 0 for step in row.steps) for row in laid_out],
    }
    return TextRows(rows=rows, counts=pl.DataFrame(counts))


def conversation_rows(steps: pl.DataFrame, *, by_step: bool) -> Sequence[ConversationRow]:
    """The rows to be, in order; see `text_rows`."""
    index = np.arange(steps.height)
    starts = np.flatnonzero(steps["step_index"].to_numpy() == 0).tolist()
    observations, actions = steps["observation"].to_list(), steps["action"].to_list()
    found: list[ConversationRow] = []
    for first, end, talk in zip(
        starts, [*starts[1:], len(index)], conversations(steps), strict=True
    ):
        at = first
        segments: list[tuple[Sequence[Message], Sequence[int], Any]] = []
        if talk is None:
            rebuilt: list[Message] = []
            for step in range(first, end):
                rebuilt.append({"role": "user", "content": observations[step]})
                rebuilt.append({"role": "assistant", "content": actions[step]})
            segments.append((rebuilt, range(1, len(rebuilt), 2), None))
        else:
            segments += [(each.messages, each.replies, each.tools) for each in talk.segments]
        for number, (messages, replies, tools) in enumerate(segments):
            offered = None if tools is None else _json(tools)
            stops = range(len(replies)) if by_step else [len(replies) - 1]
            for stop in stops:
                shown = messages[: replies[stop] + 1]
                place = {reply: at + k for k, reply in enumerate(replies)}
                found.append(
                    ConversationRow(
                        first=at,
                        last=at + stop,
                        messages=shown,
                        steps=[
                            place.get(k, -1)
                            for k, message in enumerate(shown)
                            if message["role"] == "assistant"
                        ],
                        tools=offered,
                        kept=talk is not None,
                        segment=number,
                    )
                )
            at += len(replies)
    return found
