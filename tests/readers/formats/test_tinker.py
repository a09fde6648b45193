"""tinker-cookbook rollout summaries as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from log_files import log_of, problems_of, write_lines
from samples_of import CANONICAL, SAMPLES

from workbench.readers import import_log


def test_summaries_without_text_have_the_rewards_and_no_two_equal_states():
    imported = import_log([SAMPLES / "tinker"])
    log = imported.validated.log
    assert imported.report.format == "tinker"
    assert log["reward"].to_list() == CANONICAL["reward"].to_list()
    assert log["step_index"].to_list() == CANONICAL["step_index"].to_list()
    assert log["response_tokens"].to_list() == CANONICAL["response_ids"].list.len().to_list()
    assert log["done"].to_list() == CANONICAL["done"].to_list()
    assert log["observation"].n_unique() == 9
    assert set(log["group_id"]) == {"train-12/0"}
    assert any("holds no text" in notice for notice in imported.report.notices)


def summary(**fields: Any) -> dict[str, Any]:
    steps = [{"reward": 0.25, "ac_len": 3, "episode_done": False}, {"reward": 0.0, "ac_len": 2}]
    return {
        "split": "train", "iteration": 1, "group_idx": 0, "traj_idx": 0,
        "sampling_client_step": None, "total_reward": 1.25, "final_reward": 1.0, "steps": steps,
    } | fields  # fmt: skip


def test_the_reward_of_the_group_is_added_to_the_last_step(tmp_path: Path):
    log = log_of(write_lines(tmp_path / "s.jsonl", [summary()]))
    assert log["reward"].to_list() == [0.25, 1.0]
    assert log["episode_reward"].to_list() == [1.25, 1.25]


def test_summaries_without_steps_or_numbers_are_stated(tmp_path: Path):
    bad = summary(traj_idx=2, steps=[{"reward": "x"}])
    path = write_lines(tmp_path / "s.jsonl", [summary(), summary(traj_idx=1, steps=[]), bad])
    assert f"reward: is not a number, at {path}:3" in problems_of(path)
    assert "steps: are none" in str(import_log([path], skip_bad=True).report)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"iteration": "twelve"}, "iteration"),
        ({"sampling_client_step": float("nan")}, "sampling_client_step"),
        ({"steps": [{"reward": 0.0, "ac_len": float("nan")}]}, "ac_len"),
    ],
)
def test_counts_that_are_no_whole_numbers_are_named(
    tmp_path: Path, change: dict[str, Any], column: str
):
    path = write_lines(tmp_path / "s.jsonl", [summary(**change)])
    assert f"{column}: is not a whole number, at {path}:1" in problems_of(path)
