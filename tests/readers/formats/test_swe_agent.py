"""SWE-agent trajectories as steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import log_of, write_json
from narrow import number
from samples_of import SAMPLES, assert_nine_steps

from workbench.readers import import_log


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "swe-agent"]),
        "swe-agent",
        group="find-key",
        trajectory="find-key/run{n}",
    )


def test_every_step_leads_back_to_its_place():
    log = log_of(SAMPLES / "swe-agent")
    assert log["source_line"].to_list() == [1, 2, 1, 2, 3, 1, 2, 1, 2]


def test_a_real_file_is_a_valid_log(shared: Path):
    imported = import_log([shared / "data/raw/swe_agent_marshmallow-1867.traj"])
    log = imported.validated.log
    assert imported.report.format == "swe-agent"
    assert log.height == 12
    scored = log.filter(pl.col("excluded").is_null())
    assert scored["trajectory_id"].n_unique() == 0
    assert log["observation"][0]
    assert number(log["action"].str.len_chars().min()) > 0


def test_the_real_swe_agent_run_is_its_commands_after_what_they_answered(shared: Path):
    path = shared / "data/raw/swe_agent_marshmallow-1867.traj"
    logged = json.loads(path.read_text())["trajectory"]
    log = log_of(path)
    assert log["action"].to_list() == [step["action"] for step in logged]
    assert log["observation"].to_list()[1:] == [step["observation"] for step in logged[:-1]]
    assert "ISSUE" in log["observation"][0]
    assert log["finish_reason"][-1] == "submitted"


def traj(**fields: Any) -> dict[str, Any]:
    steps = [{"action": "ls", "observation": "a b", "response": "I look\nls"}]
    return {
        "trajectory": steps,
        "history": [{"role": "user", "content": "fix"}],
        "info": {},
    } | fields


@pytest.mark.parametrize(
    ("results", "reward"),
    [
        ({"resolved_ids": ["x"]}, 1.0),
        ({"resolved_ids": []}, 0.0),
        ({"resolved": ["x"]}, 1.0),
        ({"resolved_ids": [], "unresolved_ids": ["x"]}, 0.0),
        ({"resolved_ids": [], "unresolved_ids": ["y"]}, None),
        (None, None),
    ],
)
def test_the_verdict_is_that_of_the_results_beside_the_run(
    tmp_path: Path, results: Any, reward: float | None
):
    path = write_json(tmp_path / "run/x/x.traj", traj())
    if results is not None:
        write_json(tmp_path / "run/results.json", results)
    log = log_of(path)
    assert log["reward"].to_list() == [reward]
    assert log["trajectory_id"].to_list() == ["x/run"]


def test_attempts_are_trajectories_that_the_verdict_does_not_tell_apart(tmp_path: Path):
    write_json(tmp_path / "run/results.json", {"resolved_ids": ["x"]})
    info = {"exit_status": "submitted (exit_cost)"}
    path = write_json(tmp_path / "run/x/x.traj", {"attempts": [traj(), traj(info=info)]})
    imported = import_log([path])
    log = imported.validated.log
    assert log["trajectory_id"].to_list() == ["x/run/0", "x/run/1"]
    assert log["reward"].to_list() == [None, None]
    assert log["truncated"].to_list() == [False, True]
    assert any("not judged one by one" in notice for notice in imported.report.notices)
