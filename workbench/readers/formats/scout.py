"""Inspect Scout's transcript databases: Parquet, one transcript per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.log.conversation import content_text
from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.bounds import loaded
from workbench.readers.formats.inspect_ai import inspect_turns
from workbench.readers.jsonfiles import Record, sound
from workbench.readers.mapping import refuse_mapping
from workbench.readers.records import digest
from workbench.readers.rows import Converter, StepRows, checked_values, identity, truth
from workbench.readers.scores import Words, reward_of
from workbench.readers.systems import system_of
from workbench.readers.tables import parquet_columns, parquet_frames

_COLUMNS = (
    "transcript_id", "source_type", "task_set", "task_id", "task_repeat", "agent", "model",
    "score", "success", "error", "limit", "messages",
)  # fmt: skip


_OF_TRACES = frozenset({"claude_code", "codex", "langsmith", "logfire", "phoenix", "weave"})
"""Types of a source whose `task_id` is no task: a session, or the name of a program's span."""


@reader("scout", description="Inspect Scout transcripts as Parquet, one transcript per row")
class Scout:
    """Groups are tasks of a model, trajectories transcripts, steps assistant messages.

    What Scout takes from sessions and traces (Claude Code, Phoenix, LangSmith and the like) is
    called by its session or its program there: such transcripts are one group where they begin
    with the same message of the user, and marked so.

    The reward is the score, on the last step, or else the success as 1 or 0. A transcript that
    ended in an error has none. `source_line` is the row of the file, from 1.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A Parquet file with transcripts and their messages."""
        return {"transcript_id", "messages"} <= set(parquet_columns(path, head))

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all transcripts; `columns` may name the score that is the reward."""
        refuse_mapping(columns, "Scout transcripts", but="reward")
        words = Words()
        part = self._read(path, columns, words)
        return self._read(path, columns, words) if words.settle() else part

    def _read(self, path: Path, columns: Mapping[str, str], words: Words) -> Part:
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        line = 0
        with closing(parquet_frames(path, diagnostics, only=_COLUMNS)) as frames:
            for row in (row for frame in frames for row in frame.iter_rows(named=True)):
                line += 1
                place = f"{path}:{line}"
                record = sound(row, diagnostics, place)
                if record is None:
                    continue
                _add(
                    rows,
                    record,
                    diagnostics,
                    place,
                    line=line,
                    told=columns.get("reward"),
                    words=words,
                )
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _add(
    rows: StepRows,
    record: Mapping[str, Any],
    diagnostics: Diagnostics,
    place: str,
    *,
    line: int,
    told: str | None,
    words: Words,
) -> None:
    converters: dict[str, Converter] = {"transcript_id": identity, "success": truth}
    values = checked_values(record, converters, diagnostics, place, optional={"success"})
    if values is None:
        return
    try:
        messages = _decoded(record.get("messages"))
        steps = inspect_turns(messages)
    except (ValueError, RecursionError) as error:
        diagnostics.problem("messages", str(error), place)
        return
    if not steps:
        diagnostics.drop("messages", "hold no assistant message, so no step", place)
        return
    score, success = record.get("score"), values["success"]
    try:
        value = _decoded(score)
    except ValueError:
        value = score  # a bare word such as C
    scores = value if isinstance(value, dict) else {"score": value}
    reward, others = reward_of(scores if value is not None else {}, told, diagnostics, place, words)
    if reward is None and success is not None and not others:
        reward = float(success)
    if record.get("error"):  # none is an empty text or null
        reward = None
    kind = record.get("source_type")
    is_named = not (isinstance(kind, str) and kind in _OF_TRACES)
    if not is_named:
        text = "transcripts of sessions and traces name no task: those that begin with the same "
        diagnostics.notice(f"{text}message of the user are one group", place)
    task = record.get("task_id") if is_named else _task(messages)
    parts = [record.get("task_set"), task, record.get("model")]
    group = "/".join(str(part) for part in parts if part not in (None, ""))
    limit = record.get("limit") or None
    rows.add(
        steps,
        line=line,
        outcome=reward,
        fields={
            "group_id": group or values["transcript_id"],
            "trajectory_id": values["transcript_id"],
            "success": success,
            "model": record.get("model"),
            "agent_id": record.get("agent"),
            SYSTEM: system_of(record.get("agent")),
            "task_repeat": record.get("task_repeat"),
            "reconstructed": None if is_named else "groups",
            **others,
        },
        last_fields={"truncated": limit is not None, "finish_reason": limit},
    )


def _task(messages: Sequence[Record]) -> str:
    """The name of a group of transcripts that name none: what the user asked first."""
    asked = [message for message in messages if message.get("role") == "user"]
    return f"task-{digest(content_text(asked[0].get('content') if asked else None))}"


def _decoded(value: Any) -> Any:
    """JSON that a column holds as text."""
    return loaded(value) if isinstance(value, str) else value
