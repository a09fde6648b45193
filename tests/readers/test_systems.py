"""Groups of one task under one policy, whatever files are read together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import assistant, record, step, user, write_lines
from samples_of import SAMPLES

from workbench.errors import LogError
from workbench.log.facts import facts
from workbench.log.schema import validate
from workbench.readers import import_log, import_to

OF_FILES = {
    "trl": "trl/completions",
    "verl": "verl/legacy",
    "verl v1": "verl/v1",
    "nemo-rl": "nemo-rl",
    "open-instruct": "open-instruct",
    "skyrl": "skyrl",
    "areal": "areal/rollout",
    "art": "art/trajectories",
    "rllm": "rllm/train_step_12_epoch_0",
    "tinker": "tinker",
    "tau2": "tau2",
    "verifiers-legacy": "verifiers-legacy/vf_eval_0.1.14",
    "verl-agent-bare": "verl-agent-bare",
    "verl-agent-trajectories": "verl-agent-trajectories",
}


@pytest.mark.parametrize("name", OF_FILES)
def test_two_runs_in_one_import_never_share_a_group(tmp_path: Path, name: str):
    alone = import_log([SAMPLES / OF_FILES[name]])
    for run in ("one", "two"):
        shutil.copytree(SAMPLES / OF_FILES[name], tmp_path / run / Path(OF_FILES[name]).name)
    both = import_log([tmp_path])
    log = both.validated.log
    # Each rollout twice, in twice as many groups.
    assert both.report.groups == 2 * alone.report.groups
    assert both.report.trajectories == 2 * alone.report.trajectories
    assert all(group.startswith(("one/", "two/")) for group in log["group_id"])
    report = import_to(tmp_path / "log.parquet", [tmp_path / "one", tmp_path / "two"])
    assert report.groups == both.report.groups


@pytest.mark.parametrize("key", ["model", "agent", "agent_version", "run_id"])
def test_chats_of_two_systems_about_one_task_are_two_groups(tmp_path: Path, key: str):
    records = [record(rollout=f"r{at}", **{key: f"s{at % 2}"}) for at in range(4)]
    log = import_log([write_lines(tmp_path / "chat.jsonl", records)]).validated.log
    assert set(log["group_id"]) == {"s0/a", "s1/a"}
    assert not facts(log).mixed_policies


def test_roles_inside_a_rollout_split_nothing(tmp_path: Path):
    records = [record(rollout=f"r{at}", agent_id=f"role{at}") for at in range(4)]
    log = import_log([write_lines(tmp_path / "chat.jsonl", records)]).validated.log
    assert set(log["group_id"]) == {"a"}


def steps_of(**columns: Any) -> pl.DataFrame:
    rows = [step(trajectory_id=f"t{at // 2}", step_index=at % 2) for at in range(4)]
    return pl.DataFrame(
        [row | {k: v[at] for k, v in columns.items()} for at, row in enumerate(rows)]
    )


def test_a_log_whose_groups_mix_policies_says_so_first(tmp_path: Path):
    frame = steps_of(model=["a", "a", "b", "b"])
    found = facts(validate(frame).log)
    assert found.mixed_policy_groups == 1.0
    assert found.lines()[0].startswith("mixed policies")
    assert "several policies (model differ)" in validate(frame).notices[0]
    path = tmp_path / "log.parquet"
    frame.write_parquet(path)
    report = import_log([path]).report
    assert report.lines()[0].startswith("mixed policies")
    assert import_to(tmp_path / "out.parquet", [path]) == report


def test_a_rollout_of_several_models_is_one_policy(tmp_path: Path):
    # Both rollouts have {a, b}, whoever spoke first.
    same = validate(steps_of(model=["a", "b", "b", "a"])).log
    assert facts(same).mixed_policy_groups == 0.0
    other = validate(steps_of(model=["a", "b", "a", "a"])).log
    assert facts(other).mixed_policy_groups == 1.0
    assert facts(validate(steps_of(policy_version=[1, 1, 2, 2])).log).mixed_policies


def test_runs_that_cannot_be_told_apart_are_refused_with_a_way_to_read_both(tmp_path: Path):
    for run in ("one", "two"):
        said = record(rollout=0, messages=[user("go"), assistant(run)])
        write_lines(tmp_path / run / "chat.jsonl", [said])
    with pytest.raises(LogError, match="import each into a log of its own"):
        import_log([tmp_path])


def test_samples_of_harbor_jobs_are_told_apart_by_their_job(tmp_path: Path):
    for run in ("one", "two"):
        shutil.copytree(SAMPLES / "atif/harbor_job", tmp_path / run)
        for result in (tmp_path / run).glob("*/result.json"):
            said = json.loads(result.read_text())
            said |= {"config": {"job_id": run}, "agent_info": {"name": "x", "version": "1"}}
            result.write_text(json.dumps(said))
    report = import_log([tmp_path]).report
    assert dict(report.rollouts) == {4: 2}
