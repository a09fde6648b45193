"""Plain Hugging Face `datasets`: rejection sampling by A > 0, and one weight a sample.

Token ids give `input_ids`, `labels` (-100 where nothing is trained) and `completion_mask`, as
supervised trainers take them; messages give `prompt` and `completion`. Each row is one step, so
that its credit is one number, `weight`. A supervised trainer that knows no weights trains on every
row alike: therefore only steps with an advantage above 0 are trained unless the user asks for all.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from workbench.exporters.options import STEPS_ONLY, Options
from workbench.exporters.sequences import broadcast, trained_advantage
from workbench.exporters.tables import read_parquet, write_parquet
from workbench.parameters import parameter

FILE = "dataset.parquet"
IGNORED = -100
"""The label of a token that no loss is computed for."""

_IDS = [("group_id", pa.string()), ("trajectory_id", pa.string()), ("step_index", pa.int32())]
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
    True: pa.schema([*_IDS, *_TOKENS, *_CREDIT]),
    False: pa.schema([*_IDS, *_TEXTS, *_CREDIT]),
}


@dataclass(frozen=True, kw_only=True)
class SupervisedOptions(Options):
    """Options with the default that suits supervised training.

    Args:
        positive_only: Train only steps with an advantage above 0.
    """

    positive_only: bool = parameter(default=True, help="train only steps with an advantage above 0")


def write(batch: Batch, folder: Path) -> None:
    """Writes `dataset.parquet`."""
    rows, token_level = batch.rows, batch.manifest.token_level
    if token_level:
        size = lengths(rows["input_ids"])
        ids, trained = flat(rows["input_ids"]).to_numpy(), flat(rows["loss_mask"]).to_numpy() == 1
        rows = rows.with_columns(
            nested(np.where(trained, ids, IGNORED).astype(np.int32), size, "labels"),
            rows["loss_mask"].alias("completion_mask"),
            trained_advantage(rows).alias("weight"),
        )
    else:
        count = pl.col("messages").list.len() - 1
        rows = rows.with_columns(
            pl.col("messages").list.head(count).alias("prompt"),
            pl.col("messages").list.tail(1).alias("completion"),
            pl.col("step_advantages").list.last().alias("weight"),
        )
    write_parquet(rows, folder / FILE, _SCHEMAS[token_level])


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The rows again, the weight as the advantage of each trained token or of the last reply."""
    path = folder / FILE
    rows = read_parquet(path, _SCHEMAS[manifest.token_level])
    return _of_tokens(rows, path) if manifest.token_level else _of_texts(rows)


def _of_tokens(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    mask, ids = flat(rows["completion_mask"]).to_numpy() == 1, flat(rows["input_ids"]).to_numpy()
    if not np.array_equal(flat(rows["labels"]).to_numpy(), np.where(mask, ids, IGNORED)):
        raise ArtefactError(f"{path}: labels are not the ids where completion_mask is 1, else -100")
    credit = broadcast(rows["weight"], rows["completion_mask"])
    return (
        rows.drop("labels", "weight").rename({"completion_mask": "loss_mask"}).with_columns(credit)
    )


def _of_texts(rows: pl.DataFrame) -> pl.DataFrame:
    messages = pl.concat_list("prompt", "completion")
    role = pl.element().struct.field("role")
    before = messages.list.eval(role == "assistant").list.sum() - 1
    zero, one = pl.lit(0.0, dtype=pl.Float32), pl.lit(1, dtype=pl.Int8)
    return rows.select(
        *(name for name, _ in _IDS),
        "reward",
        messages.alias("messages"),
        "tools",
        pl.concat_list(zero.repeat_by(before), "weight").alias("step_advantages"),
        pl.concat_list(pl.lit(0, dtype=pl.Int8).repeat_by(before), one).alias("step_mask"),
    )


register(
    Exporter(
        name="datasets",
        description="Parquet of steps with A > 0 and their weights, for supervised training.",
        layout=Layout(
            format="workbench-dataset",
            trainer="datasets",
            turn_off="nothing: a loss of its own (-weight · log-probability) normalises nothing",
            unit="step",
            tokens=False,
        ),
        write=write,
        read=read,
        units=STEPS_ONLY,
        options_type=SupervisedOptions,
    )
)
