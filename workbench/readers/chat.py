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
_MADE_HERE = frozenset(
    {"step_index", "observation", "action", "next_observation", "reward_source", "source_line"}
)


@dataclass(frozen=True, kw_only=True)
class _Conversation:
    line: int
    turns: Sequence[Turn]
    fields: Mapping[str, Any]


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

    def sniff(self, path: Path, head: bytes) -> bool:  # noqa: ARG002  the head is enough
        """Lines of objects that have `messages`; a damaged line does not hide the others."""
        for line in head.splitlines():
            if line.lstrip().startswith(b"["):
                return False
            if "messages" in leading_keys(line):
                return True
        return False

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all records, read line by line."""
        useless = sorted(_MADE_HERE & set(columns))
        if useless:
            raise ParameterError(f"{useless} cannot be mapped: they are made from the messages")
        findings = Findings()
        conversations = list(_conversations(path, columns, findings))
        present = {
            key
            for conversation in conversations
            for key, value in conversation.fields.items()
            if value is not None
        }
        _check_mapping(columns, present, conversations)
        keys = _keys(columns, present, findings, path)
        rows = StepRows()
        for conversation in conversations:
            _add(rows, conversation, keys, present, findings, f"{path}:{conversation.line}")
        renamed = {name: key for name, key in keys.items() if name != key}
        return Part(
            frame=rows.frame(),
            findings=findings,
            renamed=renamed,
            numbered="trajectory_id" not in keys,
        )


def _conversations(
    path: Path, columns: Mapping[str, str], findings: Findings
) -> Iterable[_Conversation]:
    messages_key = columns.get("messages", "messages")
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
        fields |= {key: _lookup(record, key) for key in columns.values() if key != messages_key}
        nested |= {key for key, value in fields.items() if isinstance(value, list | dict)}
        scalars = {key: value for key, value in fields.items() if key not in nested}
        yield _Conversation(line=line, turns=steps, fields=scalars)
    if nested:
        findings.notice(f"keys that hold lists or objects were not kept: {sorted(nested)}")


def _lookup(record: Record, key: str) -> Any:
    """The value of a key; a dotted one reaches into objects unless the record has it as it is."""
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _check_mapping(
    columns: Mapping[str, str], present: set[str], conversations: Sequence[_Conversation]
) -> None:
    absent = sorted({key for name, key in columns.items() if name != "messages"} - present)
    if absent and conversations:
        raise ParameterError(
            f"the column mapping names {absent}, for which no record has a value; "
            f"found {sorted(present)}"
        )


def _keys(
    columns: Mapping[str, str], present: set[str], findings: Findings, path: Path
) -> dict[str, str]:
    """Column -> the key that holds it: as mapped, else the first guess that has a value."""
    keys = {name: key for name, key in columns.items() if name != "messages"}
    taken = set(keys.values())
    for name, guesses in _GUESSES.items():
        found = [guess for guess in guesses if guess in present and guess not in taken]
        if name not in keys and found:
            keys[name] = found[0]
            taken |= {found[0]} - {"success"}
    if "reward" not in keys:
        looked = list(_GUESSES["reward"])
        findings.notice(f"no record has a value for any of {looked}: rewards are null", str(path))
    return keys


def _add(
    rows: StepRows,
    conversation: _Conversation,
    keys: Mapping[str, str],
    present: set[str],
    findings: Findings,
    place: str,
) -> None:
    """Adds a conversation to the rows, or its problem to the findings."""
    fields = conversation.fields
    if "group_id" not in keys:
        rule = f"no record has any of {list(_GUESSES['group_id'])}; found {sorted(present)}"
        hint = 'name its key with --map: a JSON file with {"columns": {"group_id": "…"}}'
        findings.problem("group_id", rule, place, hint)
        return
    values: dict[str, Any] = {}
    for name, convert in (
        ("group_id", identity),
        ("trajectory_id", identity),
        ("reward", number),
        ("success", truth),
    ):
        key = keys.get(name, name)
        try:
            values[name] = convert(fields.get(key)) if name in keys else None
        except ValueError as error:
            findings.problem(name, f"{key!r} {error}", place)
            return
    for name in {"group_id", "trajectory_id"} & set(keys):
        if values[name] is None:
            findings.problem(name, f"the record has no value for {keys[name]!r}", place)
            return
    logged = fields.get(keys.get("trajectory_id", ""))
    if logged is not None and not isinstance(logged, str):
        values["trajectory_id"] = f"{values['group_id']}/{values['trajectory_id']}"
    outcome = values.pop("reward")
    if isinstance(fields.get(keys.get("reward", "")), bool) and "success" not in keys:
        values["success"] = bool(outcome)
    others = {name: fields.get(key) for name, key in _others(keys, present).items()}
    last = {name: others.pop(name) for name in _OF_LAST_STEP & set(others)}
    rows.add(
        conversation.turns,
        line=conversation.line,
        outcome=outcome,
        fields=values | others,
        last_fields=last,
    )


def _others(keys: Mapping[str, str], present: set[str]) -> dict[str, str]:
    """Column -> key for all that is merely kept."""
    told = ("group_id", "trajectory_id", "reward", "success")
    others = {name: key for name, key in keys.items() if name not in told}
    for key in sorted(present - set(keys.values())):
        others[key if _same_meaning(key) else f"record_{key}"] = key
    return others


def _same_meaning(key: str) -> bool:
    """Whether a trajectory's value may stand in a column of this name."""
    entry = known(key)
    if entry is None:
        names = {alias for column in STEP_LOG for alias in (*column.aliases, *column.negated)}
        return key in _OF_TRAJECTORY or key not in names
    return entry.name in _OF_TRAJECTORY | _OF_LAST_STEP
