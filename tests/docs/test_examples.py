"""The examples do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import logs
import polars as pl
import pytest
from places import ROOT

from workbench.exporters import read_batch, read_manifest

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def train_weighted() -> ModuleType:
    path = EXAMPLES / "train_weighted.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_log(path: Path) -> Path:
    """Two tasks in which going left is right; half of the rollouts know it."""
    described = {
        f"task {task}": {
            f"{task}/{rollout}": [
                (f"room {task} with a door", "look around", 0.0),
                ("two ways lead on", "go left" if rollout % 2 else "go right", float(rollout % 2)),
            ]
            for rollout in range(4)
        }
        for task in "ab"
    }
    logs.log(described).write_parquet(path)
    return path


def test_the_policy_follows_the_credit_that_went_through_the_export(
    train_weighted: ModuleType, tmp_path: Path
):
    log = small_log(tmp_path / "log.parquet")
    found = train_weighted.run(log, tmp_path / "out", groups=2, steps=24, quiet=True)
    (before, after) = found["positive"]
    assert after > before + 0.02
    (before, after) = found["negative"]
    assert after < before - 0.02
    manifest = read_manifest(tmp_path / "out" / "batch")
    assert manifest.tokens["from"] == "text"
    assert manifest.checks["prefix_property"] is True
    assert read_batch(tmp_path / "out" / "batch").height == 8


def test_with_the_credit_turned_the_policy_moves_the_other_way(
    train_weighted: ModuleType, tmp_path: Path
):
    """The credit moves the policy: with its sign turned, so is the movement."""
    log = small_log(tmp_path / "log.parquet")
    rows = train_weighted.export(log, "grpo", 2, tmp_path / "out")
    turned = rows.with_columns(pl.col("advantages").list.eval(-pl.element()))
    import torch

    torch.manual_seed(0)
    policy = train_weighted.tiny_policy(int(rows["input_ids"].list.max().max()) + 1)
    data = list(train_weighted.batches(rows, 8))
    before = train_weighted.mean_by_sign(policy, data)
    train_weighted.train(policy, list(train_weighted.batches(turned, 8)), 24, 1e-3, quiet=True)
    after = train_weighted.mean_by_sign(policy, data)
    assert after[0] < before[0] - 0.02
    assert after[1] > before[1] + 0.02
