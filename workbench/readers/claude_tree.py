"""Lines of a Claude Code session as a tree: who follows whom, and what a compaction kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.claude_lines import Line, Lines, results_of
from workbench.readers.sessions import (
    NOWHERE,
    Entry,
    refuse_circles,
    roots_of,
    text_of,
)

_CLEARED = "<command-name>/clear</command-name>"
_LOST = -2
"""Parent that a damaged line may have been."""


def entries_of(found: Lines, diagnostics: Diagnostics, place: str) -> list[Entry]:
    """All entries of a file, those of one answer joined, each with its parent.

    The entries of the lines come first, at the positions of the lines.
    """
    lines = found.lines
    same = _joined_answers(lines)
    parents = _told_parents(found, diagnostics, place)
    parents = [_message_above(lines, parents, at) for at in range(len(lines))]
    parents = [parent if parent < 0 else same[parent] for parent in parents]
    entries = [line.entry for line in lines]
    lost = Entry(line=1, is_lost=True)
    entries.append(lost)
    for at, parent in enumerate(parents):
        entries[at].parent = len(lines) if parent == _LOST else parent
    for at in range(len(lines)):
        if same[at] != at or not lines[at].is_message:  # told by another entry, or nothing
            entries[at].message, entries[at].acts = None, False
    refuse_circles(entries, diagnostics, place)
    _chain_results(lines, entries)
    _keep(found, entries, same, diagnostics, place)
    _end_summaries(lines, entries)
    refuse_circles(entries, diagnostics, place)
    return entries


def _told_parents(found: Lines, diagnostics: Diagnostics, place: str) -> list[int]:
    """The position of the line that each one names as the one before it."""
    parents = []
    before: dict[str | None, int] = {}
    # Lines that were made from another log name no parent: they follow one another.
    is_chained = any(text_of(line.record, "parentUuid") for line in found.lines)
    for at, line in enumerate(found.lines):
        record = line.record
        key = "logicalParentUuid" if line.is_boundary else "parentUuid"
        named = text_of(record, key) or text_of(record, "parentUuid")
        parent = found.at_of.get(named or "", NOWHERE)
        if line.lane is None and _CLEARED in line.text:
            parent = NOWHERE
        elif named is None and (line.is_boundary or not is_chained):
            parent = before.get(line.lane, NOWHERE)
        elif named is not None and parent == NOWHERE and found.is_holed:
            parent = _LOST
        elif named is not None and parent == NOWHERE:
            text = "lines refer to one that the file does not hold: they are read as a beginning"
            diagnostics.notice(text, f"{place}:{line.entry.line}")
        if parent >= 0 and found.lines[parent].lane != line.lane:
            parent = NOWHERE
        parents.append(parent)
        before[line.lane] = at
    return parents


def _message_above(lines: Sequence[Line], parents: Sequence[int], at: int) -> int:
    """The nearest line above that holds a message."""
    seen = {at}
    parent = parents[at]
    while parent >= 0 and not lines[parent].is_message and parent not in seen:
        seen.add(parent)
        parent = parents[parent]
    return parent


def _joined_answers(lines: Sequence[Line]) -> list[int]:
    """For each line the position of the first one of its answer, which gets all blocks."""
    first: dict[tuple[str | None, str], int] = {}
    same = []
    for at, line in enumerate(lines):
        message = line.record.get("message")
        identity = text_of(message, "id") if isinstance(message, dict) else None
        if line.record.get("type") != "assistant" or identity is None or not line.entry.message:
            same.append(at)
            continue
        same.append(first.setdefault((line.lane, identity), at))
        whole = lines[same[at]].entry
        if same[at] != at and whole.message is not None:
            whole.message = {
                "role": "assistant",
                "content": _blocks(whole.message["content"], line.entry.message["content"]),
            }
            whole.line = line.entry.line
            whole.finish_reason = line.entry.finish_reason or whole.finish_reason
    return same


def _blocks(one: Any, other: Any) -> Any:
    """The blocks of two lines of one answer; a block that both have is one."""
    left, right = (
        [{"type": "text", "text": given}] if isinstance(given, str) else given
        for given in (one, other)
    )
    if not (isinstance(left, list) and isinstance(right, list)):
        return one if other is None else other
    return [*left, *(block for block in right if block not in left)]


def _chain_results(lines: Sequence[Line], entries: Sequence[Entry]) -> None:
    """Put the results of calls that were made together one after the other, not side by side."""
    answered: dict[int, set[str]] = {}
    end: dict[int, int] = {}
    moved: dict[int, int] = {}
    for at, line in enumerate(lines):
        ids, parent = results_of(line.record), entries[at].parent
        if not ids or parent == NOWHERE or parent >= len(lines):
            continue
        if lines[parent].record.get("type") != "assistant" or ids & answered.get(parent, set()):
            continue
        answered.setdefault(parent, set()).update(ids)
        if parent in end:
            moved[at] = end[parent]
        end[parent] = at
    for at, before in moved.items():
        entries[at].parent = before
    last = {before: at for at, before in moved.items()}
    for at, entry in enumerate(entries):
        while entry.parent in last and at not in moved:
            entry.parent = last[entry.parent]


def _keep(
    found: Lines, entries: list[Entry], same: Sequence[int], diagnostics: Diagnostics, place: str
) -> None:
    """Copy what a compaction kept behind its summary, and let what follows continue that."""
    lines = found.lines
    for at in [at for at, line in enumerate(lines) if line.is_boundary]:
        kept = _kept(found, entries, at, diagnostics, f"{place}:{entries[at].line}")
        if not kept:
            continue
        later = range(at + 1, len(lines))
        summaries = [k for k in later if lines[k].record.get("isCompactSummary") is True]
        anchor = at
        if summaries and entries[summaries[0]].parent == at:
            anchor = summaries[0]
        copies: dict[int, int] = {}
        end = anchor
        for original in dict.fromkeys(same[k] for k in kept):
            copy = Entry(line=entries[original].line, parent=end, message=entries[original].message)
            entries.append(copy)
            end = copies[original] = len(entries) - 1
        for k in later:
            if entries[k].parent in copies:
                entries[k].parent = copies[entries[k].parent]
            elif entries[k].parent == anchor and k != anchor:
                entries[k].parent = end


def _kept(
    found: Lines, entries: Sequence[Entry], at: int, diagnostics: Diagnostics, place: str
) -> list[int]:
    """The positions of the lines that a compaction kept, oldest first."""
    told = found.lines[at].record.get("compactMetadata")
    told = told if isinstance(told, dict) else {}
    named, segment = told.get("preservedMessages"), told.get("preservedSegment")
    if isinstance(named, dict) and isinstance(named.get("uuids"), list):
        known = [found.at_of.get(uuid) for uuid in named["uuids"] if isinstance(uuid, str)]
        if None in known:
            diagnostics.notice("messages that a compaction kept are not in the file", place)
        return [k for k in known if k is not None]
    if not isinstance(segment, dict):
        return []
    head, tail = (found.at_of.get(str(segment.get(key))) for key in ("headUuid", "tailUuid"))
    kept: list[int] = []
    while tail is not None and tail != NOWHERE and tail < len(found.lines) and tail not in kept:
        kept.append(tail)
        if tail == head:
            return kept[::-1]
        tail = entries[tail].parent
    diagnostics.notice("messages that a compaction kept are not in the file", place)
    return []


def _end_summaries(lines: Sequence[Line], entries: Sequence[Entry]) -> None:
    """A summary that no boundary stands before begins a segment by itself."""
    for at, line in enumerate(lines):
        parent = entries[at].parent
        is_told = 0 <= parent < len(lines) and lines[parent].is_boundary
        if line.record.get("isCompactSummary") is True and not is_told:
            entries[at].clears = True


def lanes_of(
    lines: Sequence[Line], entries: Sequence[Entry], file: str
) -> Iterator[tuple[str, str | None, list[Entry]]]:
    """The session, the agent (None on the main chain) and the entries of each conversation.

    A conversation is what the session says, or what one of its agents does. Replies of another
    session on the same path were copied from what this one resumes, and are context.
    """
    root = roots_of(entries)
    session: dict[int, str] = {}
    for at, line in enumerate(lines):
        session[root[at]] = line.session or session.get(root[at], "")
    members: dict[tuple[str, str], list[int]] = {}
    sides: dict[int, str] = {}
    # Older versions do not name their agents: a file of one is told by its name.
    is_of_agent = all(line.lane is not None for line in lines)
    for at, line in enumerate(lines):
        name, agent = session[root[at]], ""
        if line.lane is not None:
            unnamed = file if is_of_agent else f"side-{len(sides) + 1}"
            agent = line.lane or sides.setdefault(root[at], unnamed)
        elif line.session and line.session != name:
            entries[at].acts = False
        members.setdefault((name, agent), []).append(at)
    for (name, agent), own in sorted(members.items()):
        # Copies and lost lines have no line of their own: they go with what leads to them.
        whole: dict[int, None] = {}
        for at in own:
            while at != NOWHERE and at not in whole:
                whole[at] = None
                at = entries[at].parent  # noqa: PLW2901  up to the root
        position = {at: k for k, at in enumerate(sorted(whole))}
        yield (
            name,
            agent or None,
            [
                replace(entries[at], parent=position.get(entries[at].parent, NOWHERE))
                for at in position
            ],
        )
