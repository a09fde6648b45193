"""Codex sessions: `~/.codex/sessions/*/*/*/rollout-*.jsonl`.

What is known was read from openai/codex (`codex-rs/protocol/src/models.rs`, `protocol.rs`,
`codex-rs/core/src/codex/rollout_reconstruction.rs`):

- A line is {timestamp, type, payload}. `session_meta` has the id, the version and, lately, the
  `base_instructions` that are the system prompt, which may be sent without what it says of tools
  that are not offered; `turn_context` the model; `response_item` an item
  of the Responses API; `event_msg` what the screen showed, which the items say too.
- `compacted` is where the context was compacted: `replacement_history` is the context from there
  on; where older versions lack it, it was what the user had said and the summary.
  What the model wrote for a summary is an item too, but not what it was asked.
- The event `thread_rolled_back` takes the last turns of the user out of the context.
- The first versions (2025) wrote the items bare, behind a line {id, timestamp, instructions}.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.log.conversation import content_text
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.jsonfiles import Record, leading_keys, objects
from workbench.readers.mapping import refuse_mapping
from workbench.readers.responses import answer_of, begins_call, empty_reply, is_answer, join_item
from workbench.readers.rows import StepRows
from workbench.readers.sessions import (
    NOWHERE,
    Entry,
    Session,
    add_session,
    say_kinds,
    session_lines,
    text_of,
)

_TYPES = re.compile(
    rb'"type"\s*:\s*"(session_meta|response_item|event_msg|turn_context|compacted)"'
)
_FIRST = {"id", "timestamp", "instructions"}
_ITEMS = frozenset({"message", "reasoning"})
"""Types of items that say something, besides calls and what these gave."""

_TOLD = (
    "<environment_context>", "<user_instructions>", "# AGENTS.md instructions", "<INSTRUCTIONS>",
    "<permissions", "<collaboration_mode>", "<skill", "<turn_aborted>", "<user_shell_command>",
    "<subagent_notification>",
)  # fmt: skip
"""Beginnings of messages of the role user that the program put together."""


@reader("codex", description="Codex sessions, JSONL")
class Codex:
    """Steps are calls of the model: the reasoning, message and function calls that it gave.

    Trajectories are sessions, and `<session>/branch-1` what was rolled back; a compaction begins a
    segment. Groups are sessions that begin with the same message of the user, under the same
    version and models. Rewards are null. `source_line` is the last line of a call.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Lines with a payload of a known type, or the beginning of the first versions."""
        lines = head.splitlines()
        keys = [leading_keys(line) for line in lines]
        if any(
            {"type", "payload"} <= own and _TYPES.search(line)
            for own, line in zip(keys, lines, strict=True)
        ):
            return True
        return bool(keys) and keys[0] >= _FIRST and "type" not in keys[0]

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of a session; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "Codex sessions")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        session = _Rollout(diagnostics, str(path))
        for line, record, is_behind_hole in session_lines(path, diagnostics):
            if is_behind_hole and session.name:
                session.lose(line)
            session.read(line, record)
        known = Session(name=session.name or path.stem, agent="codex")
        add_session(rows, session.entries, known, diagnostics, str(path))
        say_kinds(session.kinds, diagnostics, str(path))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


class _Rollout:
    """A session that is read line by line."""

    def __init__(self, diagnostics: Diagnostics, place: str) -> None:
        self.entries: list[Entry] = []
        self.kinds: Counter[str] = Counter()
        self.name = ""
        self._diagnostics = diagnostics
        self._place = place
        self._head = NOWHERE  # the entry after which the next one comes
        self._open: Entry | None = None  # the call whose items are being read
        self._system: Record | None = None
        self._model: str | None = None
        self._version: str | None = None
        self._is_bare = False  # of the first versions
        self._own_from = 0  # ordinal of the first line that was not copied from another session

    def read(self, line: int, record: Record) -> None:
        """Take in a line."""
        kind, payload = record.get("type"), record.get("payload")
        if kind is None and not self.name and "id" in record:
            self._is_bare = True
            self._begin(line, record)
        elif self._is_bare and "payload" not in record:
            self._read_bare(line, record)
        elif not isinstance(kind, str) or not isinstance(payload, dict):
            place = f"{self._place}:{line}"
            self._diagnostics.problem("payload", "is missing or of another type", place)
        elif kind == "session_meta":
            self._begin(line, payload)
        elif kind == "turn_context":
            self._model = text_of(payload, "model") or self._model
        elif kind == "response_item":
            ordinal = record.get("ordinal")
            is_own = not isinstance(ordinal, int) or ordinal >= self._own_from
            self._item(line, payload, is_own=is_own)
        elif kind == "compacted":
            self._compact(line, payload)
        elif kind == "event_msg" and payload.get("type") == "thread_rolled_back":
            self._roll_back(payload.get("num_turns"))
        else:
            inner = payload.get("type")
            self.kinds[f"{kind} {inner}" if isinstance(inner, str) else kind] += 1

    def lose(self, line: int) -> None:
        """A line that cannot be read stood before this one."""
        self._add(Entry(line=line, is_lost=True))

    def _read_bare(self, line: int, record: Record) -> None:
        """A line of the first versions."""
        if "record_type" in record:
            self.kinds["state"] += 1
        else:
            self._item(line, record, is_own=True)

    def _begin(self, line: int, payload: Record) -> None:
        if self.name:
            said = (
                "the session goes on from another, whose lines stand in it too: where both are "
                "read, what they share counts twice"
            )
            self._diagnostics.notice(said, f"{self._place}:{line}")
            return
        self.name = text_of(payload, "id") or ""
        self._version = text_of(payload, "cli_version")
        start = payload.get("subagent_history_start_ordinal")
        self._own_from = start if isinstance(start, int) else 0
        told = payload.get("base_instructions")
        if isinstance(told, dict) and (text := text_of(told, "text")):
            self._system = {"role": "system", "content": text}
            self._add(Entry(line=line, message=self._system))
            said = "the system prompt may have been sent without what it says of other tools"
            self._diagnostics.notice(said, f"{self._place}:{line}")

    def _add(self, entry: Entry) -> None:
        entry.parent = self._head
        self.entries.append(entry)
        self._head = len(self.entries) - 1
        self._open = None

    def _item(self, line: int, item: Record, *, is_own: bool) -> None:
        kind, role = item.get("type") or "message", item.get("role")
        place = f"{self._place}:{line}"
        if not isinstance(kind, str) or (kind == "message" and not isinstance(role, str)):
            self._diagnostics.problem("payload", "is an item without a type or a role", place)
        elif not (kind in _ITEMS or kind.endswith(("_call", "_output"))):
            self.kinds[f"response_item {kind}"] += 1
        elif is_answer(kind):
            self._add(Entry(line=line, message=answer_of(item)))
        elif kind == "message" and role != "assistant":
            message = {"role": role, "content": item.get("content")}
            self._add(Entry(line=line, message=message, typed=_is_typed(message)))
        else:
            before = self._open
            if before is None or begins_call(item, before.message):
                reply = Entry(line=line, message=empty_reply(), acts=is_own)
                self._add(reply)
                self._open = before = reply
            join_item(before.message or {}, item, _OF_ITEM)
            before.line, before.model, before.version = line, self._model, self._version

    def _compact(self, line: int, payload: Record) -> None:
        """Begin a segment with what the context was replaced by."""
        given = payload.get("replacement_history")
        self._leave_summary(payload.get("message"))
        before = self._context()
        self._add(Entry(line=line, clears=True))
        if self._system is not None:
            self._add(Entry(line=line, message=self._system))
        if isinstance(given, list):
            for item in objects(given):
                self._item(line, item, is_own=False)
            self._open = None
            return
        for entry in before:
            message = entry.message or {}
            if message.get("role") in ("user", "developer"):
                self._add(Entry(line=line, message=message, typed=entry.typed))
        self._add(Entry(line=line, message={"role": "user", "content": payload.get("message")}))
        text = "a compaction does not say what it kept: its prompt is what the user said before"
        self._diagnostics.notice(f"{text}, and its summary", f"{self._place}:{line}")

    def _leave_summary(self, summary: Any) -> None:
        """Take the reply that is the summary for no step: what asked for it is not logged."""
        last = self.entries[self._head] if self._head != NOWHERE else None
        said = _text(last.message) if last is not None and last.acts else ""
        if last is not None and said and isinstance(summary, str) and summary.endswith(said):
            last.acts = False
            self.kinds["response_item that is the summary of a compaction"] += 1

    def _context(self) -> list[Entry]:
        """The entries that stand in the context now, oldest first."""
        found: list[Entry] = []
        at = self._head
        while at != NOWHERE and not self.entries[at].clears:
            found.append(self.entries[at])
            at = self.entries[at].parent
        return found[::-1]

    def _roll_back(self, count: Any) -> None:
        """Go back to before the last turns of the user."""
        left = count if isinstance(count, int) else 1
        at = self._head
        while at != NOWHERE and left > 0:
            left -= self.entries[at].typed
            at = self.entries[at].parent
        if at == NOWHERE and self._system is not None:
            at = 0  # no turn of the user takes the system prompt away
        self._head, self._open = at, None


_OF_ITEM = frozenset({"internal_chat_message_metadata_passthrough", "metadata"})


def _is_typed(message: Record) -> bool:
    """True where a person wrote a message."""
    text = _text(message)
    return message["role"] == "user" and bool(text) and not text.lstrip().startswith(_TOLD)


def _text(message: Record | None) -> str:
    """The text of a message; empty where its content is of another type."""
    content = message.get("content") if message is not None else None
    parts = content if isinstance(content, list) else []
    is_sound = isinstance(content, str | list) and all(isinstance(p, str | dict) for p in parts)
    return content_text(content) if is_sound else ""
