"""rLLM episodes whose steps carry one advantage a response token."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import STEPS_ONLY
from workbench.exporters.sequences import IDS, KEY, MASK, REALS, joined, split
from workbench.exporters.tables import read_lines, write_lines

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
    """Write `episodes.jsonl`, one trajectory per line, with id "group:number" as rLLM has it.

    A line holds all that rLLM's `Episode.from_dict` asks for, and keys besides it that rLLM leaves
    alone and the reader of rLLM's logs knows: episode_id, step_index, response_mask.
    """
    last = pl.col("step_index") == pl.col("step_index").max().over("trajectory_id")
    told = batch.steps.select(
        *KEY,
        "observation",
        "action",
        pl.col("reward").alias("step_reward"),
        last.alias("done"),
        _success(batch.steps).alias("is_correct"),
    )
    nothing = pl.lit([], dtype=pl.List(pl.String))
    steps = (
        split(batch.rows)
        .join(told, on=[*KEY], how="left", maintain_order="left")
        .with_columns(
            pl.struct(
                "step_index",
                "prompt_ids",
                "response_ids",
                pl.col("loss_mask").alias("response_mask"),
                pl.col("old_logprobs").fill_null(pl.lit([], dtype=REALS)).alias("logprobs"),
                pl.col("advantages").alias("advantage"),
                pl.col("policy_version").alias("weight_version"),
                nothing.alias("chat_completions"),
                "observation",
                pl.lit("").alias("thought"),
                "action",
                pl.col("action").alias("model_response"),
                pl.col("step_reward").alias("reward"),
                "done",
                pl.lit(0.0).alias("mc_return"),
            ).alias("steps")
        )
    )
    one = steps.group_by("group_id", "trajectory_id", maintain_order=True).agg(
        pl.col("reward").first(), pl.col("is_correct").first(), "steps"
    )
    number = pl.col("group_id").cum_count().over("group_id") - 1
    trajectory = pl.struct(
        pl.col("trajectory_id").alias("uid"),
        pl.lit("agent").alias("name"),
        pl.col("group_id").alias("task"),
        "reward",
        "steps",
    )
    name = pl.col("group_id") + ":" + number.cast(pl.String)
    episodes = one.select(
        name.alias("id"),
        name.alias("episode_id"),
        pl.col("group_id").alias("task"),
        "is_correct",
        pl.concat_list(trajectory).alias("trajectories"),
    )
    write_lines(episodes, folder / FILE)


def _success(steps: pl.DataFrame) -> pl.Expr:
    """Mask of steps whose trajectory is known to have solved its task."""
    if "success" not in steps.columns:
        return pl.lit(False)
    return pl.col("success").fill_null(False)


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences again, one row per step."""
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
        pl.when(pl.col("logprobs").list.len() > 0).then("logprobs").alias("old_logprobs"),
        pl.col("advantage").alias("advantages"),
        pl.col("weight_version").alias("policy_version"),
    )
    return joined(parts)


register(
    Exporter(
        name="rllm",
        description="rLLM episodes (JSON lines) whose steps carry one advantage per token.",
        layout=Layout(
            format="workbench-rllm-episodes",
            trainer="rLLM",
            turn_off="rllm.algorithm.use_precomputed_advantage=true",
            unit="step",
        ),
        write=write,
        read=read,
        appends=True,
        units=STEPS_ONLY,
    )
)
