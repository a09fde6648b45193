"""OpenPipe ART trajectories as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from log_files import act, log_of
from samples_of import SAMPLES, assert_nine_steps

from workbench.readers import import_log


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "art"]), "art", action=act)


def test_every_row_of_the_sample_leads_back_to_its_line():
    log = log_of(SAMPLES / "art")
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert set(log["source_file"]) <= {
        str(path) for path in [SAMPLES / "art", *(SAMPLES / "art").rglob("*")]
    }


def test_assistant_messages_that_are_not_trainable_are_history(tmp_path: Path):
    def message(role: str, content: str, trainable: bool) -> dict[str, Any]:
        return {
            "role": role,
            "content": content,
            "tool_calls": None,
            "tool_call_id": None,
            "trainable": trainable,
        }

    talk = [
        message("user", "example", False),
        message("assistant", "answer", False),
        message("user", "go", False),
        message("assistant", "done", True),
    ]
    frame = pl.read_parquet(SAMPLES / "art/trajectories/train/0012.parquet").head(2)
    rows = frame.with_columns(pl.Series("messages", [talk, talk[:2]]))
    rows.write_parquet(tmp_path / "0003.parquet")
    imported = import_log([tmp_path / "0003.parquet"])
    log = imported.validated.log
    assert log.select("observation", "action", "train_step").rows() == [("go", "done", 3)]
    assert "hold no trainable message" in str(imported.report)
