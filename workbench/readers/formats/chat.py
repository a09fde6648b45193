"""OpenAI-style chat JSONL: one trajectory a line, `messages` and the user's own keys beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError
from workbench.log.columns import STEP_LOG, known
from workbench.log.verdicts import verdicts_of
from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.formats.steps import is_step
from workbench.readers.jsonfiles import Record, json_lines, leading_keys, lookup
from workbench.readers.messages import Turn, offered, turns
from workbench.readers.rows import (
    StepRows,
    identity,
    is_number,
    number,
    say_text_numbers,
    truth,
)
from workbench.readers.systems import system_of
from workbench.readers.votes import nested_mask

_GUESSES: Mapping[str, Sequence[str]] = {
    "group_id": (
        "group_id", "task_id", "prompt_id", "problem_id", "group", "uid", "example_id",
    ),
    "trajectory_id": (
        "trajectory_id", "rollout_id", "rollout", "rollout_index", "rollout_idx", "sample_idx",
        "sample_index", "sample_id", "trial", "attempt",
    ),
    "reward": ("reward", "score", "success"),
    "success": ("success",),
}  # fmt: skip
"""Column -> keys that may hold it, the first that any record has a value for."""

_OF_TRAJECTORY = frozenset(
    name
    for column in STEP_LOG
    if column.scope in {"trajectory", "run"}
    for name in (column.name, *column.aliases, *column.negated)
)
"""Columns of the step log that may be said once of a whole trajectory, under any of their names."""

_TASKS = frozenset({"task_id", "prompt_id", "problem_id", "example_id"})
"""Guessed keys that name a task, which several systems may have worked on."""

_WORDS = 8  # more texts than any set of verdicts has
_OF_SYSTEM = ("run_id", "agent_version", "agent_name", "agent", "model")
_OF_LAST_STEP = frozenset(column.name for column in STEP_LOG if column.scope == "last step")
_GUESSED = frozenset(key for keys in _GUESSES.values() for key in keys)


@dataclass(frozen=True, kw_only=True)
class _Conversation:
    line: int
    turns: Sequence[Turn]
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """Which key holds what.

    Args:
        told: Column -> key, as mapped or guessed.
        kept: Column -> key, for all others.
        found: Every key that has a value in some record.
        nested: Keys of lists and objects, which are not kept.
        words: Key of a reward or a verdict -> the texts that it has.
        groups_are_tasks: The group's key names a task, not who worked on it.
    """

    told: Mapping[str, str]
    kept: Mapping[str, str]
    found: Sequence[str]
    nested: frozenset[str]
    words: Mapping[str, Collection[str]]
    groups_are_tasks: bool


@reader("chat", description="OpenAI-style chat JSONL, one trajectory a line", generic=True)
class Chat:
    """Steps are assistant messages; the reward is the outcome, on the last step.

    Keys that hold group, trajectory, reward and so on are those of the mapping, where a dotted
    name such as `info.score` reaches into objects; else the usual ones are looked for. A
    trajectory key that holds text is the id; one that holds a number counts within its group,
    so the group goes before it (`find-key/0`). Without one, trajectories are numbered in their
    group (`find-key#0`). Other scalar keys are kept as columns, under `record_<key>` where the
    step log has that name for something that differs from step to step. A record without an
    assistant message is left out and stated.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Lines of objects that have `messages`; a damaged line does not hide the others."""
        for line in head.splitlines():
            if line.lstrip().startswith(b"["):
                return False
            keys = leading_keys(line)
            if "messages" in keys:
                return not is_step(keys)  # a step may have messages too
        return False

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all records, read line by line: once for the keys, once for the steps."""
        of_records = {"messages", *_GUESSES} | _OF_TRAJECTORY | _OF_LAST_STEP
        if useless := [
            name for name in columns if getattr(known(name), "name", "") not in of_records
        ]:
            raise ParameterError(f"{useless} cannot be mapped: a chat record has no value a step")
        keys = _keys(columns, path)
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        lines = json_lines(path, diagnostics)
        for line, record in lines:
            conversation = _conversation(line, record, columns, diagnostics, f"{path}:{line}")
            if conversation is not None:
                _add(rows, conversation, keys, diagnostics, f"{path}:{line}")
            if rows.is_full:
                yield _part(rows, keys, diagnostics, lines.done)
                rows = StepRows(diagnostics)
                # The file goes on reporting to the same diagnostics, so what is said is said once.
                diagnostics.clear()
        _notices(keys, diagnostics, path)
        if keys.nested:
            text = f"lists and objects of records were not kept: {sorted(keys.nested)}"
            diagnostics.notice(text, str(path))
        yield _part(rows, keys, diagnostics, 1.0)


