"""Steps with a label, for Kahneman-Tversky optimisation: true where the advantage is above 0.

An object per step: `prompt`, `completion` and `label`, and its `advantage`, which the loss does not
read. A step whose advantage is 0 has no label and is context only.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import STEPS_ONLY, Options
from workbench.exporters.replies import (
    KEY,
    dictionaries,
    frame_of,
    joined_reply,
    read_objects,
    single,
    split_reply,
    without_prompt,
    write_objects,
)
from workbench.exporters.selection import without

FILE = "kto.jsonl"

_COLUMNS = [*KEY, ("label", pa.bool_()), ("advantage", pa.float32()), ("tools", pa.string())]


def labelled(steps: pl.DataFrame, options: Options) -> pl.DataFrame:
    """The steps of which those without a prompt or an advantage are not trained."""
    del options
    steps = without_prompt(steps)
    return without(steps, pl.col("gradient_mask") & (pl.col("advantage") == 0), "no_label")


def write(batch: Batch, folder: Path) -> None:
    """Write `kto.jsonl`."""
    rows = split_reply(batch.rows).with_columns((pl.col("advantage") > 0).alias("label"))
    ids = [name for name, _ in KEY]
    rows = rows.select("prompt", "completion", "label", "tools", "advantage", *ids)
    write_objects(
        (
            {**row, "advantage": single(row["advantage"])}
            for row in dictionaries(rows, "prompt", "completion")
        ),
        folder / FILE,
    )


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The rows again.

    Raises:
        ArtefactError: A label is not the sign of the advantage.
    """
    del manifest
    path = folder / FILE
    rows = frame_of(read_objects(path), _COLUMNS, path, "prompt", "completion")
    wrong = (rows["label"] != (rows["advantage"] > 0)).arg_true()
    if wrong.len():
        raise ArtefactError(f"{path} line {wrong[0] + 1}: label is not the advantage's sign")
    return joined_reply(rows.drop("label"))


register(
    Exporter(
        name="kto",
        description="JSON lines of steps with a label, A > 0, for TRL's KTOTrainer.",
        layout=Layout(
            format="workbench-kto",
            trainer="TRL KTOTrainer",
            turn_off=(
                "nothing: the loss takes the label alone; balance desirable_weight and "
                "undesirable_weight by the counts of both"
            ),
            unit="step",
            contents="texts",
            set_aside=labelled,
        ),
        write=write,
        read=read,
        dataset=FILE,
        appends=True,
        units=STEPS_ONLY,
    )
)
