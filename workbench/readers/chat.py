"""OpenAI-style chat JSONL: one trajectory a line, `messages` and the user's own keys beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.columns import STEP_LOG, known
from workbench.errors import ParameterError
from workbench.readers.base import Findings, Part, reader
from workbench.readers.jsonfiles import Record, json_lines, leading_keys
from workbench.readers.messages import Turn, turns
from workbench.readers.rows import StepRows, identity, number, truth

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
    {
        "success", "task", "run_id", "train_step", "policy_version", "model", "tokenizer",
        "reward_scale", "gradient_mask", "masked", "in_group_statistics", "copies",
        "source_copies", "episode_reward", "episode_rewards", "episode_return", "aux_reward_*",
        "greedy_reward", "agent_id", "role", "tree_id", "excluded",
    }
)  # fmt: skip
"""Columns of the step log that mean the same said once of a whole trajectory."""

_OF_LAST_STEP = frozenset({"done", "truncated", "finish_reason"})
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
    """

    told: Mapping[str, str]
    kept: Mapping[str, str]
    found: Sequence[str]


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
            if "messages" in leading_keys(line):
                return True
        return False

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all records, read line by line."""
        of_records = {"messages", *_GUESSES} | _OF_TRAJECTORY | _OF_LAST_STEP
        if useless := [
            name for name in columns if getattr(known(name), "name", "") not in of_records
        ]:
            raise ParameterError(f"{useless} cannot be mapped: a chat record has no value a step")
        findings, rows = Findings(), StepRows()
        conversations = list(_conversations(path, columns, findings))
        keys = _keys(columns, conversations)
        _notices(keys, findings, path)
        for conversation in conversations:
            _add(rows, conversation, keys, findings, f"{path}:{conversation.line}")
        return Part(
            frame=rows.frame(),
            findings=findings,
            renamed={name: key for name, key in keys.told.items() if name != key},
            numbered="trajectory_id" not in keys.told,
        )


def _conversations(
    path: Path, columns: Mapping[str, str], findings: Findings
) -> Iterable[_Conversation]:
    messages_key = columns.get("messages", "messages")
    mapped = set(columns.values()) - {messages_key}
    nested: set[str] = set()
    for line, record in json_lines(path, findings):
        place = f"{path}:{line}"
        if (messages := _lookup(record, messages_key)) is None:
            findings.problem("messages", f"the record has no key {messages_key!r}", place)
            continue
        try:
            steps = turns(messages)
        except ValueError as error:
            findings.problem("messages", str(error), place)
            continue
        if not steps:
            findings.drop("messages", "hold no assistant message, so no step", place)
            continue
        fields = {key: value for key, value in record.items() if key != messages_key}
        large = {key for key, value in fields.items() if isinstance(value, list | dict)} - _GUESSED
        nested |= large - mapped
        kept = {key: value for key, value in fields.items() if key not in large}
        kept |= {key: _lookup(record, key) for key in mapped}
        yield _Conversation(line=line, turns=steps, fields=kept)
    if nested:
        findings.notice(f"lists and objects of records were not kept: {sorted(nested)}", str(path))


def _lookup(record: Record, key: str) -> Any:
    """The value of a key; a dotted one reaches into objects unless the record has it as it is."""
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _keys(columns: Mapping[str, str], conversations: Sequence[_Conversation]) -> _Keys:
    """What each key holds: as mapped, else the first guess that any record has a value for."""
    found = {
        key for item in conversations for key, value in item.fields.items() if value is not None
    }
    told = {name: key for name, key in columns.items() if name != "messages"}
    absent = sorted(set(told.values()) - found)
    if absent and conversations:
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
    kept = {key if _same_meaning(key) else f"record_{key}": key for key in rest}
    return _Keys(told=told, kept=kept, found=sorted(found))


def _same_meaning(key: str) -> bool:
    """Whether a trajectory's value may stand in a column of this name."""
    entry = known(key)
    if entry is None:
        aliases = {alias for column in STEP_LOG for alias in (*column.aliases, *column.negated)}
        return key in _OF_TRAJECTORY or not (key in aliases or key.startswith("__"))
    return entry.name in _OF_TRAJECTORY | _OF_LAST_STEP


def _notices(keys: _Keys, findings: Findings, path: Path) -> None:
    if "reward" not in keys.told:
        looked = list(_GUESSES["reward"])
        findings.notice(f"no record has a value for any of {looked}: rewards are null", str(path))
    if "trajectory_id" not in keys.told:
        text = "trajectories have no id and are numbered in their group, in the order of the lines"
        findings.notice(text, str(path))


def _add(
    rows: StepRows, conversation: _Conversation, keys: _Keys, findings: Findings, place: str
) -> None:
    """Adds a conversation to the rows, or its problem to the findings."""
    fields = conversation.fields
    values = _values(fields, keys, findings, place)
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
    last = {name: others.pop(name) for name in _OF_LAST_STEP & set(others)}
    rows.add(
        conversation.turns,
        line=conversation.line,
        outcome=outcome,
        fields=values | others,
        last_fields=last,
    )


def _values(
    fields: Mapping[str, Any], keys: _Keys, findings: Findings, place: str
) -> dict[str, Any] | None:
    """Group, trajectory, reward and success of a record; None where one has a problem."""
    if "group_id" not in keys.told:
        rule = f"no record has any of {list(_GUESSES['group_id'])}; found {keys.found}"
        hint = 'name its key with --map: a JSON file with {"columns": {"group_id": "…"}}'
        findings.problem("group_id", rule, place, hint)
        return None
    values: dict[str, Any] = dict.fromkeys(_GUESSES)
    converters = {"reward": number, "success": truth}
    for name in [name for name in _GUESSES if name in keys.told]:
        key = keys.told[name]
        try:
            values[name] = converters.get(name, identity)(fields.get(key))
        except ValueError as error:
            findings.problem(name, f"{key!r} {error}", place)
            return None
        if values[name] is None and name not in converters:
            findings.problem(name, f"the record has no value for {key!r}", place)
            return None
    return values
