"""OpenPipe ART trajectories as steps."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import act, log_of, problems_of
from samples_of import SAMPLES, assert_nine_steps

from workbench.errors import LogError
from workbench.readers import import_log, read


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


@pytest.mark.parametrize("messages", ["text", [1], [["user"]], 3])
def test_messages_that_are_none_are_named(tmp_path: Path, messages: Any):
    frame = pl.read_parquet(SAMPLES / "art/trajectories/train/0012.parquet").head(1)
    path = tmp_path / "0003.parquet"
    frame.with_columns(pl.Series("messages", [messages])).write_parquet(path)
    assert f"messages: is no list of messages, at {path} row 1" in problems_of(path)


def test_values_that_only_tables_have_are_kept_as_text(tmp_path: Path):
    frame = pl.read_parquet(SAMPLES / "art/trajectories/train/0012.parquet")
    path = tmp_path / "0003.parquet"
    day = date(2026, 1, 2)
    frame.with_columns(metadata=pl.struct(day=pl.lit(day)), metrics=pl.lit(day)).write_parquet(path)
    log = log_of(path)
    assert log.select("metadata", "metrics").row(0) == ('{"day": "2026-01-02"}', "2026-01-02")


def test_a_table_of_another_format_is_named_with_its_columns():
    path = SAMPLES / "parquet/canonical_steps.parquet"
    for form in ("art", "trl", "scout"):
        with pytest.raises(LogError, match=str(path)):
            read([path], format=form)
