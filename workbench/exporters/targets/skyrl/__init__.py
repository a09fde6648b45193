"""A SkyRL GeneratorOutput with token-level rewards, which are the advantages, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.sequences import IDS, MASK, REALS, joined, split

FILE = "generator_output.json"


def write(batch: Batch, folder: Path) -> None:
    """Write `generator_output.json`; `rollout_logprobs` is null unless every row has them."""
    parts = split(batch.rows)
    number = pl.col("trajectory_id").rank("dense").over("group_id") - 1
    known = parts["old_logprobs"].null_count() == 0
    ends = parts["trajectory_id"] != parts["trajectory_id"].shift(-1)
    output = parts.select(
        pl.col("prompt_ids").alias("prompt_token_ids"),
        "response_ids",
        pl.col("advantages").alias("rewards"),
        pl.col("loss_mask").alias("loss_masks"),
        pl.when("truncated").then(pl.lit("length")).otherwise(pl.lit("stop")).alias("stop_reasons"),
        pl.struct(
            pl.col("group_id").alias("instance_id"), number.cast(pl.Int64).alias("repetition_id")
        ).alias("trajectory_ids"),
        ends.fill_null(value=True).alias("is_last_step"),
        pl.col("old_logprobs").alias("rollout_logprobs"),
        pl.col("trajectory_id").alias("workbench_trajectory_ids"),
    )
    # Columns as polars writes them, which gives a float32 its own digits.
    whole = json.loads(output.select(pl.all().implode()).write_ndjson())
    whole = {name: values if known or name != "rollout_logprobs" else None
             for name, values in whole.items()}  # fmt: skip
    (folder / FILE).write_text(json.dumps(whole, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences again."""
    path = folder / FILE
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        columns = {
            "group_id": [entry["instance_id"] for entry in whole["trajectory_ids"]],
            "trajectory_id": whole["workbench_trajectory_ids"],
            "prompt_ids": pl.Series(whole["prompt_token_ids"], dtype=IDS),
            "response_ids": pl.Series(whole["response_ids"], dtype=IDS),
            "loss_mask": pl.Series(whole["loss_masks"], dtype=MASK),
            "advantages": pl.Series(whole["rewards"], dtype=REALS),
        }
        if whole["rollout_logprobs"] is not None:
            columns["old_logprobs"] = pl.Series(whole["rollout_logprobs"], dtype=REALS)
        return joined(pl.DataFrame(columns))
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error


register(
    Exporter(
        name="skyrl",
        description="A SkyRL GeneratorOutput (JSON) and the identity estimator to train on it.",
        layout=Layout(
            format="workbench-skyrl-output",
            trainer="SkyRL",
            turn_off=(
                "trainer.algorithm.advantage_estimator=precomputed (workbench_skyrl.py), "
                "trainer.algorithm.advantage_batch_normalize=false, "
                "trainer.algorithm.use_kl_in_reward=false, generator.step_wise_trajectories=false"
            ),
            cut=True,
        ),
        write=write,
        read=read,
        loader=Path(__file__).with_name("loader.py"),
    )
)
