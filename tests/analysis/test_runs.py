"""Runs and checkpoints side by side."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from logs import rows

from workbench.analysis.runs import SCHEMA, Run, checkpoints, tasks, updates_column
from workbench.log.schema import validate

TWO = {
    "g": {"a": [("x", "go", 0.0), ("y", "go", 1.0)], "b": [("x", "go", 0.0)]},
    "h": {"c": [("x", "go", 0.0)], "d": [("x", "go", 0.0)]},
    "i": {"e": [("x", "go", 1.0)], "f": [("x", "go", 0.0)]},
}


def log(updates: dict[str, int] | None = None, runs: dict[str, str] | None = None) -> pl.DataFrame:
    """Groups g, h and i, the updates and runs that they are of, with tasks for texts."""
    frame = rows(TWO).with_columns(
        task=pl.format("task {}", "group_id"), success=pl.col("trajectory_id").is_in(["a", "e"])
    )
    if updates is not None:
        of = pl.col("group_id").replace_strict(updates, return_dtype=pl.Int64)
        frame = frame.with_columns(of.alias("train_step"))
    if runs is not None:
        of = pl.col("group_id").replace_strict(runs, return_dtype=pl.String)
        frame = frame.with_columns(of.alias("run_id"))
    return validate(frame).log


def test_checkpoints_by_hand():
    # Update 1 is g and h: 4 rollouts, 1 won; g alone is live; 5 steps. Update 2 is i.
    frame = log(updates={"g": 1, "h": 1, "i": 2})
    own = np.array([1.0, 0.0, -1.0, np.nan, 0.0, 2.0, -2.0])
    other = np.array([-1.0, 1.0, -1.0, np.nan, 0.0, -2.0, 2.0])
    run = Run(name="run", log=frame, advantages={"one": own, "other": other})
    first, second = checkpoints([run], "one", ("one", "other")).to_dicts()
    assert first == {
        "run": "run",
        "update": 1,
        "rollouts": 4,
        "success": 0.25,
        "groups": 2,
        "live": 1,
        "live_share": 0.5,
        "steps": 5,
        "effective": 2,
        "effective_share": 0.4,
        "flips": 1,
        "flip_share": 0.2,
    }
    assert (second["update"], second["success"], second["live"]) == (2, 0.5, 1)
    assert (second["effective_share"], second["flip_share"]) == (1.0, 1.0)


def test_a_log_without_updates_is_one_point_and_what_is_not_scored_is_not_known():
    frame = log()
    (point,) = checkpoints([Run(name="run", log=frame, advantages={})], "one").to_dicts()
    assert updates_column(frame) is None
    assert point["update"] is None
    assert point["effective"] is None
    assert point["flips"] is None
    assert point["success"] == pytest.approx(2 / 6)


def test_a_log_of_several_runs_is_split_by_them_in_their_order():
    frame = log(updates={"g": 5, "h": 3, "i": 4}, runs={"g": "old", "h": "new", "i": "old"})
    table = checkpoints([Run(name="log", log=frame, advantages={})], "one")
    assert list(table.select("run", "update").iter_rows()) == [
        ("log · old", 4),
        ("log · old", 5),
        ("log · new", 3),
    ]
    assert dict(table.schema) == SCHEMA


def test_tasks_are_matched_by_their_text_and_a_run_that_lacks_one_is_null_there():
    frame = log()
    other = validate(
        rows({"z": {"z0": [("x", "go", 1.0)], "z1": [("x", "go", 1.0)]}}).with_columns(
            task=pl.lit("task g"), success=pl.lit(value=True)
        )
    ).log
    runs = [Run(name=name, log=part, advantages={}) for name, part in (("a", frame), ("b", other))]
    assert tasks(runs).to_dicts() == [
        {"task": "task g", "a": 0.5, "b": 1.0},
        {"task": "task h", "a": 0.0, "b": None},
        {"task": "task i", "a": 0.5, "b": None},
    ]
