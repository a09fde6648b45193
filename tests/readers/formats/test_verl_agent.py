"""Dumps of verl-agent with the documented hook as steps."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from log_files import log_of, written
from samples_of import SAMPLES, assert_nine_steps, lines

from workbench.errors import LogError
from workbench.readers import import_log, read


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "verl-agent"]), "verl-agent", scale=10)


def test_every_row_of_the_sample_leads_back_to_its_line():
    assert log_of(SAMPLES / "verl-agent")["source_line"].to_list() == list(range(1, 10))


def test_copied_rows_of_a_hooked_dump_are_counted_not_scored_twice(tmp_path: Path):
    rows = lines("verl-agent")
    log = log_of(written(tmp_path, [*rows, rows[0], rows[0]]))
    assert (log.height, log["copies"].to_list()) == (9, [3] + [1] * 8)
    assert set(log["reward_scale"]) == {10.0}
    assert log["success"].to_list() == [True] * 5 + [False] * 4


_FIRST = """
You are an expert autonomous agent operating in the WebShop e-commerce environment.
Your task is to: {task}.
Your current observation is: {seen}.
Your admissible actions of the current situation are: [].
"""


def hooked_dump(folder: Path, first: str, second: str) -> None:
    """Dump of a trainer whose rollout loop and dump have the two patches of the document.

    The loop and the dump are those of verl-agent in outline: two rollouts of a task, the second of
    which is done after one step; rows of rollouts that are done are left out; the batch is permuted
    and filled up with a copy; the dump writes each list that has a value per row.
    """
    rng = np.random.default_rng(0)
    batch_size, rows = 2, []
    for _step in range(3):
        active = np.array([True, _step == 0])
        tensors: dict[str, Any] = {
            "uid": np.array(["u", "u"], dtype=object),
            "traj_uid": np.array(["t0", "t1"], dtype=object),
            "anchor_obs": np.array([f"room {_step}", "hall"], dtype=object),
            "rewards": np.array([np.float32(10.0 * (_step == 2)), np.float32(0.0)], dtype=object),
            "is_action_valid": np.array([np.bool_(True), np.bool_(False)], dtype=object),
        }
        batch = SimpleNamespace(non_tensor_batch=tensors)
        exec(first, {"batch": batch, "batch_size": batch_size, "_step": _step, "np": np})
        tensors["episode_rewards"] = np.array([10.0, 0.0])
        rows += [
            {name: values[at] for name, values in tensors.items()} for at in range(2) if active[at]
        ]
    taken = rng.permutation([*range(len(rows)), 0])
    columns = {name: np.array([rows[at][name] for at in taken], dtype=object) for name in rows[0]}
    batch = SimpleNamespace(non_tensor_batch=columns)
    extra: dict[str, list[Any]] = {}
    exec(second, {"batch": batch, "reward_extra_infos_dict": extra})
    dumped = {
        "input": [_FIRST.format(task="find", seen=f"page {at}") for at in taken],
        "output": [f"<think>hm</think><action>act {at}</action>" for at in taken],
        "score": [1.0] * len(taken),
        "step": [5] * len(taken),
    } | {name: values for name, values in extra.items() if len(values) == len(taken)}
    written(
        folder, [dict(zip(dumped, row, strict=True)) for row in zip(*dumped.values(), strict=True)]
    )


def test_what_the_documented_hook_writes_is_read(tmp_path: Path):
    document = (SAMPLES.parents[1] / "docs/verl_agent_hook.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    hooked_dump(tmp_path, first, second)
    imported = import_log([tmp_path])
    assert imported.report.format == "verl-agent"
    assert imported.report.rollouts == {2: 1}
    assert imported.validated.log.select(
        "group_id", "trajectory_id", "step_index", "observation", "action", "reward",
        "episode_reward", "valid_action", "success", "copies",
    ).rows() == [
        ("u", "t0", 0, "room 0", "act 0", 0.0, 10.0, True, True, 2),
        ("u", "t0", 1, "room 1", "act 2", 0.0, 10.0, True, True, 1),
        ("u", "t0", 2, "room 2", "act 3", 10.0, 10.0, True, True, 1),
        ("u", "t1", 0, "hall", "act 1", 0.0, 0.0, False, False, 1),
    ]  # fmt: skip
    # Without the second patch there are no ids, without the first the steps are not counted.
    hooked_dump(tmp_path / "bare", first, "pass")
    assert read([tmp_path / "bare"]).format == "verl-agent-bare"
    hooked_dump(tmp_path / "half", "pass", second)
    with pytest.raises(LogError, match="env_step: is missing or null"):
        read([tmp_path / "half"])


def test_rewards_of_other_environments_have_no_scale(tmp_path: Path):
    rows = [row | {"episode_rewards": 0.3} for row in lines("verl-agent")]
    assert "reward_scale" not in log_of(written(tmp_path, rows)).columns


def test_an_untagged_response_is_the_action_as_it_is(tmp_path: Path):
    row = lines("verl-agent")[0] | {"output": "I do not know", "is_action_valid": False}
    log = log_of(written(tmp_path, [row]))
    assert log.select("action", "valid_action", "thought").row(0) == ("I do not know", False, None)


def test_a_row_that_lacks_what_the_hook_adds_is_named(tmp_path: Path):
    rows = lines("verl-agent")
    del rows[4]["uid"]
    rows[5]["env_step"] = "two"
    path = written(tmp_path, rows)
    with pytest.raises(LogError) as caught:
        read([path])
    assert f"uid: is missing or null, at {path}:5" in str(caught.value)
    assert f"env_step: is not a whole number, at {path}:6" in str(caught.value)
