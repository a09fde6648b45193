"""JSON values as values of the step log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from log_files import written
from samples_of import lines

from workbench.readers import import_log
from workbench.readers.rows import number, numbers


@pytest.mark.parametrize(
    ("sample", "key"),
    [
        ("verifiers-legacy/vf_eval_0.1.5", "reward"),
        ("verl/legacy", "score"),
        ("nemo-rl", "rewards"),
        ("open-instruct", "reward"),
        ("skyrl", "score"),
        ("areal", "reward"),
    ],
)
def test_rewards_that_are_null_or_nan_exclude_and_are_counted(
    tmp_path: Path, sample: str, key: str
):
    records = lines(sample)
    records[0][key], records[3][key] = float("nan"), None
    report = import_log([written(tmp_path, records, "step_12.jsonl")]).report
    assert report.excluded == {"reward is not finite": 1, "reward is null": 1}


def test_integers_that_are_too_large_for_a_real_are_infinite():
    assert numbers([1, 10**400, -(10**400)]) == [1.0, math.inf, -math.inf]
    assert number(10**400) == math.inf