def _part(rows: StepRows, keys: _Keys, diagnostics: Diagnostics, done: float) -> Part:
    said = Diagnostics()
    said.include(diagnostics)
    return Part(
        frame=rows.frame(),
        diagnostics=said,
        renamed={name: key for name, key in keys.told.items() if name != key},
        numbered="trajectory_id" not in keys.told,
        done=done,
    )


def _conversation(
    line: int, record: Record, columns: Mapping[str, str], diagnostics: Diagnostics, place: str
) -> _Conversation | None:
    messages_key = columns.get("messages", "messages")
    if (messages := lookup(record, messages_key)) is None:
        diagnostics.problem("messages", f"the record has no key {messages_key!r}", place)
        return None
    try:
        steps = turns(messages, tools=offered(record.get("tools")))
    except ValueError as error:
        diagnostics.problem("messages", str(error), place)
        return None
    if not steps:
        diagnostics.drop("messages", "hold no assistant message, so no step", place)
        return None
    return _Conversation(line=line, turns=steps, fields=_fields(record, columns))


def _fields(record: Record, columns: Mapping[str, str]) -> dict[str, Any]:
    """What a record says beside its messages: scalars by key, and whatever is mapped."""
    messages_key = columns.get("messages", "messages")
    kept = {
        key: value
        for key, value in record.items()
        if key != messages_key and (key in _GUESSED or not isinstance(value, list | dict))
    }
    if "mask_reason" not in kept and (mask := nested_mask(record)) is not None:
        kept["mask_reason"] = mask
    return kept | {key: lookup(record, key) for key in set(columns.values()) - {messages_key}}


def _keys(columns: Mapping[str, str], path: Path) -> _Keys:
    """What each key holds: as mapped, else the first guess that any record has a value for."""
    found: set[str] = set()
    large: set[str] = set()
    words: dict[str, set[str]] = {}
    judged = {*_GUESSES["reward"], *_GUESSES["success"]}
    judged |= {columns[name] for name in ("reward", "success") if name in columns}
    for _, record in json_lines(path, Diagnostics()):
        fields = _fields(record, columns)
        for key in judged:
            # A few words are a verdict; a text a record is none.
            if isinstance(value := fields.get(key), str) and len(words.get(key, ())) < _WORDS:
                words.setdefault(key, set()).add(value.strip().lower())
        found |= {key for key, value in fields.items() if value is not None}
        large |= set(record) - set(fields)
    told = {name: key for name, key in columns.items() if name != "messages"}
    absent = sorted(set(told.values()) - found)
    if absent and found:
        raise ParameterError(
            f"the column mapping names {absent}, for which no record has a value; "
            f"found {sorted(found)}"
        )
    for name, guesses in _GUESSES.items():
        taken = {key for other, key in told.items() if {name, other} != {"reward", "success"}}
        candidates = [key for key in guesses if key in found and key not in taken]
        if name not in told and candidates:
            told[name] = candidates[0]
    rest = sorted(found - set(told.values()))
    return _Keys(
        told=told,
        kept={key if _same_meaning(key) else f"record_{key}": key for key in rest},
        found=sorted(found),
        nested=frozenset(large - {columns.get("messages", "messages"), "tools"}),
        words=words,
        groups_are_tasks="group_id" not in columns and told.get("group_id") in _TASKS,
    )


