"""TensorBoard's own reader on what `--log-to` writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from commands import small

from workbench import cli


def test_tensorboard_reads_the_numbers_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    import polars as pl
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    small(tmp_path / "log.parquet", train_step=pl.lit(12))
    command = "run log.parquet -m grpo -o work --log-to tensorboard:runs"
    monkeypatch.setattr(sys, "argv", ["workbench", *command.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0, capsys.readouterr().err
    found = EventAccumulator(str(tmp_path / "runs")).Reload()
    (event,) = found.Scalars("batch/steps")
    # Both groups have a winner and a loser, so all five steps are in the batch.
    assert (event.step, event.value) == (12, 5.0)
    assert found.Scalars("credit/grpo/scored")[0].value == 5.0
