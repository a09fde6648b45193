"""Sessions of coding agents: lines that form a tree of messages become trajectories.

What every session has in common: one file is one session, a line is a message or says something
about the session, and where somebody went back to an earlier message and said something else, the
lines fork. A reader makes `Entry` objects of its lines, each with the one before it; `add_session`
makes trajectories of these.

The trajectory of a session is the path to its last reply. A path that was left (rewound, edited or
rolled back) is a trajectory of its own, `<session>/branch-1`, whose steps are those behind the
fork; what stands before that is context to it, since the other trajectory has these steps. Where
the context was compacted, a segment begins, with the summary and the messages that were kept as its
prompt. What is behind a line that cannot be read is left out: what it answered is not known.

Sessions carry no reward and name no task: rewards are null, and sessions of one system that begin
with the same message of the user are one group, marked `reconstructed`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.log.conversation import Message, content_text
from workbench.readers.base import SYSTEM, Diagnostics
from workbench.readers.containers import records_of
from workbench.readers.jsonfiles import Record, leading_keys
from workbench.readers.messages import Turn, turns
from workbench.readers.records import digest, is_cut
from workbench.readers.rows import StepRows
from workbench.readers.systems import system_of

NOWHERE = -1
"""Parent of an entry that begins a session."""


@dataclass(kw_only=True)
class Entry:
    """A line of a session, or a copy of one that a compaction kept.

    Args:
        line: Where it stands.
        parent: Position of the entry before it; `NOWHERE` where it is the first.
        message: The message in a form that `log.conversation` knows; None where it holds none.
        acts: The policy wrote it in this session.
        typed: A person wrote it, so that it may name the task.
        clears: The context is empty here; what follows is the prompt of a new segment.
        is_lost: A line that cannot be read stood here.
        model: The model that wrote it.
        version: Of the program then.
        finish_reason: Why the model stopped.
    """

    line: int
    parent: int = NOWHERE
    message: Message | None = None
    acts: bool = False
    typed: bool = False
    clears: bool = False
    is_lost: bool = False
    model: str | None = None
    version: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session without its entries.

    Args:
        name: Its id, and so that of its trajectory.
        agent: The program, such as claude-code.
        agent_id: Which of the session's agents speaks; None where it has one.
    """

    name: str
    agent: str
    agent_id: str | None = None


@dataclass
class Talk:
    """A conversation that is read message by message, in segments."""

    _segments: list[tuple[list[Message], list[int]]] = field(default_factory=lambda: [([], [])])

    def add(self, message: Message, *, acts: bool = False) -> None:
        """Add a message; `acts` where the policy wrote it."""
        messages, written = self._segments[-1]
        if acts:
            written.append(len(messages))
        messages.append(message)

    def clear(self) -> None:
        """Begin a segment, whose prompt is what is added next."""
        self._segments.append(([], []))

    def turns(self, tools: Any = None) -> list[Turn]:
        """The steps, one for each message that the policy wrote.

        Raises:
            MessageError: A message is not what it should be.
        """
        found: list[list[Turn]] = []
        for messages, written in self._segments:
            if steps := turns(messages, frozenset(written), tools):
                found.append([replace(step, segment=len(found)) for step in steps])
        for steps, following in itertools.pairwise(found):
            if steps[-1].next_observation is None:
                after = following[0].observation
                steps[-1] = replace(steps[-1], next_observation=after)
        return [step for steps in found for step in steps]


def session_lines(path: Path, diagnostics: Diagnostics) -> Iterator[tuple[int, Record, bool]]:
    """The records of a session with their lines, and whether a line right before is damaged."""
    broken = 0
    with closing(records_of(path, diagnostics)) as records:
        for line, record in records:
            now = sum(problem.count for problem in diagnostics.problems)
            yield line, record, now > broken
            broken = now


def add_session(
    rows: StepRows,
    entries: Sequence[Entry],
    session: Session,
    diagnostics: Diagnostics,
    place: str,
) -> None:
    """Add the trajectories of a session to the rows, or what is wrong to the diagnostics.

    Args:
        rows: Get the steps.
        entries: The lines of one conversation and its branches.
        session: Whose they are.
        diagnostics: Receives what was left out or told apart.
        place: The file in words.
    """
    found = _paths(entries, diagnostics, place)
    if not found:
        diagnostics.drop("messages", "hold no reply of the model, so no step", place)
        return
    for number, (path, own) in enumerate(found):
        talk, acts = Talk(), []
        for at in path:
            entry = entries[at]
            if entry.clears:
                talk.clear()
            if entry.message is not None:
                talk.add(entry.message, acts=at in own)
                acts += [entry] * (at in own)
        try:
            steps = talk.turns()
        except ValueError as error:
            diagnostics.problem("messages", str(error), f"{place}:{entries[path[0]].line}")
            continue
        reason = acts[-1].finish_reason
        rows.add(
            steps,
            fields={
                "trajectory_id": session.name + f"/branch-{number}" * (number > 0),
                **_fields(acts, session, _task(entries, path)),
            },
            last_fields={"finish_reason": reason, "truncated": bool(is_cut(reason))},
            step_fields={"source_line": [entry.line for entry in acts]},
        )
    if len(found) > 1:
        text = (
            "parts that do not lead to the end of the session (rewound, edited, retried, cleared) "
            "are trajectories of their own: what stands before the fork is context to them"
        )
        diagnostics.notice(text, place, count=len(found) - 1)
    roles = {entry.message.get("role") for entry in entries if entry.message}
    if not roles & {"system", "developer"}:
        text = "the session does not hold the system prompt that the model was given"
        diagnostics.notice(text, place)
    text = "the session does not hold the tools that the model was offered"
    diagnostics.notice(text, place)
    text = "sessions that begin with the same message of the user are one group"
    diagnostics.notice(f"sessions carry no reward: rewards are null; {text}", place)


