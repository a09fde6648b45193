"""Chat records: one trajectory per record, its messages and the user's own keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError
from workbench.log.columns import known
from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.chat_keys import (
    OF_LAST_STEP,
    OF_RECORDS,
    Keys,
    keys_of,
)
from workbench.readers.chat_records import (
    MESSAGES,
    cells_of,
    chat_records,
    conversation_keys,
)
from workbench.readers.chat_steps import Conversation, conversation_of
from workbench.readers.chat_values import GUESSES
from workbench.readers.containers import first_keys, first_record
from workbench.readers.dialects import (
    is_message,
)
from workbench.readers.formats.steps import is_step
from workbench.readers.nested_steps import STEPS
from workbench.readers.rows import (
    StepRows,
    identity,
    is_number,
    number,
    numbers,
    say_text_numbers,
    truth,
)
from workbench.readers.scores import rewards_of
from workbench.readers.systems import system_of
from workbench.readers.votes import is_true
from workbench.wording import number_of, shortened

_READ = ("system", "status", "stop_reason", "image", "video", "audio")
"""Keys whose scalars are read besides those of the step log's columns."""

_OF_SYSTEM = ("run_id", "agent_version", "agent_name", "agent", "model", "model_name")


@reader(
    "chat",
    description="one trajectory per record: OpenAI chats, ShareGPT and kin; lists of steps",
    generic=True,
)
class Chat:
    """Steps are assistant messages; the reward is the outcome, on the last step.

    The conversation is a list of messages, in OpenAI's form or with the keys and roles of ShareGPT
    and LangChain; or a `prompt` with its `completion` or `response`; or the whole file; or a list
    of steps, each with what was seen, done and earned, which is no conversation. Keys that
    hold group, trajectory, reward and so on are those of the mapping, where a dotted name such as
    `info.score` reaches into objects; else those that public sets use are looked for. Without a
    key that names the task, a group is the rollouts with the same first user message. A trajectory
    key that holds text is the id; one that holds a number counts within its group, so the group
    goes before it (`find-key/0`), and so does a run's name that several tasks share; groups of
    several updates (`global_step`, or `step` where rollouts share it) are kept apart. Without one,
    trajectories are numbered in their group (`find-key#0`). Other scalar keys are kept as columns,
    under `record_<key>` where the step log has that name for something that differs from step to
    step. A record without an assistant message is left out and stated.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Records that hold a conversation, and are not steps, which may have messages too."""
        keys = first_keys(path, head)
        if "messages" in keys:
            return not is_step(keys)
        is_likely = keys & {*MESSAGES, *STEPS, "prompt"} or "role" in keys
        if not is_likely or is_step(keys):
            return False
        record = first_record(path, head, cells_of({}))
        return conversation_keys(record) is not None or is_message(record)

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all records, read one by one: once for the keys, once for the steps."""
        if useless := [
            name for name in columns if getattr(known(name), "name", "") not in OF_RECORDS
        ]:
            raise ParameterError(f"{useless} cannot be mapped: a chat record has no value per step")
        keys = keys_of(columns, path)
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        records = chat_records(path, diagnostics, columns)
        tasks: dict[str | None, int] = {}
        has_rewards, what = False, "messages"
        for line, record in records:
            place = records.place(line)
            conversation = conversation_of(
                record, columns, keys, diagnostics=diagnostics, place=place, number=line
            )
            if conversation is not None:
                has_rewards |= conversation.rewards is not None
                what = "steps" if conversation.of_steps else what
                task = conversation.asked
                tasks[task] = tasks.get(task, 0) + 1
                _add(rows, conversation, keys, diagnostics, place)
            if rows.is_full:
                yield _part(rows, keys, diagnostics, records.done, what)
                rows = StepRows(diagnostics)
                # The file goes on reporting to the same diagnostics, so what is said is said once.
                diagnostics.clear()
        _notices(keys, tasks, diagnostics, path, has_rewards=has_rewards)
        if keys.nested:
            text = f"lists and objects of records were not kept: {sorted(keys.nested)}"
            diagnostics.notice(text, str(path))
        yield _part(rows, keys, diagnostics, 1.0, what)


def _part(rows: StepRows, keys: Keys, diagnostics: Diagnostics, done: float, what: str) -> Part:
    said = Diagnostics()
    said.include(diagnostics)
    talk = keys.messages if keys.reply is None else f"{keys.messages} and {keys.reply}"
    told = {what: talk, **keys.told}
    return Part(
        frame=rows.frame(),
        diagnostics=said,
        renamed={name: key for name, key in told.items() if name != key},
        numbered="trajectory_id" not in keys.told,
        done=done,
        read={*_READ, *(_OF_SYSTEM if keys.groups_are_tasks else ()), keys.update or "", *keys.cut},
    )


def _notices(
    keys: Keys,
    tasks: Mapping[str | None, int],
    diagnostics: Diagnostics,
    path: Path,
    *,
    has_rewards: bool,
) -> None:
    """Say what was guessed.

    Args:
        keys: What each key holds.
        tasks: Digest of a first user message -> records that have it.
        diagnostics: Gets the notices.
        path: The file.
        has_rewards: Steps have rewards of their own.
    """
    if "group_id" not in keys.told and len(tasks) == 1 and max(tasks.values()) > 1:
        diagnostics.notice(
            "every record has the same first user message and is one group: if it is a preamble "
            "and the task follows later, name a key of the task with --map, as group_id",
            str(path),
        )
    elif "group_id" not in keys.told:
        diagnostics.notice(
            f"no record has a value for any of {list(GUESSES['group_id'])}: a group is the "
            "rollouts with the same first user message; another key can be named with --map, as "
            "group_id",
            str(path),
        )
    for text in keys.unread:
        diagnostics.notice(text, str(path))
    looked = list(GUESSES["reward"])
    has_rewards = has_rewards or "reward" in keys.told
    if not has_rewards and not {*looked} & {*keys.found, *keys.nested}:
        diagnostics.notice(
            f"no record has a value for any of {looked}: rewards are null; workbench import FILE "
            "--propose-map map.json looks for a name that may mean one",
            str(path),
        )
    if "trajectory_id" not in keys.told:
        text = "trajectories have no id and are numbered in their group, in the order of the lines"
        diagnostics.notice(text, str(path))


def _add(
    rows: StepRows, conversation: Conversation, keys: Keys, diagnostics: Diagnostics, place: str
) -> None:
    """Add a conversation to the rows, or its problem to the diagnostics."""
    fields = conversation.fields
    values = _values(conversation, keys, diagnostics, place)
    if values is None:
        return
    trajectory = keys.told.get("trajectory_id")
    logged = keys.value(fields, "trajectory_id")
    if logged is not None and (keys.counts_in_group or not isinstance(logged, str)):
        values["trajectory_id"] = f"{values['group_id']}/{values['trajectory_id']}"
    outcome = values.pop("reward")
    rewards: Sequence[float | None] | None = None
    if conversation.rewards is not None and not isinstance(outcome, list):
        outcome, rewards = rewards_of(outcome, conversation.rewards, diagnostics, place)
    elif isinstance(outcome, list):
        given: list[float] = outcome
        outcome, rewards = None, given
        if len(given) != len(conversation.turns):
            rule = f"{keys.told['reward']!r} has {number_of(len(given), 'value')} for "
            rule += number_of(len(conversation.turns), "turn")
            hint = "expected a number of the rollout, or one for each message of the assistant"
            diagnostics.problem("reward", rule, place, hint)
            return
    if isinstance(keys.value(fields, "reward"), bool) and "success" not in keys.told:
        values["success"] = bool(outcome)
    mapped = {name: key for name, key in keys.told.items() if name not in GUESSES}
    others = {name: fields.get(key) for name, key in (mapped | dict(keys.kept)).items()}
    if keys.groups_are_tasks:
        systems = [key for key in _OF_SYSTEM if key != trajectory]
        update = None if keys.update is None else fields.get(keys.update)
        of_update = None if update is None else f"{keys.update}={update}"
        others[SYSTEM] = system_of(*(fields.get(key) for key in systems), of_update)
    last = {name: others.pop(name) for name in OF_LAST_STEP & set(others)}
    flags = [flag for key in keys.cut if (flag := is_true(fields.get(key))) is not None]
    if flags and (any(flags) or last.get("truncated") is None):
        last["truncated"] = any(flags)
    rows.add(
        conversation.turns,
        line=conversation.number,
        outcome=outcome,
        rewards=rewards,
        fields=values | others,
        last_fields=last,
        step_fields=conversation.step_fields,
    )


def _values(
    conversation: Conversation, keys: Keys, diagnostics: Diagnostics, place: str
) -> dict[str, Any] | None:
    """Group, trajectory, reward and success of a record; None where one has a problem."""
    fields = conversation.fields
    values: dict[str, Any] = dict.fromkeys(GUESSES)
    if "group_id" not in keys.told:
        if conversation.asked is None:
            rule = f"the record has no user message, and none of {list(GUESSES['group_id'])}"
            hint = 'name its key with --map: a JSON file with {"columns": {"group_id": "…"}}'
            diagnostics.problem("group_id", f"{rule}; found {keys.found}", place, hint)
            return None
        values["group_id"] = f"task-{conversation.asked}"
    elif conversation.asked is not None:
        fields = {**fields, "prompt": f"task-{conversation.asked}"}
    converters = {"reward": _number_or_numbers, "success": truth}
    for name in converters:
        given = keys.value(fields, name)
        if isinstance(given, str) and (worth := keys.worth(given, keys.told[name])) is not None:
            fields = {**fields, keys.told[name]: worth if name == "reward" else worth == 1.0}
        elif isinstance(given, str) and not is_number(given):
            text = (
                f"{keys.told[name]!r} is not known where it is neither a number nor, in every "
                "record, a verdict of one set, such as pass and fail, yes and no, true and false"
            )
            diagnostics.notice(text, f"{place} ({shortened(given, 30)!r})")
            fields = {**fields, keys.told[name]: None}
    say_text_numbers([keys.value(fields, "reward")], diagnostics, place)
    for name in [name for name in GUESSES if name in keys.told]:
        key = keys.told[name]
        given = fields.get(key)
        if name in converters and given == -1:
            given = _without_verdict(name, key, keys, diagnostics, place)
        try:
            values[name] = converters.get(name, identity)(given)
        except ValueError as error:
            inner = [f"{key}.{part}" for part in given] if isinstance(given, dict) else []
            hint = f"name a number in it with --map, as {name}: one of {inner[:4]}" if inner else ""
            diagnostics.problem(name, f"{key!r} {error}", place, hint)
            return None
        if values[name] is None and name not in converters:
            diagnostics.problem(name, f"the record has no value for {key!r}", place)
            return None
    return values


def _number_or_numbers(value: Any) -> float | list[float] | None:
    """A reward of the rollout, or those of its turns."""
    return numbers(value) if isinstance(value, list) else number(value)


def _without_verdict(
    name: str, key: str, keys: Keys, diagnostics: Diagnostics, place: str
) -> float | None:
    """The meaning of -1: a failure where it stands next to 1 alone, else that none was given."""
    if key in keys.graded:
        diagnostics.notice(f"{key!r} of -1 next to 0 is read as not evaluated", place)
        return None
    return 0.0 if name == "success" else -1.0
