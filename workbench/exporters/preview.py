"""Preview of a batch: a few of its rows as a trainer sees them, small enough to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workbench.exporters.lists import flat, lengths

ROWS = 3
MOST_TOKENS = 600
"""Tokens of a row that are shown."""

_PROMPT, _TEXT, _MESSAGES = 60, 600, 24


@dataclass(frozen=True, kw_only=True)
class PreviewRow:
    """A row of a batch.

    Args:
        row: Its number in the files, from 0.
        group_id, trajectory_id: Whose it is.
        weight: The factor for the loss of each of its tokens.
        reward: Of its trajectory.
        trained: Trained tokens, or trained replies.
        size: Tokens, or messages.
        skipped: How many of them are not shown before and behind those that are.
        pieces: Those that are shown: `token` (id) or `role` and `text`, `trained`, and `advantage`
            as it is in the files, None where it does not count.
    """

    row: int
    group_id: str
    trajectory_id: str
    weight: float
    reward: float
    trained: int
    size: int
    skipped: tuple[int, int]
    pieces: list[dict[str, Any]]


def preview(rows: pl.DataFrame, count: int = ROWS) -> list[PreviewRow]:
    """The rows that pull hardest up and down, and the first others that pull, or are trained.

    Args:
        rows: Of a `Batch`.
        count: How many at most.
    """
    by_token = "input_ids" in rows.columns
    mask, advantage = ("loss_mask", "advantages") if by_token else ("step_mask", "step_advantages")
    trained = flat(rows[mask]).to_numpy() == 1
    row = np.repeat(np.arange(rows.height), lengths(rows[mask]))[trained]
    pull = np.bincount(
        row,
        flat(rows[advantage]).to_numpy()[trained].astype(np.float64)
        * rows["weight"].to_numpy()[row],
        minlength=rows.height,
    )
    trains = np.bincount(row, minlength=rows.height) > 0
    others = [*np.flatnonzero(pull).tolist(), *np.flatnonzero(trains).tolist()]
    order = [int(np.argmax(pull)), int(np.argmin(pull)), *others]
    make = _of_tokens if by_token else _of_messages
    return [make(rows.row(n, named=True), n) for n in sorted([*dict.fromkeys(order)][:count])]


def _of_tokens(row: dict[str, Any], number: int) -> PreviewRow:
    mask = np.asarray(row["loss_mask"])
    first = int(np.argmax(mask)) if mask.any() else 0
    start = max(first - _PROMPT, 0)
    end = min(start + MOST_TOKENS, len(mask))
    pieces = [
        {
            "token": row["input_ids"][k],
            "trained": bool(mask[k]),
            "advantage": float(row["advantages"][k]) if mask[k] else None,
        }
        for k in range(start, end)
    ]
    return _made(row, number, mask=mask, skipped=(start, len(mask) - end), pieces=pieces)


def _of_messages(row: dict[str, Any], number: int) -> PreviewRow:
    mask = np.asarray(row["step_mask"])
    messages, pieces, reply = row["messages"], [], 0
    for message in messages[:_MESSAGES]:
        is_reply = message["role"] == "assistant"
        trained = is_reply and bool(mask[reply])
        value = float(row["step_advantages"][reply]) if trained else None
        reply += is_reply
        pieces.append(
            {
                "role": message["role"],
                "text": _text(message),
                "trained": trained,
                "advantage": value,
            }
        )
    skipped = (0, max(len(messages) - _MESSAGES, 0))
    return _made(row, number, mask=mask, skipped=skipped, pieces=pieces, size=len(messages))


def _text(message: dict[str, Any]) -> str:
    """Text of a message, followed by its calls."""
    calls = [
        f"{c['function']['name']}({c['function']['arguments']})"
        for c in message.get("tool_calls") or ()
    ]
    whole = "\n".join(part for part in (message.get("content") or "", *calls) if part)
    return whole if len(whole) <= _TEXT else f"{whole[:_TEXT]} … ({len(whole):,} characters)"


def _made(
    row: dict[str, Any],
    number: int,
    *,
    mask: Any,
    skipped: tuple[int, int],
    pieces: list[dict[str, Any]],
    size: int | None = None,
) -> PreviewRow:
    return PreviewRow(
        row=number,
        group_id=row["group_id"],
        trajectory_id=row["trajectory_id"],
        weight=float(row["weight"]),
        reward=float(row["reward"]),
        trained=int(mask.sum()),
        size=len(mask) if size is None else size,
        skipped=skipped,
        pieces=pieces,
    )
