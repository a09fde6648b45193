"""Text rows of a batch, for logs without token ids: messages and one advantage a reply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from workbench.exporters.lists import nested, ranges
from workbench.exporters.tokens import row_facts

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
"""One of them, as a Parquet file has it."""


@dataclass(frozen=True, kw_only=True)
class TextRows:
    """Rows of a text-only batch.

    Args:
        rows: The batch, columns of `weighted_batch.TEXT_SCHEMA` and of `tokens.row_facts`.
        from_messages: Rows whose messages are the logged ones.
    """

    rows: pl.DataFrame
    from_messages: int


def text_rows(steps: pl.DataFrame, *, unit: str) -> TextRows:
    """Lays steps out as conversations; assistant message k is step k.

    The messages are the logged prompt of the row's last step and its action, where that prompt is
    complete: plain role and content, not ending in a reply, its replies the actions of the steps
    before. Otherwise they are observation (user) and action (assistant) in turn.

    Args:
        steps: Kept steps in canonical order, with advantage, episode_reward and weight.
        unit: "trajectory", or "step": one row a step with the conversation up to it, in which
            only the last reply is trained.
    """
    index = np.arange(steps.height)
    first = index - steps["step_index"].to_numpy()
    ends = np.append(np.flatnonzero(first == index)[1:] - 1, steps.height - 1)
    last = index if unit == "step" else ends
    begin, end = first[last], last + 1
    member = ranges(begin, end)
    trained = steps["gradient_mask"].to_numpy()[member]
    if unit == "step":
        trained = trained & (member == np.repeat(last, end - begin))
    advantages = np.where(trained, steps["advantage"].fill_null(0.0).to_numpy()[member], 0.0)

    built = _built(steps, begin, end)
    logged = _logged(steps, begin, last)
    final = steps[last]
    rows = final.select("group_id", "trajectory_id").with_columns(
        pl.select(pl.coalesce(logged, built).alias("messages")).to_series(),
        nested(advantages.astype(np.float32), end - begin, "step_advantages"),
        nested(trained.astype(np.int8), end - begin, "step_mask"),
        final["episode_reward"].cast(pl.Float32).alias("reward"),
        final["weight"].cast(pl.Float32),
        *row_facts(steps, begin, last),
    )
    return TextRows(rows=rows, from_messages=logged.len() - logged.null_count())


def _built(steps: pl.DataFrame, begin: Any, end: Any) -> pl.Series:
    """Observation and action in turn for each row. (R,) lists of messages."""
    turns = np.arange(2 * steps.height)
    content = pl.select(pl.concat_list(steps["observation"], steps["action"]).explode()).to_series()
    role = pl.Series(np.where(turns % 2 == 0, "user", "assistant"))
    messages = pl.DataFrame({"role": role, "content": content}).to_struct("messages")
    return nested(messages.gather(ranges(2 * begin, 2 * end)), 2 * (end - begin), "messages")


def _logged(steps: pl.DataFrame, begin: Any, last: Any) -> pl.Series:
    """The logged conversation of each row, null where there is no complete one."""
    if "messages" not in steps.columns:
        return pl.Series("logged", [None] * len(last), dtype=MESSAGES)
    actions = steps["action"].to_list()
    texts = steps["messages"].gather(last).to_list()
    conversations = [
        _complete(text, actions[start : stop + 1]) if text is not None else None
        for text, start, stop in zip(texts, begin.tolist(), last.tolist(), strict=True)
    ]
    return pl.Series("logged", conversations, dtype=MESSAGES)


def _complete(text: str, actions: Sequence[str]) -> list[dict[str, str]] | None:
    """The prompt with the last action appended, or None where it does not hold all actions."""
    try:
        prompt = json.loads(text)
    except json.JSONDecodeError:
        return None
    if not isinstance(prompt, list) or not prompt or not all(map(_plain, prompt)):
        return None
    replies = [message["content"] for message in prompt if message["role"] == "assistant"]
    if replies != list(actions[:-1]) or prompt[-1]["role"] == "assistant":
        return None
    messages = [{"role": m["role"], "content": m["content"]} for m in prompt]
    return [*messages, {"role": "assistant", "content": actions[-1]}]


def _plain(message: object) -> bool:
    """Whether a message is a role and a text and nothing else that says something."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str)
        and not any(value for name, value in message.items() if name not in ("role", "content"))
    )
