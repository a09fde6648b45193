"""Commands that work in parts print and write what they do of the whole log."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from commands import Run
from folders import contents, names
from places import DATA

LOG = str(DATA / "household.parquet")


def test_an_export_in_parts_is_that_of_the_whole(run: Run, tmp_path: Path):
    run("score", LOG, "-m", "grpo", "-o", "credit.parquet")
    code, whole, _ = run("export", LOG, "--credit", "credit.parquet", "-o", "batch")
    assert code == 0
    before = contents(tmp_path / "batch")
    words = ("--jobs", 1, "--overwrite")
    assert run("export", LOG, "--credit", "credit.parquet", "-o", "batch", *words)[:2] == (0, whole)
    assert contents(tmp_path / "batch") == before
    assert names(tmp_path) == ["batch", "credit.parquet"]


def test_what_asks_for_the_whole_log_is_refused_in_parts(run: Run):
    run("score", LOG, "-m", "grpo", "-o", "credit.parquet")
    words = ("export", LOG, "--credit", "credit.parquet", "-o", "batch", "--jobs", 1)
    code, _, errors = run(*words, "--redact", "likely", "-p", "filter=outcome:fail")
    assert code == 2
    assert "filter, redact cannot be exported in parts" in errors
    assert "target verl cannot be exported in parts" in run(*words, "--to", "verl")[2]


def test_files_that_two_processes_read_are_the_log_of_one(run: Run, tmp_path: Path):
    (tmp_path / "rollouts").mkdir()
    log = pl.read_parquet(LOG)
    for number, (_, rows) in enumerate(log.group_by("group_id", maintain_order=True)):
        rows.write_parquet(tmp_path / "rollouts" / f"{number}.parquet")
    code, whole, _ = run("import", "rollouts", "-o", "log.parquet")
    assert code == 0
    before = (tmp_path / "log.parquet").read_bytes()
    words = ("--jobs", 2, "--overwrite")
    assert run("import", "rollouts", "-o", "log.parquet", *words)[:2] == (0, whole)
    assert (tmp_path / "log.parquet").read_bytes() == before
    code, _, errors = run("import", "rollouts", "-o", "log.parquet", "--watch", 1, *words)
    assert (code, "--watch reads one file at a time" in errors) == (2, True)
