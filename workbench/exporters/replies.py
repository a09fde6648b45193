"""Rows of one step as prompt and reply, and text rows as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from workbench.errors import ArtefactError
from workbench.exporters.conversations import MESSAGE, conversation_rows, packed, unpacked
from workbench.exporters.selection import without
from workbench.log.conversation import Message

KEY = [("group_id", pa.string()), ("trajectory_id", pa.string()), ("step_index", pa.int32())]
"""The columns that name a row's last step."""

_MESSAGES = pa.list_(MESSAGE)


def without_prompt(steps: pl.DataFrame) -> pl.DataFrame:
    """The steps of which those whose reply opens the conversation are not trained."""
    opens = np.zeros(steps.height, dtype=bool)
    for row in conversation_rows(steps, by_step=True):
        opens[row.last] = len(row.messages) == 1
    return without(steps, pl.col("gradient_mask") & pl.lit(pl.Series(opens)), "no_prompt")


def split_reply(rows: pl.DataFrame) -> pl.DataFrame:
    """Text rows of one step with prompt and completion in place of messages, and its advantage.

    Returns:
        The rows' other columns with `prompt` (all messages but the last), `completion` (the last)
        and `advantage` (that of the last assistant message).
    """
    count = pl.col("messages").list.len() - 1
    return rows.with_columns(
        pl.col("messages").list.head(count).alias("prompt"),
        pl.col("messages").list.tail(1).alias("completion"),
        pl.col("step_advantages").list.last().alias("advantage"),
    ).drop("messages", "step_advantages", "step_mask")


def joined_reply(parts: pl.DataFrame) -> pl.DataFrame:
    """The inverse of `split_reply` for the columns that there are: the last reply is trained."""
    messages = pl.concat_list("prompt", "completion")
    role = pl.element().struct.field("role")
    before = messages.list.eval(role == "assistant").list.sum() - 1
    zero, one = pl.lit(0, dtype=pl.Int8), pl.lit(1, dtype=pl.Int8)
    columns = [
        messages.alias("messages"),
        pl.concat_list(zero.repeat_by(before), one).alias("step_mask"),
    ]
    if "advantage" in parts.columns:
        none = pl.lit(0.0, dtype=pl.Float32).repeat_by(before)
        columns.append(pl.concat_list(none, "advantage").alias("step_advantages"))
    return parts.with_columns(columns).drop("prompt", "completion", "advantage", strict=False)


def dictionaries(rows: pl.DataFrame, *messages: str) -> Iterator[dict[str, Any]]:
    """The rows as JSON has them.

    Args:
        rows: Any columns; null `tools` are left away.
        messages: Names of columns of packed messages.
    """
    for row in rows.iter_rows(named=True):
        for name in messages:
            row[name] = [unpacked(message) for message in row[name]]
        if row.get("tools", "") is None:
            del row["tools"]
        yield row


def single(value: float) -> float:
    """A float32 as the double with the fewest digits that brings it back.

    Example:
        >>> single(0.10000000149011612)
        0.1
    """
    return float(str(np.float32(value)))


def write_objects(objects: Iterable[Mapping[str, Any]], path: Path) -> None:
    """One JSON object per line."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of `write_objects`.

    Raises:
        ArtefactError: A line is no JSON object, with its number.
    """
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ArtefactError(f"{path} line {number} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ArtefactError(f"{path} line {number} is not an object")
        found.append(value)
    return found


def frame_of(
    objects: Iterable[Mapping[str, Any]],
    columns: Iterable[tuple[str, pa.DataType]],
    path: Path,
    *messages: str,
) -> pl.DataFrame:
    """Objects as rows with packed messages.

    Args:
        objects: One for each row.
        columns: Names and types; only `tools` may be missing.
        path: The file that they are from.
        messages: Names of the columns of messages.

    Raises:
        ArtefactError: A key is missing, or its value is of another type, with the line.
    """
    schema = pa.schema([*columns, *((name, _MESSAGES) for name in messages)])
    entries = []
    for number, each in enumerate(objects, start=1):
        entry = {name: each.get(name) for name in schema.names}
        missing = [name for name in schema.names if name != "tools" and entry[name] is None]
        if missing:
            raise ArtefactError(f"{path} line {number} has no {missing[0]}")
        for name in messages:
            entry[name] = _packed(entry[name], f"{path} line {number}: {name}")
        entries.append(entry)
    try:
        table = pa.Table.from_pylist(entries, schema=schema)
    except (pa.ArrowException, TypeError) as error:
        raise ArtefactError(f"{path} has a value of another type: {error}") from error
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _packed(messages: Any, place: str) -> list[Message]:
    """Messages as rows of `MESSAGE`.

    Raises:
        ArtefactError: They are no list of messages with roles.
    """
    if not isinstance(messages, list) or not all(
        isinstance(each, dict) and "role" in each for each in messages
    ):
        raise ArtefactError(f"{place} is not a list of messages with roles")
    try:
        return [packed(each) for each in messages]
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{place} holds a tool call that is none: {error!r}") from error
