"""Pi sessions, and those that others write in the Hub's format of session traces.

Pi's (`~/.pi/agent/sessions/*/*.jsonl`) is described in badlogic/pi-mono,
`packages/coding-agent/docs/session.md`, `src/core/session-manager.ts` and `messages.ts`, from which
the words are that it puts around a summary and a command: a header {type: session, id, version},
then entries with `id` and `parentId` (none in version 1, where each follows the one before). The
context is the path to the last entry. Behind a `compaction` it is the summary, what stands from
`firstKeptEntryId` on, and what follows. A session that was forked from another (`parentSession`)
begins with a copy of its entries, which are older than the header.

The Hub's (huggingface/hub-docs, `docs/hub/session-traces-format.md`): a header with the `harness`,
then {type: message, message {role, content, reasoningContent, toolCalls, toolCallId}}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.jsonfiles import Record, decoded_json, leading_keys, objects
from workbench.readers.mapping import refuse_mapping
from workbench.readers.rows import StepRows
from workbench.readers.sessions import (
    NOWHERE,
    Entry,
    Session,
    add_session,
    has_line_with,
    say_kinds,
    session_lines,
    text_of,
)

_SUMMARY = (
    "The conversation history before this point was compacted into the following summary:\n\n"
    "<summary>\n{}\n</summary>"
)
_BRANCH = (
    "The following is a summary of a branch that this conversation came back from:\n\n"
    "<summary>\n{}</summary>"
)
_SUMMARIES = {"branchSummary": _BRANCH, "compactionSummary": _SUMMARY}
_ROLES = frozenset({"system", "developer", "user", "tool"})
_KEYS = {
    "content": "content",
    "toolName": "name",
    "reasoningContent": "reasoning_content",
    "toolCalls": "tool_calls",
    "toolCallId": "tool_call_id",
}
_LEFT = frozenset({"error", "aborted"})
"""Stop reasons of answers that are not put before the model again."""


class _Sessions:
    """The reading that both formats have in common."""

    words = ""

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of a session; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, self.words)
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        tree = _Tree(diagnostics, str(path))
        for line, record, is_behind_hole in session_lines(path, diagnostics):
            tree.read(line, record, is_behind_hole=is_behind_hole)
        session = Session(name=tree.name or path.stem, agent=tree.harness)
        add_session(rows, tree.entries, session, diagnostics, str(path))
        say_kinds(tree.kinds, diagnostics, str(path))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


@reader("pi", description="Pi sessions, JSONL")
class Pi(_Sessions):
    """Steps are answers of the model.

    Trajectories are sessions, and `<session>/branch-1` what was left for another branch; a
    compaction begins a segment. Groups are sessions that begin with the same message of the user,
    under the same models. Rewards are null. `source_line` is the line of the answer.
    """

    words = "Pi sessions"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A header without a harness, or lines that name the one before them."""
        if has_line_with(head, {"type", "id", "parentId", "message"}):
            return True
        header = _header(head)
        return header is not None and "harness" not in header


