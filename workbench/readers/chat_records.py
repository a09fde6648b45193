"""Records of conversations: the key of one, a prompt with its answer, or a whole file."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.readers.base import HEAD_BYTES, Diagnostics
from workbench.readers.containers import Cells, Records, first_record, records_of
from workbench.readers.dialects import is_conversation, is_message
from workbench.readers.jsonfiles import Record
from workbench.readers.nested_steps import STEPS, are_steps

MESSAGES = ("messages", "trajectory", "conversations", "conversation", "history", "traj", "dialog")
"""Keys that may hold the conversation, the first that holds one."""

REPLIES = ("completion", "response")
"""Keys that may hold what the policy answered to a `prompt`, where a record has no conversation."""

BESIDE = ("images", "image", "videos", "video", "audios", "audio")
"""Keys that may hold what a conversation shows next to its text."""

GROUPS = (
    "group_id", "task_id", "prompt_id", "problem_id", "group", "uid", "example_id", "instance_id",
    "question_id", "task_name", "prompt",
)  # fmt: skip
"""Keys that may name the group."""

TRAJECTORIES = (
    "trajectory_id", "rollout_id", "rollout", "rollout_index", "rollout_idx", "sample_idx",
    "sample_index", "sample_id", "trial", "attempt", "traj_id", "trial_id", "run_id", "session_id",
)  # fmt: skip
"""Keys that may name the trajectory."""

_TALKS = frozenset({"prompt", *REPLIES})
_OBJECTS = frozenset({*MESSAGES, *STEPS, *BESIDE, "tools"}) | _TALKS


def cells_of(columns: Mapping[str, str]) -> Cells:
    """Contents of the cells of a table of chat records.

    Args:
        columns: Canonical name -> name in the file.
    """
    reached = {key.partition(".")[0] for key in columns.values() if "." in key}
    messages = columns.get("messages", "messages")
    named = {columns[name] for name in ("group_id", "trajectory_id") if name in columns}
    return Cells(
        objects=_OBJECTS | reached | {messages},
        texts=_TALKS - {messages},
        ids=frozenset({*GROUPS, *TRAJECTORIES, *named}),
    )


def conversation_keys(record: Record) -> tuple[str, str | None] | None:
    """The key of the conversation or the steps, or of a prompt and its answer; None without one."""
    for key in MESSAGES:
        if is_conversation(record.get(key)):
            return key, None
    for key in STEPS:
        if are_steps(record.get(key)):
            return key, None
    for key in REPLIES:
        if all(_is_said(record.get(name)) for name in ("prompt", key)):
            return "prompt", key
    return None


def _is_said(value: Any) -> bool:
    return (isinstance(value, str) and value != "") or is_conversation(value)


class _OneConversation(Records):
    """The messages of a file that holds nothing else, as one record."""

    def place(self, number: int) -> str:
        """The file: its records are messages."""
        return str(self._path)

    def _iterate(self) -> Generator[tuple[int, Record]]:
        messages: list[Record] = []
        rule = "messages behind a damaged line are left out: what they answered is not known"
        with closing(records_of(self._path, self._diagnostics)) as records:
            for _, message in records:
                if self._diagnostics.problems:
                    self._diagnostics.drop("messages", rule, str(self._path))
                else:
                    messages.append(message)
        if messages:
            yield 1, {"messages": messages}


def chat_records(
    path: Path,
    diagnostics: Diagnostics,
    columns: Mapping[str, str],
    *,
    without: Collection[str] = (),
) -> Records:
    """The records of a file of conversations, of which a list of messages is one.

    Args:
        path: The file.
        diagnostics: Gets what cannot be read.
        columns: Canonical name -> name in the file.
        without: As for `records_of`.
    """
    cells = cells_of(columns)
    with path.open("rb") as file:
        first = first_record(path, file.read(HEAD_BYTES), cells)
    if is_message(first):
        return _OneConversation(path, diagnostics)
    return records_of(path, diagnostics, cells, without=without)


def keys_in(path: Path) -> tuple[str, str | None]:
    """The keys of the conversation in the first record that has one; `messages` where none has."""
    with closing(chat_records(path, Diagnostics(), {})) as records:
        for _, record in records:
            if (keys := conversation_keys(record)) is not None:
                return keys
    return "messages", None
