"""tau-bench results: one JSON array of `{task_id, trial, reward, info, traj}`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys, records_of
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import turns
from workbench.readers.rows import Converter, StepRows, checked_values, identity, number

_CELLS = Cells(objects=frozenset({"traj", "info"}))
_SOLVED_WITHIN = 1e-6


@reader("tau-bench", description="tau-bench results JSON", run=lambda path: path)
class TauBench:
    """Groups are tasks, trajectories trials, steps assistant messages.

    The reward is the outcome, on the last step. A trial is a success where its reward is 1
    within 1e-6, which is tau-bench's own rule. `task` is the brief of the simulated user, which
    the agent never sees. `source_line` counts the records of the array from 1. A trial without
    an assistant message, such as one that ended in an exception, is left out and stated.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Trials of tasks, each with its `traj`."""
        return first_keys(path, head) >= {"task_id", "traj"}

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all trials; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "tau-bench results")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        records = records_of(path, diagnostics, _CELLS)
        for line, record in records:
            _add(rows, record, line, diagnostics, records.place(line))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _add(rows: StepRows, record: Record, line: int, diagnostics: Diagnostics, place: str) -> None:
    converters: dict[str, Converter] = {
        "task_id": identity,
        "trial": identity,
        "reward": number,
        "traj": turns,
    }
    values = checked_values(record, converters, diagnostics, place, optional={"reward"})
    if values is None:
        return
    if not values["traj"]:
        diagnostics.drop("traj", "has no assistant message, so no step", place)
        return
    group, reward = f"task-{values['task_id']}", values["reward"]
    info = record.get("info")
    task = info.get("task") if isinstance(info, dict) else None
    instruction = task.get("instruction") if isinstance(task, dict) else None
    rows.add(
        values["traj"],
        line=line,
        outcome=reward,
        fields={
            "group_id": group,
            "trajectory_id": f"{group}/{values['trial']}",
            "success": None if reward is None else abs(reward - 1) <= _SOLVED_WITHIN,
            "task": instruction if isinstance(instruction, str) else None,
        },
    )