@reader("session-trace", description="the Hub's session traces, JSONL")
class SessionTrace(_Sessions):
    """Steps are the assistant's messages.

    Trajectories are sessions. Groups are sessions that begin with the same message of the user,
    under the same harness and models. Rewards are null. `source_line` is the line of the message.
    """

    words = "session traces"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A header with a harness, and messages without ids."""
        header = _header(head)
        is_tree = has_line_with(head, {"type", "id", "parentId"})
        return header is not None and "harness" in header and not is_tree


def _header(head: bytes) -> frozenset[str] | None:
    """The keys of the line that says which session it is; None where there is none."""
    for line in head.splitlines():
        keys = leading_keys(line)
        if {"type", "id"} <= keys and not {"message", "messages", "parentId"} & keys:
            value = decoded_json(line.decode(errors="replace"))
            first = objects(value)[:1] if isinstance(value, list) else objects([value])
            if first and first[0].get("type") == "session":
                return keys
    return None


class _Tree:
    """The entries of a session, read line by line."""

    def __init__(self, diagnostics: Diagnostics, place: str) -> None:
        self.entries: list[Entry] = []
        self.kinds: Counter[str] = Counter()
        self.name = ""
        self.harness = "pi"
        self._diagnostics = diagnostics
        self._place = place
        self._at_of: dict[str, int] = {}
        self._end_of: dict[int, int] = {}  # a compaction -> the last message that it kept
        self._lines: list[int] = []  # entry of each record, for version 1
        self._is_holed = False
        self._forked_at = ""

    def read(self, line: int, record: Record, *, is_behind_hole: bool) -> None:
        """Take in a line."""
        kind = record.get("type")
        if not isinstance(kind, str):
            self._diagnostics.problem("type", "is missing or no text", f"{self._place}:{line}")
            return
        if kind == "session":
            self.name = self.name or text_of(record, "id") or ""
            self.harness = text_of(record, "harness") or self.harness
            if text_of(record, "parentSession") is not None:
                self._forked_at = text_of(record, "timestamp") or ""
            self._lines.append(NOWHERE)
            return
        self._is_holed |= is_behind_hole
        identity = text_of(record, "id")
        if identity is not None and identity in self._at_of:
            text = "lines with the id of another are passed over: the first one counts"
            self._diagnostics.notice(text, self._place)
            return
        if is_behind_hole and "parentId" not in record and self.name:
            self._add(Entry(line=line, is_lost=True, parent=len(self.entries) - 1))
        entry = self._entry(line, kind, record)
        entry.parent = self._parent(record, line)
        # A copy of what the session that this one was forked from did is context here.
        entry.acts &= (text_of(record, "timestamp") or self._forked_at) >= self._forked_at
        at = self._add(entry)
        self._lines.append(at)
        if identity is not None:
            self._at_of[identity] = at
        if kind == "compaction":
            self._compact(at, record)

    def _add(self, entry: Entry) -> int:
        self.entries.append(entry)
        return len(self.entries) - 1

    def _parent(self, record: Record, line: int) -> int:
        if "parentId" not in record:
            return len(self.entries) - 1
        named = text_of(record, "parentId")
        if named is None or named == self.name:
            return NOWHERE
        parent = self._at_of.get(named)
        if parent is None and self._is_holed:
            return self._add(Entry(line=line, is_lost=True))
        if parent is None:
            text = "lines refer to one that does not stand before them: read as a beginning"
            self._diagnostics.notice(text, f"{self._place}:{line}")
            return NOWHERE
        return self._end_of.get(parent, parent)

    def _entry(self, line: int, kind: str, record: Record) -> Entry:
        message: Any = None
        if kind == "message":
            message = record.get("message")
            if not isinstance(message, dict) or not isinstance(message.get("role"), str):
                rule = "is missing or has no role"
                self._diagnostics.problem("message", rule, f"{self._place}:{line}")
                return Entry(line=line)
            return self._spoken(line, message)
        if kind == "custom_message":
            message = {"role": "user", "content": record.get("content")}
        elif kind == "branch_summary":
            message = {"role": "user", "content": _BRANCH.format(record.get("summary"))}
        elif kind != "compaction":
            self.kinds[kind] += 1
        return Entry(line=line, message=message, clears=kind == "compaction")

    def _spoken(self, line: int, given: Record) -> Entry:
        """A message of a person, the model or a tool, in the form that `log.conversation` knows."""
        role = given["role"]
        reason = text_of(given, "stopReason")
        if role == "assistant" and reason in _LEFT:
            # Pi takes it out of the context, so that nothing that follows has seen it.
            self.kinds[f"message that ended with {reason}"] += 1
            return Entry(line=line)
        if role == "bashExecution" and given.get("excludeFromContext") is True:
            self.kinds["message that the model was not shown"] += 1
            return Entry(line=line)
        return Entry(
            line=line,
            message=_message(role, given),
            acts=role == "assistant",
            typed=role == "user",
            model=text_of(given, "model") if role == "assistant" else None,
            finish_reason=reason,
        )

    def _compact(self, at: int, record: Record) -> None:
        """Put the summary and what was kept behind a compaction, and what follows behind that."""
        first = self._at_of.get(text_of(record, "firstKeptEntryId") or "")
        index = record.get("firstKeptEntryIndex")
        if first is None and isinstance(index, int) and 0 <= index < len(self._lines):
            first = self._lines[index]
        kept: list[int] = []
        above = self.entries[at].parent
        while first is not None and above != NOWHERE and above not in kept:
            kept.append(above)
            if above == first:
                break
            above = self.entries[above].parent
        if first is None or above != first:
            kept = []
            place = f"{self._place}:{self.entries[at].line}"
            self._diagnostics.notice("messages that a compaction kept are not in the file", place)
        line = self.entries[at].line
        content = _SUMMARY.format(record.get("summary"))
        end = self._add(Entry(line=line, parent=at, message={"role": "user", "content": content}))
        for original in reversed(kept):
            copied = self.entries[original].message
            end = self._add(Entry(line=line, parent=end, message=copied))
        self._end_of[at] = end


def _message(role: str, given: Record) -> Record:
    """A message in the form that `log.conversation` knows; what no role of it says, the user did.

    What others said is told in Pi's own words.
    """
    message: Record = {new: given[key] for key, new in _KEYS.items() if key in given}
    if role == "assistant":
        return {**message, "role": role, "content": _parts(given.get("content"))}
    if role == "toolResult":
        failed = {"is_error": True} if given.get("isError") is True else {}
        return {**message, "role": "tool", **failed}
    if role == "bashExecution":
        return {"role": "user", "content": _command(given)}
    if role in _SUMMARIES:
        return {"role": "user", "content": _SUMMARIES[role].format(given.get("summary"))}
    return {**message, "role": role if role in _ROLES else "user"}


def _parts(content: Any) -> Any:
    """Content whose calls have a name that `log.conversation` knows."""
    if not isinstance(content, list):
        return content
    return [
        {**part, "type": "tool_call"}
        if isinstance(part, dict) and part.get("type") == "toolCall"
        else part
        for part in content
    ]


def _command(given: Record) -> str:
    """The words in which the model is told of a command that the user ran."""
    output, code = given.get("output"), given.get("exitCode")
    text = f"Ran `{given.get('command')}`\n" + (f"```\n{output}\n```" if output else "(no output)")
    if given.get("cancelled") is True:
        return f"{text}\n\n(command cancelled)"
    return f"{text}\n\nCommand exited with code {code}" if code else text
