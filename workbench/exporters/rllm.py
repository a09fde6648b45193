"""rLLM episodes whose steps carry one advantage a response token."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import STEPS_ONLY
from workbench.exporters.sequences import IDS, MASK, REALS, joined, read_lines, split, write_lines

FILE = "episodes.jsonl"

_STEP = pl.Struct(
    {
        "step_index": pl.Int32,
        "prompt_ids": IDS,
        "response_ids": IDS,
        "response_mask": MASK,
        "logprobs": REALS,
        "advantage": REALS,
        "weight_version": pl.Int64,
    }
)
_SCHEMA = {
    "episode_id": pl.String(),
    "task": pl.String(),
    "trajectories": pl.List(
        pl.Struct({"uid": pl.String, "reward": pl.Float32, "steps": pl.List(_STEP)})
    ),
}


def write(batch: Batch, folder: Path) -> None:
    """Writes `episodes.jsonl`, one trajectory a line, episode_id "group:number" as rLLM has it."""
    steps = split(batch.rows).with_columns(
        pl.struct(
            "step_index",
            "prompt_ids",
            "response_ids",
            pl.col("loss_mask").alias("response_mask"),
            pl.col("old_logprobs").alias("logprobs"),
            pl.col("advantages").alias("advantage"),
            pl.col("policy_version").alias("weight_version"),
        ).alias("steps")
    )
    one = steps.group_by("group_id", "trajectory_id", maintain_order=True).agg(
        pl.col("reward").first(), "steps"
    )
    number = pl.col("group_id").cum_count().over("group_id") - 1
    trajectory = pl.struct(pl.col("trajectory_id").alias("uid"), "reward", "steps")
    episodes = one.select(
        (pl.col("group_id") + ":" + number.cast(pl.String)).alias("episode_id"),
        pl.col("group_id").alias("task"),
        pl.concat_list(trajectory).alias("trajectories"),
    )
    write_lines(episodes, folder / FILE)


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences again, one row a step."""
    episodes = read_lines(folder / FILE, _SCHEMA).explode("trajectories").unnest("trajectories")
    steps = episodes.explode("steps").unnest("steps")
    parts = steps.select(
        pl.col("task").alias("group_id"),
        pl.col("uid").alias("trajectory_id"),
        "reward",
        "step_index",
        "prompt_ids",
        "response_ids",
        pl.col("response_mask").alias("loss_mask"),
        pl.col("logprobs").alias("old_logprobs"),
        pl.col("advantage").alias("advantages"),
        pl.col("weight_version").alias("policy_version"),
    )
    return joined(parts)


register(
    Exporter(
        name="rllm",
        description="rLLM episodes (JSON lines) whose steps carry one advantage a token.",
        layout=Layout(format="workbench-rllm-episodes", trainer="rLLM", unit="step"),
        write=write,
        read=read,
        units=STEPS_ONLY,
    )
)
