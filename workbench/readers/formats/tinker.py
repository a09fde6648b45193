"""tinker-cookbook rollout summaries: rewards and lengths of each trajectory, without a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys, records_of
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn
from workbench.readers.records import whole
from workbench.readers.rows import Converter, StepRows, checked_values, identity, number
from workbench.readers.systems import folder_of

_KEYS = {"group_idx", "traj_idx", "sampling_client_step"}
_CELLS = Cells(objects=frozenset({"steps"}))


@reader("tinker", description="tinker-cookbook rollout summaries JSONL", run=folder_of)
class Tinker:
    """Groups are an iteration's, trajectories and steps as numbered; the rewards are per step.

    The group's reward of the whole trajectory (`final_reward`) is added to the last step. The
    format holds no text: each observation is a placeholder that no other step has, so that no
    two states count as equal, and actions are empty. `response_tokens` is the action's length.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Lines with the numbers of a group, a trajectory and a sampling client's step."""
        return first_keys(path, head) >= _KEYS

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all records; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "tinker-cookbook summaries")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        records = records_of(path, diagnostics, _CELLS)
        for line, record in records:
            _add(rows, record, line, diagnostics, records.place(line))
        diagnostics.notice("the format holds no text: observations are placeholders", str(path))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _add(rows: StepRows, record: Record, line: int, diagnostics: Diagnostics, place: str) -> None:
    converters: dict[str, Converter] = {
        "split": identity,
        "iteration": whole,
        "group_idx": identity,
        "traj_idx": identity,
        "total_reward": number,
        "final_reward": number,
        "sampling_client_step": whole,
    }
    optional = {"sampling_client_step", "total_reward", "final_reward"}
    values = checked_values(record, converters, diagnostics, place, optional=optional)
    if values is None:
        return
    steps = record.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        diagnostics.problem("steps", "is missing or no list of objects", place)
        return
    if not steps:
        diagnostics.drop("steps", "are none", place)
        return
    wanted: dict[str, Converter] = {"reward": number, "ac_len": whole}
    read = [checked_values(step, wanted, diagnostics, place, optional=wanted) for step in steps]
    known = [step for step in read if step is not None]
    if len(known) < len(steps):
        return
    rewards = [step["reward"] for step in known]
    if rewards[-1] is not None:
        rewards[-1] += values["final_reward"] or 0.0
    group = f"{values['split']}-{values['iteration']}/{values['group_idx']}"
    trajectory = f"{group}/{values['traj_idx']}"
    rows.add(
        [_turn(trajectory, at, len(steps)) for at in range(len(steps))],
        line=line,
        rewards=rewards,
        fields={
            "group_id": group,
            "trajectory_id": trajectory,
            "episode_reward": values["total_reward"],
            "train_step": values["iteration"],
            "policy_version": values["sampling_client_step"],
        },
        step_fields={
            "response_tokens": [step["ac_len"] for step in known],
            "done": [bool(step.get("episode_done")) for step in steps],
        },
    )


def _turn(trajectory: str, at: int, count: int) -> Turn:
    def placeholder(step: int) -> str:
        return f"[not logged: {trajectory} step {step}]"

    after: Any = placeholder(at + 1) if at + 1 < count else None
    return Turn(observation=placeholder(at), action="", next_observation=after, messages=None)
