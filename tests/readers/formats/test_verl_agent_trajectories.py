"""Trajectory dumps of verl-agent's forks as steps."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from log_files import log_of
from samples_of import SAMPLES, assert_nine_steps

from workbench.errors import LogError
from workbench.readers import import_log, read


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "verl-agent-trajectories"]),
        "verl-agent-trajectories",
        scale=10,
        trajectory="{n}f2c",
    )


def test_a_real_dump_has_the_groups_and_outcomes_of_the_paper(shared: Path):
    path = shared / "data/raw/verl_agent_webshop_grpo_step560.json"
    imported = import_log([path])
    log = imported.validated.log
    name = pl.col("trajectory_id").str.split("/").list.last()
    table = pl.read_parquet(shared / "data/webshop_grpo_dev.parquet").filter(
        pl.col("group_id").str.contains("step560")
    )
    ends = table.with_columns(name).sort("trajectory_id", "step_index")
    first, last = (
        log.join(side, on="trajectory_id", suffix="_table").sort("trajectory_id")
        for side in (
            ends.unique("trajectory_id", keep="first"),
            ends.unique("trajectory_id", keep="last"),
        )
    )
    assert imported.report.rollouts == {8: 4}
    assert log.height == table.height
    assert log["copies"].sum() == table["source_copies"].sum()
    assert first.select("group_id", "group_id_table").n_unique() == 4
    assert (
        first.filter(pl.col("step_index") == 0)
        .select(
            (pl.col("observation") == pl.col("observation_table")).all()
            & (pl.col("action") == pl.col("action_table")).all()
        )
        .item()
    )
    # The last step of a solved rollout is the one that was rewarded.
    solved = last.filter(pl.col("step_index") == pl.col("step_index").max().over("trajectory_id"))
    solved = solved.filter("success")
    assert solved.height == 22
    assert solved["action"].equals(solved["action_table"])
    assert log["reward"].sum() == table["reward"].sum() == 220
    assert imported.report.reconstructed == {"groups and order of steps": 1.0}


def test_a_damaged_trajectory_dump_is_named(tmp_path: Path):
    good = {"traj_id": "a", "episode_reward": 1, "steps": [{"observation": "o", "action": "x"}]}
    dump = {"global_step": 3, "trajectories": [good, {"traj_id": "b"}, 5, good | {"traj_id": None}]}
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(dump))
    with pytest.raises(LogError) as caught:
        read([path])
    for line in (2, 3, 4):
        assert f"{path} record {line}" in str(caught.value)
    log = log_of(path, skip_bad=True)
    assert log.select("trajectory_id", "reward", "train_step").rows() == [("a", 1.0, 3)]
    path.write_text(json.dumps(dump)[:-20])
    with pytest.raises(LogError, match="cut off"):
        read([path])
