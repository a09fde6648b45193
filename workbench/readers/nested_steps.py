"""Steps in a list of their own record: what was seen, done and earned, without a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.log.columns import known
from workbench.log.conversation import decoded
from workbench.readers.jsonfiles import Record, objects
from workbench.readers.messages import Turn
from workbench.readers.rows import as_text, number

STEPS = (
    "steps",
    "transitions",
    "turns",
    "trajectory",
    "episode",
    "rollout",
    "history",
    "interactions",
)
"""Keys that may hold the steps of a rollout."""

TASKS = ("task", "instruction", "question", "goal", "prompt", "problem", "problem_statement")
"""Keys that may hold what the first step saw, where the steps hold only what came after them."""

_ACTION = ("action", "act", "response", "output", "completion")
_SEEN = ("observation", "obs", "state", "anchor_obs", "input")
_ANSWER = ("next_observation", "next_obs", "next_state", "result", "feedback", "tool_output")
_THOUGHT = ("thought", "thoughts", "reasoning", "think")
_REWARD = ("reward", "rewards", "r")


@dataclass(frozen=True, kw_only=True)
class Nested:
    """The steps of one record.

    Args:
        turns: The steps; there is no conversation.
        rewards: Reward of each step; None where no step has one.
        fields: Column -> values, one per step: thoughts and what else a step says of itself.
        answers_only: Whether the observations are those that followed each action.
    """

    turns: Sequence[Turn]
    rewards: Sequence[float | None] | None
    fields: Mapping[str, Sequence[Any]]
    answers_only: bool


def are_steps(value: Any) -> bool:
    """True for a list, or its JSON text, that begins with an object that has an action."""
    steps = decoded(value) if isinstance(value, str) and value[:1] == "[" else value
    if not isinstance(steps, list) or not steps or not isinstance(steps[0], dict):
        return False
    names = steps[0].keys()
    return _name(names, _ACTION) is not None and not names & {"role", "from", "content"}


def nested_steps(value: Any, record: Record) -> Nested:
    """The steps of a list for which `are_steps` is true.

    What a step saw may stand in it, or only what its action was answered with. In the second form
    the action comes before the observation in every step, so what a step saw is the answer to the
    one before it, and the first saw the task.

    Args:
        value: The list, or its JSON text.
        record: The record that it is from, which may hold the task.

    Raises:
        ValueError: An item is no object, has no action, or a reward that is no number.
    """
    steps = decoded(value) if isinstance(value, str) else value
    if objects(steps) != steps:
        raise ValueError("holds an item that is no object")
    each = [_Names.of(step) for step in steps]
    for at, names in enumerate(each):
        if names.action is None:
            raise ValueError(f"item {at} has none of {list(_ACTION)}; it has {sorted(steps[at])}")
    answers_only = all(names.is_answered_first for names in each)
    answers = _texts(steps, [names.answer for names in each])
    seen = [text or "" for text in _texts(steps, [names.seen for names in each])]
    if answers_only:
        answers, seen = [*seen], [task_of(record) or "", *seen[:-1]]
    turns = [
        Turn(
            observation=seen[at],
            action=as_text(steps[at][names.action]) or "",
            next_observation=answers[at] or (seen[at + 1] if at + 1 < len(steps) else None),
            messages=None,
        )
        for at, names in enumerate(each)
    ]
    return Nested(
        turns=turns,
        rewards=_rewards(steps, each),
        fields=_fields(steps, each),
        answers_only=answers_only,
    )


def task_of(record: Record) -> str | None:
    """The task that a record names."""
    return next((as_text(record[key]) for key in TASKS if record.get(key)), None)


@dataclass(frozen=True)
class _Names:
    """The keys of a step, each with its meaning; None where it has none."""

    action: str | None
    seen: str | None
    answer: str | None
    thought: str | None
    reward: str | None
    is_answered_first: bool

    @classmethod
    def of(cls, step: Record) -> _Names:
        action, seen, answer = (_name(step, names) for names in (_ACTION, _SEEN, _ANSWER))
        order = list(step)
        after = (
            action is not None
            and answer is None
            and (seen is None or order.index(seen) > order.index(action))
        )
        return cls(action, seen, answer, _name(step, _THOUGHT), _name(step, _REWARD), after)


def _name(names: Any, wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _value(step: Record, name: str | None) -> Any:
    return None if name is None else step.get(name)


def _texts(steps: Sequence[Record], names: Sequence[str | None]) -> list[str | None]:
    """The value of each step under its own name, as text."""
    return [as_text(_value(step, name)) for step, name in zip(steps, names, strict=True)]


def _rewards(steps: Sequence[Record], each: Sequence[_Names]) -> list[float | None] | None:
    found = []
    for at, (step, names) in enumerate(zip(steps, each, strict=True)):
        try:
            found.append(number(_value(step, names.reward)))
        except ValueError as error:
            raise ValueError(f"{names.reward!r} of item {at} {error}") from None
    return found if any(reward is not None for reward in found) else None


def _fields(steps: Sequence[Record], each: Sequence[_Names]) -> dict[str, list[Any]]:
    """Thoughts, and scalars under names that the step log gives to no list."""
    read = {name for names in each for name in vars(names).values() if isinstance(name, str)}
    others = dict.fromkeys(name for step in steps for name in step if name not in read)
    fields: dict[str, list[Any]] = {"thought": _texts(steps, [names.thought for names in each])}
    for name in others:
        values = [step.get(name) for step in steps]
        if not any(isinstance(value, list | dict) for value in values):
            entry = known(name)
            own = entry is None or (entry.scope in {"step", "last step"} and not entry.required)
            fields[name if own else f"step_{name}"] = values
    return {name: values for name, values in fields.items() if any(v is not None for v in values)}
