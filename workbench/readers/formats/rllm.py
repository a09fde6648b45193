"""rLLM: one JSON file an episode, as its `EpisodeLogger` writes, or one episode per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.log.conversation import canonical_json, increments_of_prompts, normalised
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys, records_of
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turn
from workbench.readers.records import is_cut, of_step, whole
from workbench.readers.rows import (
    StepRows,
    checked_values,
    identity,
    named,
    number,
    numbers,
    say_text_numbers,
    text,
    token_ids,
    truth,
)
from workbench.readers.scores import rewards_of
from workbench.readers.tokens import StepTokens, same_lengths, token_columns

_CELLS = Cells(objects=frozenset({"task", "trajectories", "metrics"}))
_CONVERTERS = {
    "episode_id": identity,
    "training_step": whole,
    "is_correct": truth,
    "termination_reason": text,
}
_LIMITS = frozenset(
    {
        "max_turns_exceeded",
        "max_prompt_length_exceeded",
        "max_response_length_exceeded",
        "timeout",
    }
)


def _run_of(path: Path) -> Path:
    """The run: episodes lie in a folder of their step, or one per line in a file."""
    above = path.parent
    return above.parent if "_step_" in above.name else above


@reader("rllm", description="rLLM episodes, one JSON file or one line each", run=_run_of)
class Rllm:
    """Every trajectory of an episode is one, and its steps are the steps.

    A group is one task at one training step, and one agent where an episode has several. Rewards
    are those of the steps where they add up to the trajectory's, else that one is the outcome.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """An episode: its id and its trajectories."""
        keys = first_keys(path, head)
        return "episode_id" in keys and bool(keys & {"trajectories", "task_hash", "is_correct"})

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all episodes; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "rLLM episodes")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        records = records_of(path, diagnostics, _CELLS)
        for line, episode in records:
            _add(rows, episode, line, diagnostics, records.place(line))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _add(rows: StepRows, episode: Record, line: int, diagnostics: Diagnostics, place: str) -> None:
    optional = ("training_step", "is_correct", "termination_reason")
    values = checked_values(episode, _CONVERTERS, diagnostics, place, optional=optional)
    if values is None:
        return
    trajectories = episode.get("trajectories")
    if not isinstance(trajectories, list):
        diagnostics.problem("trajectories", "is missing or no list", place)
        return
    if not trajectories:
        diagnostics.drop("trajectories", "the episode has none, so no step", place)
    for at, trajectory in enumerate(trajectories):
        where = place if len(trajectories) == 1 else f"{place} trajectory {at}"
        try:
            _add_trajectory(
                rows, episode | values, trajectory, line=line, diagnostics=diagnostics, place=where
            )
        except ValueError as error:
            diagnostics.problem("trajectories", str(error), where)


def _add_trajectory(
    rows: StepRows,
    episode: Record,
    trajectory: Any,
    *,
    line: int,
    diagnostics: Diagnostics,
    place: str,
) -> None:
    steps = trajectory.get("steps") if isinstance(trajectory, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ValueError("a trajectory has no list of steps")
    if not steps:
        diagnostics.drop("steps", "the trajectory has none", place)
        return
    step, episode_id = episode["training_step"], episode["episode_id"]
    name = identity(trajectory.get("name")) or "agent"
    uid = identity(trajectory.get("uid")) or name
    task = episode_id.rpartition(":")[0] or identity(episode.get("task_hash")) or episode_id
    outcome, rewards = _rewards(trajectory, steps, diagnostics, place)
    reason = episode["termination_reason"]
    said = _turns(steps)
    rows.add(
        said,
        line=line,
        outcome=outcome,
        rewards=rewards,
        fields={
            "group_id": of_step(step, f"{task}/{name}"),
            "trajectory_id": of_step(step, f"{episode_id}/{uid}"),
            "train_step": step,
            "success": episode["is_correct"],
            "agent_id": name,
            "task": _text(episode.get("task")) or None,
            "metrics": episode.get("metrics") or None,
        },
        last_fields={
            "finish_reason": reason,
            "truncated": reason.lower() in _LIMITS or is_cut(reason) if reason else None,
        },
        step_fields=token_columns([_tokens(item, at) for at, item in enumerate(steps)])
        | {
            "done": [truth(item.get("done")) for item in steps],
            "thought": [_text(item.get("thought")) or None for item in steps],
            "logged_advantage": [_advantage(item) for item in steps],
        },
    )


def _rewards(
    trajectory: Record, steps: Sequence[Record], diagnostics: Diagnostics, place: str
) -> tuple[float | None, Sequence[float | None] | None]:
    """The outcome, or the reward of each step."""
    given = (record.get("reward") for record in (trajectory, *steps))
    say_text_numbers(given, diagnostics, place)
    each = [number(item.get("reward")) for item in steps]
    return rewards_of(number(trajectory.get("reward")), each, diagnostics, place)


def _turns(steps: Sequence[Record]) -> list[Turn]:
    """The steps; what one does not say of itself is read off its chat, which is its whole prompt.

    Raises:
        ValueError: A chat is malformed.
    """
    chats = [normalised(step.get("chat_completions") or []).messages for step in steps]
    prompts, replies = [], []
    for step, chat in zip(steps, chats, strict=True):
        is_said = bool(chat) and chat[-1]["role"] == "assistant"
        said = _text(step.get("model_response")) or _text(step.get("action"))
        prompts.append(chat[:-1] if is_said else chat)
        replies.append(chat[-1] if is_said else {"role": "assistant", "content": said})
    increments, segments = increments_of_prompts(prompts, replies)
    found = []
    for at, step in enumerate(steps):
        own = turn(increments[at], segment=segments[at])
        found.append(
            replace(
                own,
                observation=_text(step.get("observation")) or own.observation,
                action=_text(step.get("action")) or _text(step.get("model_response")) or own.action,
                # Where a step has no chat, nobody knows the conversation.
                messages=own.messages if all(chats) else None,
            )
        )
    answers = [*(one.observation for one in found[1:]), None]
    return [
        replace(one, next_observation=answer) for one, answer in zip(found, answers, strict=True)
    ]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value)


def _tokens(step: Record, at: int) -> StepTokens:
    of = f"of step {at}"
    response = named(f"response_ids {of}", token_ids, step.get("response_ids"))
    if not response:
        return StepTokens()
    logprobs = named(f"logprobs {of}", numbers, step.get("logprobs")) or None
    advantage = step.get("advantage")
    is_list = isinstance(advantage, list)
    advantages = named(f"advantage {of}", numbers, advantage) if is_list else None
    lists = {f"logprobs {of}": logprobs, f"advantage {of}": advantages}
    same_lengths(lists, len(response), "response ids")
    return StepTokens(
        prompt=named(f"prompt_ids {of}", token_ids, step.get("prompt_ids")),
        response=response,
        mask=[1] * len(response),
        logprobs=logprobs,
        advantages=advantages,
    )


def _advantage(step: Record) -> float | None:
    """The one advantage of a step; None where it was logged a token, or not at all."""
    advantage = step.get("advantage")
    if isinstance(advantage, list):
        return advantage[0] if advantage and len(set(advantage)) == 1 else None
    return number(advantage)
