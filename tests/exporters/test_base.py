"""The registry of targets, and what is held against what was to be written."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from batches import export, token_log

from workbench.errors import ArtefactError, UnknownNameError
from workbench.exporters import TARGETS


def test_targets_are_found_by_name() -> None:
    assert "weighted-batch" in TARGETS
    assert TARGETS["weighted-batch"].description.endswith("datasets.")
    assert TARGETS["weighted-batch"].options["weight"] == "none"
    with pytest.raises(UnknownNameError, match="did you mean 'weighted-batch'"):
        TARGETS["weighted_batch"]


def test_there_is_a_target_for_each_trainer_that_says_what_to_switch_off():
    for target in TARGETS.values():
        assert (target.layout.trainer is None) == (target.layout.turn_off == "")
    own = {"datasets", "prime-rl", "rllm", "skyrl", "slime", "tinker", "trl", "verl"}
    assert own | {"weighted-batch"} <= set(TARGETS)


def test_what_reads_back_otherwise_is_refused_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trained = "workbench.exporters.targets.trl.trained_advantage"
    monkeypatch.setattr(trained, lambda rows: pl.Series([0.5, -2.0, 9.0], dtype=pl.Float32))
    with pytest.raises(
        ArtefactError, match=r"advantages was written as .*row 2 \(trajectory 't1'\)"
    ):
        export("trl", token_log(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
