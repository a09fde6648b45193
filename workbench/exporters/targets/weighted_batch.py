"""The canonical weighted batch: one Parquet file that trainers and `datasets` can load.

A log with token ids gives rows of token ids, a log without gives conversations. `reward` is the
undiscounted sum of the trajectory's rewards in either unit. `weight` is a factor for the loss of
each token and is the same in all rows of a trajectory: a sum over tokens weighs a trajectory alike
whether it is one row or many, a mean over rows does not.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.batch import FILE, FORMAT, VERSION, check_batch, write_batch


def write(batch: Batch, folder: Path) -> None:
    """Writes `weighted_batch.parquet`."""
    write_batch(batch.rows, folder / FILE, token_level=batch.manifest.token_level)


WEIGHTED_BATCH = register(
    Exporter(
        name="weighted-batch",
        description=(
            "Parquet with one row a trajectory or step and its advantages, and a manifest; loads "
            "with Hugging Face datasets."
        ),
        layout=Layout(format=FORMAT, version=VERSION, tokens=False, trained_only=False),
        write=write,
        read=check_batch,
    )
)


def read_batch(directory: Path) -> pl.DataFrame:
    """The rows of a weighted batch, after checking digests and every rule of the format.

    Raises:
        ArtefactError: A file is damaged or missing, or a rule is broken, with file and row.
    """
    return WEIGHTED_BATCH.load(directory)
