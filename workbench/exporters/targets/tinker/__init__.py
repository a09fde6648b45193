"""Datums for Tinker: token ids and, for each, its target, its old log-probability, its advantage.

Index t of every list of `loss_fn_inputs` is about the token t + 1 of the sequence, which the model
predicts at position t; so all lists are one shorter than the sequence. Tinker sums the loss over
all tokens: an advantage of 0 is what masks the prompt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.sequences import IDS, KEY, REALS
from workbench.exporters.tables import read_lines, write_lines

FILE = "datums.jsonl"

_INPUTS = {"target_tokens": IDS, "logprobs": REALS, "advantages": REALS}
_SCHEMA = {
    "model_input": IDS,
    "loss_fn_inputs": pl.Struct(_INPUTS),
    "meta": pl.Struct(KEY),
}


def write(batch: Batch, folder: Path) -> None:
    """Write `datums.jsonl`."""
    ids = pl.col("input_ids")
    rows = batch.rows.select(
        ids.list.head(ids.list.len() - 1).alias("model_input"),
        pl.struct(
            ids.list.slice(1).alias("target_tokens"),
            pl.col("old_logprobs").list.slice(1).alias("logprobs"),
            pl.col("advantages").list.slice(1),
        ).alias("loss_fn_inputs"),
        pl.struct(*KEY).alias("meta"),
    )
    write_lines(rows, folder / FILE)


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences again, with a first token that has neither log-probability nor advantage."""
    rows = read_lines(folder / FILE, _SCHEMA).unnest("loss_fn_inputs", "meta")
    read, target = pl.col("model_input"), pl.col("target_tokens")
    shifted = rows.select(read.list.slice(1) != target.list.head(target.list.len() - 1)).to_series()
    if shifted.any():
        line = int(np.flatnonzero(shifted.to_numpy())[0]) + 1
        raise ArtefactError(
            f"{folder / FILE}: target_tokens is not model_input shifted, line {line}"
        )
    first = pl.concat_list(pl.lit(0.0, dtype=pl.Float32))
    return rows.select(
        *KEY,
        pl.concat_list(pl.col("model_input").list.head(1), "target_tokens").alias("input_ids"),
        pl.when(pl.col("logprobs").is_not_null())
        .then(pl.concat_list(first, "logprobs"))
        .alias("old_logprobs"),
        pl.concat_list(first, "advantages").alias("advantages"),
    )


register(
    Exporter(
        name="tinker",
        description="JSON lines of Tinker datums, ready for forward_backward.",
        layout=Layout(
            format="workbench-tinker-datums",
            trainer="Tinker",
            turn_off=(
                "pass the datums to forward_backward as they are; center or scale nothing before"
            ),
        ),
        write=write,
        read=read,
        appends=True,
        masks=False,
        loader=Path(__file__).with_name("loader.py"),
    )
)
