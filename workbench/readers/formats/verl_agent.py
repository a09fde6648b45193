"""verl-agent and its forks with the two-line hook of docs/verl_agent_hook.md: one step per line.

What the trainer dumps by itself has neither groups nor trajectories; the hook adds them. Dumps
without it are read by `verl_agent_bare`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.log.conversation import canonical_json
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys, records_of
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.records import kept_fields, whole
from workbench.readers.rows import checked_values, identity, number, series, text, truth

SUCCESS = 10.0
"""Reward of a solved task in verl-agent's environments (ALFWorld, WebShop, Sokoban)."""

_KEYS = frozenset({"input", "output", "traj_uid"})
_CELLS = Cells(texts=frozenset({"input", "output", "anchor_obs"}))
_CONVERTERS = {
    "input": text,
    "output": text,
    "uid": identity,
    "traj_uid": identity,
    "env_step": whole,
    "rewards": number,
    "step": whole,
    "is_action_valid": truth,
    "episode_rewards": number,
    "score": number,
}
_OPTIONAL = frozenset({"rewards", "step", "is_action_valid", "episode_rewards", "score"})
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_ACTION = re.compile(r"<action>(.*?)</action>", re.DOTALL | re.IGNORECASE)


@reader("verl-agent", description="verl-agent dump with the hook of docs/verl_agent_hook.md")
class VerlAgent:
    """One row is one step: group, trajectory, step and reward are those of the batch.

    The action is what stands in `<action>`, or the whole response where it has none; `thought` is
    what stands in `<think>`, and `messages` has prompt and response as they were. Rows that the
    trainer copied to fill its batch become `copies`. `score` is kept: it has the penalty for
    invalid actions, which the reward has not. Where every episode is worth 0 or 10, `reward_scale`
    is 10 and `success` is known.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Steps with the ids that the hook adds."""
        return first_keys(path, head) >= _KEYS

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The rows as they are; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "verl-agent dumps")
        diagnostics = Diagnostics()
        records = records_of(path, diagnostics, _CELLS)
        rows = [
            row
            for line, record in records
            if (row := _row(record, line, diagnostics, records.place(line)))
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        frame = pl.DataFrame([series(name, [row.get(name) for row in rows]) for name in names])
        return Part(frame=with_success(frame), diagnostics=diagnostics)


def _row(record: Record, line: int, diagnostics: Diagnostics, place: str) -> dict[str, Any] | None:
    values = checked_values(record, _CONVERTERS, diagnostics, place, optional=_OPTIONAL)
    if values is None:
        return None
    seen = record.get("anchor_obs")
    return {
        "group_id": values["uid"],
        "trajectory_id": values["traj_uid"],
        "step_index": values["env_step"],
        "observation": values["input"] if seen is None else str(seen),
        **said(values["input"], values["output"]),
        "segment": values["env_step"],  # each prompt is written afresh and continues none
        "reward": values["rewards"],
        "reward_source": None if values["rewards"] is None else "dense",
        "train_step": values["step"],
        "valid_action": values["is_action_valid"],
        "episode_reward": values["episode_rewards"],
        "score": values["score"],
        "source_line": line,
    } | kept_fields(record, _CONVERTERS.keys() | {"anchor_obs"})


def said(prompt: str, response: str) -> dict[str, Any]:
    """Action, thought and messages of a step, and whether the action was tagged as one."""
    action, thought = _ACTION.search(response), _THOUGHT.search(response)
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    return {
        "action": action.group(1).strip() if action else response,
        "thought": thought.group(1).strip() if thought else None,
        "tagged": action is not None,
        "messages": canonical_json(messages),
    }


def with_success(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `success` and `reward_scale` where every episode of a file is worth 0 or 10."""
    if frame.is_empty() or "episode_reward" not in frame.columns:
        return frame
    worth = frame["episode_reward"].drop_nulls().cast(pl.Float64)
    if not worth.is_in([0.0, SUCCESS]).all() or not (worth == SUCCESS).any():
        return frame
    solved = (pl.col("episode_reward") == SUCCESS).alias("success")
    return frame.with_columns(solved, pl.lit(SUCCESS).alias("reward_scale"))
