"""JSON values as values of the step log."""

from __future__ import annotations

from pathlib import Path

import pytest
from log_files import written
from samples_of import lines

from workbench.readers import import_log


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
