"""Keys of chat records: which of them holds the conversation, the group, the reward and so on.

Public sets call the same things by many names. A mapping says which is meant; without one the usual
names are looked for, and what was found is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError
from workbench.log.columns import STEP_LOG, known
from workbench.log.verdicts import verdicts_of
from workbench.readers.base import Diagnostics
from workbench.readers.chat_records import chat_records, keys_in
from workbench.readers.chat_values import CUT, GUESSES, OF_RUNS, Seen
from workbench.readers.jsonfiles import Record, lookup
from workbench.readers.votes import mask_of, without_masks

_ALSO = {
    "model": ("model_name",),
    "finish_reason": ("exit_status", "stop_reason", "termination_reason", "status"),
}
"""Column that a record may have under its own name -> other keys that may hold it."""

_TASKS = frozenset(
    {
        "task_id", "prompt_id", "problem_id", "example_id", "instance_id", "question_id",
        "task_name", "prompt",
    }
)  # fmt: skip
"""Guessed keys that name a task, which several systems may have worked on."""

_OF_TRAJECTORY = frozenset(
    name
    for column in STEP_LOG
    if column.scope in {"trajectory", "run"}
    for name in (column.name, *column.aliases, *column.negated)
)
"""Columns of the step log that may hold once for a whole trajectory, under any of their names."""

OF_LAST_STEP = frozenset(column.name for column in STEP_LOG if column.scope == "last step")
OF_RECORDS = {"messages", *GUESSES} | _OF_TRAJECTORY | OF_LAST_STEP
"""Columns that a chat record may have a value for."""

_GUESSED = frozenset(key for keys in GUESSES.values() for key in keys)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of a file of chat records, each with its meaning.

    Args:
        messages: The key of the conversation, or of the prompt.
        reply: The key of the answer to a prompt; None where the record has a conversation.
        told: Column -> key, as mapped or guessed.
        kept: Column -> key, for all others.
        found: Every key that has a value in some record.
        nested: Keys of lists and objects, which are not kept.
        words: Key of a reward or a verdict -> the texts that it has.
        graded: Keys of verdicts that have 0, so that -1 is no failure but says that none was given.
        groups_are_tasks: The group's key names a task, not who worked on it.
        counts_in_group: The key of the trajectory tells it from others of its group only.
        update: The key that tells the updates apart in which rollouts of a task were sampled.
        cut: Keys of truth values that say whether a limit cut the rollout.
        unread: Notices about keys that have values which cannot be read as what they may mean.
    """

    messages: str
    reply: str | None
    told: Mapping[str, str]
    kept: Mapping[str, str]
    found: Sequence[str]
    nested: frozenset[str]
    words: Mapping[str, Collection[str]]
    graded: Collection[str]
    groups_are_tasks: bool
    counts_in_group: bool
    update: str | None
    cut: Sequence[str]
    unread: Sequence[str]

    def value(self, fields: Mapping[str, Any], name: str) -> Any:
        """The value that a record has for a column; None where no key holds it."""
        key = self.told.get(name)
        return None if key is None else fields.get(key)

    def worth(self, word: str, key: str) -> float | None:
        """The worth of a word, where all words of its key are of one set."""
        verdicts = verdicts_of(self.words.get(key, ()))
        return None if verdicts is None else verdicts.get(word.strip().lower())


def fields_of(
    record: Record, columns: Mapping[str, str], messages: str, reply: str | None
) -> dict[str, Any]:
    """The fields of a record besides its messages: scalars by key, and whatever is mapped.

    Args:
        record: The record.
        columns: Canonical name -> name in the file.
        messages: The key of the conversation, or of the prompt.
        reply: The key of the answer to a prompt.
    """
    own = {messages} if reply is None else {reply}
    kept = {
        key: value
        for key, value in record.items()
        if key not in own and (key in _GUESSED or not isinstance(value, list | dict))
    }
    if "mask_reason" not in kept and (mask := mask_of(record)) is not None:
        kept["mask_reason"] = mask
    without_masks(kept)
    return kept | {key: lookup(record, key) for key in set(columns.values()) - own}


def keys_of(columns: Mapping[str, str], path: Path) -> Keys:
    """The meaning of each key: as mapped, else the first guess that any record has a value for.

    Args:
        columns: Canonical name -> name in the file.
        path: The file, of which every record is looked at.

    Raises:
        ParameterError: `columns` names what no record has.
    """
    told_messages = columns.get("messages")
    messages, reply = (told_messages, None) if told_messages else keys_in(path)
    seen = Seen(columns)
    without = {messages if reply is None else reply}
    for _, record in chat_records(path, Diagnostics(), columns, without=without):
        seen.add(record, fields_of(record, columns, messages, reply))
    found = seen.found
    told = {name: key for name, key in columns.items() if name != "messages"}
    absent = sorted(set(told.values()) - found)
    if absent and found:
        raise ParameterError(
            f"the column mapping names {absent}, for which no record has a value; "
            f"found {sorted(found)}"
        )
    for name, guesses in GUESSES.items():
        taken = {key for other, key in told.items() if {name, other} != {"reward", "success"}}
        candidates = [
            key for key in guesses if key in found and key not in taken and seen.fits(name, key)
        ]
        if name not in told and candidates:
            told[name] = candidates[0]
    for name, guesses in _ALSO.items():
        candidates = [
            key
            for key in guesses
            if key in found and key not in told.values() and seen.fits(name, key)
        ]
        if name not in told and name not in found and candidates:
            told[name] = candidates[0]
    update = seen.update(told)
    if update is not None and update not in told.values() and update not in {"epoch", "train_step"}:
        told["train_step"] = update
    talk = {messages, reply, "tools"}
    nested = seen.large - talk - set(told.values())
    rest = sorted(found - set(told.values()) - nested - talk)
    trajectory = told.get("trajectory_id", "")
    groups_are_tasks = "group_id" not in columns and told.get("group_id", "prompt") in _TASKS
    separate = {update} if groups_are_tasks or update != "epoch" else set()
    return Keys(
        messages=messages,
        reply=reply,
        told=told,
        kept={key if _same_meaning(key) else f"record_{key}": key for key in rest},
        found=sorted(found),
        nested=frozenset(nested),
        words=seen.words,
        graded=frozenset(seen.graded),
        groups_are_tasks=groups_are_tasks,
        counts_in_group=trajectory in OF_RUNS and not seen.is_unique(trajectory),
        update=update,
        cut=[key for key in CUT if seen.holds_truths(key) and key not in told.values()],
        unread=seen.unread({*told.values(), *separate}, "reward" in told),
    )


def _same_meaning(key: str) -> bool:
    """True where a trajectory's value may stand in a column of this name."""
    entry = known(key)
    if entry is None:
        aliases = {alias for column in STEP_LOG for alias in (*column.aliases, *column.negated)}
        return key in _OF_TRAJECTORY or not (key in aliases or key.startswith("__"))
    return entry.name in _OF_TRAJECTORY | OF_LAST_STEP
