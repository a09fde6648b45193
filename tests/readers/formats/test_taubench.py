"""tau-bench results as steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import act, assistant, log_of, user
from samples_of import SAMPLES, assert_nine_steps

from workbench.errors import LogError, ParameterError
from workbench.readers import import_log, read

TAU = SAMPLES / "tau_bench.json"


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "tau_bench.json"]),
        "tau-bench",
        action=act,
        group="task-0",
        trajectory="task-0/{n}",
    )


def test_terminal_outcomes_say_so_and_the_last_answer_is_kept():
    log = log_of(TAU)
    assert set(log["reward_source"]) == {"terminal"}
    assert log["next_observation"].to_list()[:2] == [
        "You see a key in the drawer.",
        "You hold the key.",
    ]
    assert log["success"].to_list() == [True] * 5 + [False] * 4
    assert set(log["task"]) == {"Find the key."}


def test_every_step_leads_back_to_its_record():
    assert log_of(TAU)["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]


def test_all_tau_bench_trials_equal_the_published_table(shared: Path):
    imported = import_log([shared / "data/raw/tau_bench_airline_3tasks_4trials.json"])
    table = pl.read_parquet(shared / "data/taubench_airline_gpt4o.parquet")
    ids = pl.col("trajectory_id").str.replace("task-", "airline-gpt4o/")
    log = imported.validated.log.with_columns(ids)
    both = log.join(table, on=["trajectory_id", "step_index"], how="left", suffix="_table")
    assert log.height == 196
    assert imported.report.rollouts == {4: 3}
    assert both["reward"].equals(both["reward_table"])
    assert both["success"].equals(both["success_table"])
    assert both["task"].equals(both["task_table"])
    bare = both["observation_table"].str.replace(r"^\[(user|tool:[^\]]*)\] ?", "")
    assert both["observation"].equals(bare)
    assert both["action"].to_list() == [_canonical(text) for text in both["action_table"]]


def _canonical(text: str) -> str:
    """The table's action, which has content, name and arguments in one object, in our form."""
    try:
        call = json.loads(text)
    except ValueError:
        return text
    content = call.pop("content", "")
    return "\n".join(filter(None, [content, json.dumps(call, sort_keys=True, ensure_ascii=False)]))


def tau_trial(**fields: Any) -> dict[str, Any]:
    return {
        "task_id": 3,
        "trial": 0,
        "reward": 1.0,
        "info": {},
        "traj": [user("go"), assistant("ok")],
    } | fields


def test_a_trial_that_crashed_is_dropped_and_a_bad_one_refused(tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([tau_trial(), tau_trial(trial=1, traj=[]), tau_trial(trial=None)]))
    with pytest.raises(LogError, match=r"trial: is missing or null, at .* record 3"):
        read([path])
    report = import_log([path], skip_bad=True).report
    assert report.trajectories == 1
    assert [problem.column for problem in report.dropped] == ["trial", "traj"]


def test_success_of_a_trial_is_a_reward_of_one(tmp_path: Path):
    path = tmp_path / "results.json"
    rewards = [1.0, 0.9999999, 0.5, None]
    trials = [tau_trial(trial=n, reward=reward) for n, reward in enumerate(rewards)]
    path.write_text(json.dumps(trials))
    assert read([path]).frame["success"].to_list() == [True, True, False, None]


def test_records_before_a_damage_are_kept_where_the_user_asks(tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([tau_trial(), tau_trial(trial=1)])[:-30])
    imported = import_log([path], skip_bad=True)
    assert imported.report.trajectories == 1
    assert imported.report.dropped[0].places == [f"{path} record 2 (cut off)"]


def test_tau_bench_takes_no_mapping():
    with pytest.raises(ParameterError, match="fixed names"):
        read([TAU], mapping={"columns": {"group_id": "task_id"}})
