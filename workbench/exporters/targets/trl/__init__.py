"""Samples for TRL: for GRPOTrainer with advantages from the file, and to replay in AsyncGRPO.

One line per step has one `advantage`, which is all that AsyncGRPO takes. Lines that hold several
steps (unit "trajectory") have `advantages`, one per token, which GRPOTrainer takes.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.sequences import IDS, KEY, MASK, REALS, broadcast, trained_advantage
from workbench.exporters.tables import read_lines, write_lines

FILE = "rollout_samples.jsonl"

_SCHEMA = {
    "input_ids": IDS,
    "completion_mask": MASK,
    "old_log_probs": REALS,
    **KEY,
    "model_version": pl.Int64(),
}


def write(batch: Batch, folder: Path) -> None:
    """Write `rollout_samples.jsonl`."""
    rows, by_step = batch.rows, batch.manifest.unit == "step"
    credit = trained_advantage(rows).alias("advantage") if by_step else rows["advantages"]
    names = {
        "loss_mask": "completion_mask",
        "old_logprobs": "old_log_probs",
        "policy_version": "model_version",
    }
    write_lines(rows.rename(names).select(*_SCHEMA).with_columns(credit), folder / FILE)


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences again, with the advantage at each trained token."""
    by_step = manifest.unit == "step"
    credit = {"advantage": pl.Float32()} if by_step else {"advantages": REALS}
    nullable = ["old_log_probs", "model_version"]
    rows = read_lines(folder / FILE, {**_SCHEMA, **credit}, optional=nullable)
    if by_step:
        spread = broadcast(rows["advantage"], rows["completion_mask"])
        rows = rows.with_columns(spread).drop("advantage")
    names = {
        "completion_mask": "loss_mask",
        "old_log_probs": "old_logprobs",
        "model_version": "policy_version",
    }
    return rows.rename(names)


register(
    Exporter(
        name="trl",
        description="JSON lines for TRL's GRPOTrainer (subclass included) and AsyncGRPO (replay).",
        layout=Layout(
            format="workbench-trl-samples",
            trainer="TRL",
            turn_off=(
                "train with the PrecomputedGRPOTrainer or ReplayWorker of workbench_trl.py; "
                "scale_rewards acts only on advantages that TRL computes"
            ),
            unit="step",
        ),
        write=write,
        read=read,
        appends=True,
        loader=Path(__file__).with_name("loader.py"),
    )
)
