"""Rollout dumps of verl as steps."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from log_files import log_of, written
from samples_of import SAMPLES, assert_nine_steps, lines, samples_of

from workbench.errors import LogError
from workbench.readers import import_log, read


@pytest.mark.parametrize("sample", samples_of("verl"))
def test_every_sample_becomes_the_nine_canonical_steps(sample: Path):
    assert_nine_steps(import_log([sample]), "verl")


def test_every_row_of_the_sample_leads_back_to_its_line():
    log = log_of(SAMPLES / "verl/v1")
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert set(log["source_file"]) <= {
        str(path) for path in [SAMPLES / "verl/v1", *(SAMPLES / "verl/v1").rglob("*")]
    }


def test_outputs_of_a_session_are_one_trajectory_with_the_last_score(tmp_path: Path):
    base = {"gts": "k", "step": 3}
    rows = [
        base | {"uid": "g_0_1", "input": "user\nb\nassistant\n", "output": "y", "score": 1.0},
        base | {"uid": "g_1_0", "input": "user\na\nassistant\n", "output": "z", "score": 0.0},
        base | {"uid": "g_0_0", "input": "user\na\nassistant\n", "output": "x", "score": 1.0},
    ]
    log = log_of(written(tmp_path, rows))
    assert log["action"].to_list() == ["x", "y", "z"]
    assert log["reward"].to_list() == [0.0, 1.0, 0.0]
    assert log["source_line"].to_list() == [3, 1, 2]
    with pytest.raises(LogError, match=r"the outputs of a session are \[1\].*:1"):
        read([written(tmp_path, rows[:2])])


def test_legacy_rows_are_grouped_by_prompt_and_truth_in_any_order(tmp_path: Path):
    rows = [
        {
            "input": f"user\n{task}\nassistant\n",
            "output": str(n),
            "gts": task,
            "score": 0,
            "step": 1,
        }
        for n in range(3)
        for task in ("a", "b")
    ]
    random.Random(0).shuffle(rows)
    assert import_log([written(tmp_path, rows)]).report.rollouts == {3: 2}


def test_the_same_prompt_at_two_training_steps_is_two_groups(tmp_path: Path):
    row = lines("verl/legacy")[0]
    paths = [written(tmp_path, [row | {"step": step}], f"{step}.jsonl") for step in (1, 2)]
    assert log_of(*paths)["group_id"].n_unique() == 2
