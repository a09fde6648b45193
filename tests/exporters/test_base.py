"""The registry of targets, and what is held against what was to be written."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from batches import export, token_log

from workbench.errors import ArtefactError, UnknownNameError
from workbench.exporters import TARGETS
from workbench.exporters.base import require_equal


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


@pytest.mark.parametrize("row", [0, 1, 2])
def test_the_first_row_that_reads_back_otherwise_is_named(row: int):
    meant = pl.DataFrame({"trajectory_id": ["a", "b", "c"], "x": [1, 2, 3]})
    read = meant.with_columns(x=pl.when(pl.int_range(3) < row).then("x").otherwise(9))
    require_equal(meant, meant, Path("batch"))
    said = f"batch: x was written as {row + 1} and reads as 9, first in row {row} "
    with pytest.raises(ArtefactError, match=said) as refused:
        require_equal(read, meant, Path("batch"))
    assert f"(trajectory {'abc'[row]!r})" in str(refused.value)