def _fields(acts: Sequence[Entry], session: Session, task: str) -> dict[str, Any]:
    """The columns that are the same in all rows of a trajectory."""
    models = "+".join(sorted({entry.model for entry in acts if entry.model}))
    versions = "+".join(sorted({entry.version for entry in acts if entry.version}))
    return {
        "group_id": f"task-{digest(task)}",
        "agent_id": session.agent_id,
        "model": models or None,
        "reconstructed": "groups",
        SYSTEM: system_of(session.agent, versions, models),
    }


def _task(entries: Sequence[Entry], path: Sequence[int]) -> str:
    """The first message of a person, else of the role user, as text."""
    said = [entries[at] for at in path if (entries[at].message or {}).get("role") == "user"]
    asked = [entry for entry in said if entry.typed] or said
    first = asked[0].message if asked else None
    return content_text((first or {}).get("content"))


def _paths(
    entries: Sequence[Entry], diagnostics: Diagnostics, place: str
) -> list[tuple[list[int], frozenset[int]]]:
    """Paths that end in a reply, the last one of the file first, each with the replies it adds."""
    covered: set[int] = set()
    found: list[tuple[list[int], frozenset[int]]] = []
    lost = 0
    for leaf in sorted(_ends(entries), key=lambda at: (entries[at].line, at), reverse=True):
        path = _path(entries, leaf)
        holes = [k for k, at in enumerate(path) if entries[at].is_lost]
        sound = set(path[: holes[0]] if holes else path)
        new = [at for at in path if entries[at].acts and at not in covered]
        own = [at for at in new if at in sound]
        lost += len(new) - len(own)
        covered |= set(path)
        if own:
            found.append((path[: path.index(own[-1]) + 1], frozenset(own)))
    for _ in range(lost):
        rule = "replies behind a damaged line are left out: what they answered is not known"
        diagnostics.drop("messages", rule, place)
    return [*found[:1], *reversed(found[1:])]


def _ends(entries: Sequence[Entry]) -> set[int]:
    """The replies that no other reply follows."""
    above: set[int] = set()
    acts = [at for at, entry in enumerate(entries) if entry.acts]
    for at in acts:
        parent = entries[at].parent
        while parent != NOWHERE and parent not in above:
            above.add(parent)
            parent = entries[parent].parent
    return set(acts) - above


def _path(entries: Sequence[Entry], leaf: int) -> list[int]:
    """The positions from the first entry to this one."""
    path: list[int] = []
    at = leaf
    while at != NOWHERE:
        path.append(at)
        at = entries[at].parent
    return path[::-1]


def refuse_circles(entries: Sequence[Entry], diagnostics: Diagnostics, place: str) -> None:
    """Cut entries that lead to themselves off, each circle a problem."""
    seen: dict[int, int] = {}
    for start in range(len(entries)):
        at = start
        while at != NOWHERE and at not in seen:
            seen[at] = start
            parent = entries[at].parent
            if parent != NOWHERE and seen.get(parent) == start:
                rule = "lines refer to each other in a circle"
                diagnostics.problem("messages", rule, f"{place}:{entries[at].line}")
                entries[at].parent = NOWHERE
            at = entries[at].parent


def say_kinds(kinds: Counter[str], diagnostics: Diagnostics, place: str) -> None:
    """Say how many lines of each kind hold no message."""
    for kind, count in sorted(kinds.items()):
        diagnostics.notice(f"lines of the type {kind} hold no message", place, count=count)


def text_of(record: Record, key: str) -> str | None:
    """A text of a record; None for anything else."""
    value = record.get(key)
    return value if isinstance(value, str) and value else None


def has_line_with(head: bytes, keys: Collection[str]) -> bool:
    """True where a line of the head of a file is an object with all these keys."""
    return any(set(keys) <= leading_keys(line) for line in head.splitlines())


def roots_of(entries: Sequence[Entry]) -> list[int]:
    """For each entry the position of the first one of its path."""
    root: dict[int, int] = {}
    for start in range(len(entries)):
        way, at = [], start
        while at not in root and entries[at].parent != NOWHERE:
            way.append(at)
            at = entries[at].parent
        found = root.setdefault(at, at)
        root |= dict.fromkeys(way, found)
    return [root[at] for at in range(len(entries))]