def _worth(word: str, keys: _Keys, key: str) -> float | None:
    """The worth of a word, where all words of its key are of one set."""
    known = verdicts_of(keys.words.get(key, ()))
    return None if known is None else known.get(word.strip().lower())


def _same_meaning(key: str) -> bool:
    """Whether a trajectory's value may stand in a column of this name."""
    entry = known(key)
    if entry is None:
        aliases = {alias for column in STEP_LOG for alias in (*column.aliases, *column.negated)}
        return key in _OF_TRAJECTORY or not (key in aliases or key.startswith("__"))
    return entry.name in _OF_TRAJECTORY | _OF_LAST_STEP


def _notices(keys: _Keys, diagnostics: Diagnostics, path: Path) -> None:
    if "reward" not in keys.told:
        looked = list(_GUESSES["reward"])
        diagnostics.notice(
            f"no record has a value for any of {looked}: rewards are null", str(path)
        )
    if "trajectory_id" not in keys.told:
        text = "trajectories have no id and are numbered in their group, in the order of the lines"
        diagnostics.notice(text, str(path))


def _add(
    rows: StepRows, conversation: _Conversation, keys: _Keys, diagnostics: Diagnostics, place: str
) -> None:
    """Adds a conversation to the rows, or its problem to the diagnostics."""
    fields = conversation.fields
    values = _values(fields, keys, diagnostics, place)
    if values is None:
        return
    logged = fields.get(keys.told.get("trajectory_id", ""))
    if logged is not None and not isinstance(logged, str):
        values["trajectory_id"] = f"{values['group_id']}/{values['trajectory_id']}"
    outcome = values.pop("reward")
    if isinstance(fields.get(keys.told.get("reward", "")), bool) and "success" not in keys.told:
        values["success"] = bool(outcome)
    mapped = {name: key for name, key in keys.told.items() if name not in _GUESSES}
    others = {name: fields.get(key) for name, key in (mapped | dict(keys.kept)).items()}
    if keys.groups_are_tasks:
        others[SYSTEM] = system_of(*(fields.get(key) for key in _OF_SYSTEM))
    last = {name: others.pop(name) for name in _OF_LAST_STEP & set(others)}
    rows.add(
        conversation.turns,
        line=conversation.line,
        outcome=outcome,
        fields=values | others,
        last_fields=last,
    )


def _values(
    fields: Mapping[str, Any], keys: _Keys, diagnostics: Diagnostics, place: str
) -> dict[str, Any] | None:
    """Group, trajectory, reward and success of a record; None where one has a problem."""
    if "group_id" not in keys.told:
        rule = f"no record has any of {list(_GUESSES['group_id'])}; found {keys.found}"
        hint = 'name its key with --map: a JSON file with {"columns": {"group_id": "…"}}'
        diagnostics.problem("group_id", rule, place, hint)
        return None
    values: dict[str, Any] = dict.fromkeys(_GUESSES)
    converters = {"reward": number, "success": truth}
    for name in converters:
        given = fields.get(keys.told.get(name, ""))
        if isinstance(given, str) and (worth := _worth(given, keys, keys.told[name])) is not None:
            fields = {**fields, keys.told[name]: worth if name == "reward" else worth == 1.0}
        elif isinstance(given, str) and not is_number(given):
            text = f"{keys.told[name]!r} is not known: its words are of no one set"
            diagnostics.notice(text, place)
            fields = {**fields, keys.told[name]: None}
    say_text_numbers([fields.get(keys.told.get("reward", ""))], diagnostics, place)
    for name in [name for name in _GUESSES if name in keys.told]:
        key = keys.told[name]
        try:
            values[name] = converters.get(name, identity)(fields.get(key))
        except ValueError as error:
            diagnostics.problem(name, f"{key!r} {error}", place)
            return None
        if values[name] is None and name not in converters:
            diagnostics.problem(name, f"the record has no value for {key!r}", place)
            return None
    return values
