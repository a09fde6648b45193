"""Lines of a Claude Code session as entries of a tree; see `formats.claude_code` for the format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.log.conversation import content_text
from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import Record, objects
from workbench.readers.sessions import (
    Entry,
    session_lines,
    text_of,
)

_SPOKEN = frozenset({"user", "assistant"})
_WRAPPED = ("<command-", "<local-command", "<bash-", "<system-reminder>", "Caveat: ")
"""Beginnings of messages of the role user that the program put together."""


@dataclass(kw_only=True)
class Line:
    """A line with an id, and the entry that it became.

    Args:
        record: What it says.
        entry: Of the session; several lines of one answer have the same.
        text: What it says, where the role is user.
        session: The session that it says it is of.
        lane: Agent of a side chain; None on the main one.
        is_message: It stands in the conversation, or marks where the context was compacted.
    """

    record: Record
    entry: Entry
    text: str
    session: str
    lane: str | None
    is_message: bool

    @property
    def is_boundary(self) -> bool:
        """The context was compacted here."""
        return self.record.get("subtype") == "compact_boundary"


@dataclass
class Lines:
    """The lines of a file, in order, and what was found on the way."""

    lines: list[Line] = field(default_factory=list)
    at_of: dict[str, int] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    is_holed: bool = False


def lines_of(path: Path, diagnostics: Diagnostics) -> Lines:
    """The lines of a file that have an id; the others are counted by their type."""
    found = Lines()
    for line, record, is_behind_hole in session_lines(path, diagnostics):
        found.is_holed |= is_behind_hole
        kind = record.get("type")
        if not isinstance(kind, str):
            diagnostics.problem("type", "is missing or no text", f"{path}:{line}")
            continue
        message = record.get("message")
        is_spoken = kind in _SPOKEN
        uuid = text_of(record, "uuid")
        if is_spoken and (uuid is None or not isinstance(message, dict)):
            lacking = "uuid" if uuid is None else "message"
            diagnostics.problem(lacking, "is missing or of another type", f"{path}:{line}")
            continue
        is_said_by_command = record.get("subtype") == "local_command"
        is_boundary = record.get("subtype") == "compact_boundary"
        if not (is_spoken or is_said_by_command or is_boundary):
            subtype = record.get("subtype")
            found.kinds[f"{kind} {subtype}" if isinstance(subtype, str) else kind] += 1
        if record.get("isApiErrorMessage") is True:
            found.kinds["assistant (errors of the API)"] += 1
        if uuid is None:
            continue
        if uuid in found.at_of:
            diagnostics.notice("lines with the id of another: the last one counts", str(path))
            same = found.lines[found.at_of[uuid]]
            same.entry, same.is_message = Entry(line=same.entry.line), False
        found.at_of[uuid] = len(found.lines)
        made = Line(
            record=record,
            entry=(entry := _entry(line, record, kind)),
            text=_text(entry.message),
            session=text_of(record, "sessionId") or "",
            lane=(text_of(record, "agentId") or "") if record.get("isSidechain") is True else None,
            is_message=is_spoken or is_said_by_command or is_boundary,
        )
        found.lines.append(made)
    return found


def _entry(line: int, record: Record, kind: str) -> Entry:
    """A line as an entry that has no parent yet."""
    if kind not in _SPOKEN:
        said = {"role": "user", "content": record.get("content")}
        is_said = record.get("subtype") == "local_command"
        is_boundary = record.get("subtype") == "compact_boundary"
        return Entry(line=line, message=said if is_said else None, clears=is_boundary)
    own = record["message"]
    content = own.get("content")
    message = {"role": kind, "content": content}
    if kind == "user":
        is_made = record.get("isMeta") or record.get("isCompactSummary") or results_of(record)
        is_typed = not is_made and not _text(message).startswith(_WRAPPED)
        return Entry(line=line, message=message, typed=is_typed)
    if record.get("isApiErrorMessage") is True:
        return Entry(line=line)
    model = text_of(own, "model")
    return Entry(
        line=line,
        message=message,
        acts=model != "<synthetic>" and not isinstance(record.get("forkedFrom"), dict),
        model=model,
        version=text_of(record, "version"),
        finish_reason=text_of(own, "stop_reason"),
    )


def _text(message: Any) -> str:
    """The text of a message of the user; empty for one that is none."""
    content = message.get("content") if isinstance(message, dict) else None
    if message is None or message.get("role") != "user" or not isinstance(content, str | list):
        return ""
    parts = content if isinstance(content, list) else []
    return content_text(content) if all(isinstance(part, str | dict) for part in parts) else ""


def results_of(record: Record) -> frozenset[str]:
    """The ids of the calls that a line answers."""
    message = record.get("message")
    parts = objects(message.get("content")) if isinstance(message, dict) else []
    found = [part.get("tool_use_id") for part in parts if part.get("type") == "tool_result"]
    return frozenset(identity for identity in found if isinstance(identity, str))
