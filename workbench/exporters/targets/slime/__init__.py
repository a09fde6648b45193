"""slime: samples to load in place of a rollout, and their advantages by sample index."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.sequences import IDS, KEY, MASK, REALS, joined, split
from workbench.exporters.tables import read_lines, write_lines

SAMPLES, ADVANTAGES = "samples.jsonl", "advantages.jsonl"

_SCHEMA = {
    "group_index": pl.Int64(),
    "index": pl.Int64(),
    "tokens": IDS,
    "response_length": pl.Int64(),
    "reward": pl.Float32(),
    "loss_mask": MASK,
    "rollout_log_probs": REALS,
    "status": pl.String(),
    "metadata": pl.Struct(KEY),
}


def write(batch: Batch, folder: Path) -> None:
    """Write `samples.jsonl` and `advantages.jsonl`, line i of each with index i."""
    parts = split(batch.rows)
    parts = parts.with_row_index("index").with_columns(pl.col("index").cast(pl.Int64))
    cut = pl.when("truncated").then(pl.lit("truncated")).otherwise(pl.lit("completed"))
    samples = parts.select(
        (pl.col("group_id").rank("dense") - 1).cast(pl.Int64).alias("group_index"),
        "index",
        pl.concat_list("prompt_ids", "response_ids").alias("tokens"),
        pl.col("response_ids").list.len().cast(pl.Int64).alias("response_length"),
        "reward",
        "loss_mask",
        pl.col("old_logprobs").alias("rollout_log_probs"),
        cut.alias("status"),
        pl.struct(*KEY).alias("metadata"),
    )
    write_lines(samples, folder / SAMPLES)
    write_lines(parts.select("index", "advantages"), folder / ADVANTAGES)


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences again."""
    samples = read_lines(folder / SAMPLES, _SCHEMA, optional=["rollout_log_probs"]).unnest(
        "metadata"
    )
    credit = read_lines(folder / ADVANTAGES, {"index": pl.Int64(), "advantages": REALS})
    if not samples["index"].equals(credit["index"]):
        raise ArtefactError(f"{folder}: {SAMPLES} and {ADVANTAGES} are not of the same samples")
    length = pl.col("response_length")
    parts = samples.with_columns(
        credit["advantages"],
        pl.col("tokens").list.head(pl.col("tokens").list.len() - length).alias("prompt_ids"),
        pl.col("tokens").list.tail(length).alias("response_ids"),
        pl.col("rollout_log_probs").alias("old_logprobs"),
    )
    others = ("prompt_ids", "response_ids", "loss_mask", "old_logprobs", "advantages", "reward")
    return joined(parts.select(*KEY, *others))


register(
    Exporter(
        name="slime",
        description="Samples and advantages for slime, with the functions that load them.",
        layout=Layout(
            format="workbench-slime-samples",
            trainer="slime",
            turn_off="leave --normalize-advantages away",
            cut=True,
        ),
        write=write,
        read=read,
        loader=Path(__file__).with_name("loader.py"),
    )
)
