"""Plain Hugging Face `datasets`: rejection sampling by A > 0, and one weight a sample.

Token ids give `input_ids`, `labels` (-100 where nothing is trained) and `completion_mask`, as
supervised trainers take them; messages give `prompt` and `completion`. Each row is one step, so
that its credit is one number, `weight`: its advantage, or 1 where binary weights are asked for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.conversations import MESSAGE
from workbench.exporters.lists import flat, lengths, nested
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import STEPS_ONLY, SupervisedOptions
from workbench.exporters.replies import KEY, joined_reply, split_reply
from workbench.exporters.sequences import broadcast, trained_advantage
from workbench.exporters.tables import read_parquet, write_parquet

FILE = "dataset.parquet"
IGNORED = -100
"""The label of a token that no loss is computed for."""

_CREDIT = [("weight", pa.float32()), ("reward", pa.float32())]
_TOKENS = [
    ("input_ids", pa.list_(pa.int32())),
    ("labels", pa.list_(pa.int32())),
    ("completion_mask", pa.list_(pa.int8())),
]
_TEXTS = [
    ("prompt", pa.list_(MESSAGE)),
    ("completion", pa.list_(MESSAGE)),
    ("tools", pa.string()),
]
_SCHEMAS = {
    True: pa.schema([*KEY, *_TOKENS, *_CREDIT]),
    False: pa.schema([*KEY, *_TEXTS, *_CREDIT]),
}


def write(batch: Batch, folder: Path) -> None:
    """Write `dataset.parquet`."""
    rows, token_level = batch.rows, batch.manifest.token_level
    binary = batch.manifest.options["weights"] == "binary"
    if token_level:
        size = lengths(rows["input_ids"])
        ids, trained = flat(rows["input_ids"]).to_numpy(), flat(rows["loss_mask"]).to_numpy() == 1
        rows = rows.with_columns(
            nested(np.where(trained, ids, IGNORED).astype(np.int32), size, "labels"),
            rows["loss_mask"].alias("completion_mask"),
            trained_advantage(rows).alias("weight"),
        )
    else:
        rows = split_reply(rows).drop("weight").rename({"advantage": "weight"})
    if binary:
        rows = rows.with_columns(pl.lit(1.0, dtype=pl.Float32).alias("weight"))
    write_parquet(rows, folder / FILE, _SCHEMAS[token_level])


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The rows again, the weight as the advantage of each trained token or of the last reply.

    Binary weights are no advantages.
    """
    path = folder / FILE
    rows = read_parquet(path, _SCHEMAS[manifest.token_level])
    rows = _of_tokens(rows, path) if manifest.token_level else _of_texts(rows)
    if manifest.options["weights"] != "binary":
        return rows
    values = "advantages" if manifest.token_level else "step_advantages"
    if not rows[values].list.max().eq(1).all():
        raise ArtefactError(f"{path}: a weight is not 1, though weights are binary")
    return rows.drop(values)


def _of_tokens(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    mask, ids = flat(rows["completion_mask"]).to_numpy() == 1, flat(rows["input_ids"]).to_numpy()
    if not np.array_equal(flat(rows["labels"]).to_numpy(), np.where(mask, ids, IGNORED)):
        raise ArtefactError(f"{path}: labels are not the ids where completion_mask is 1, else -100")
    credit = broadcast(rows["weight"], rows["completion_mask"])
    return (
        rows.drop("labels", "weight").rename({"completion_mask": "loss_mask"}).with_columns(credit)
    )


def _of_texts(rows: pl.DataFrame) -> pl.DataFrame:
    return joined_reply(rows.rename({"weight": "advantage"}))


register(
    Exporter(
        name="datasets",
        description="Parquet of steps with A > 0 and their weights, for supervised training.",
        layout=Layout(
            format="workbench-dataset",
            trainer="datasets",
            turn_off="nothing: a loss of its own (-weight · log-probability) normalises nothing",
            unit="step",
            contents="either",
        ),
        write=write,
        read=read,
        dataset=FILE,
        packed=("prompt", "completion"),
        appends=True,
        units=STEPS_ONLY,
        options_type=SupervisedOptions,
    )
)
