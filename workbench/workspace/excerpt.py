"""The first groups of a log that is too large to be looked at as a whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from workbench.files import MANIFEST
from workbench.workspace.artefacts import LOG_FILE, REPORT_FILE, StoredLog
from workbench.workspace.partitions import bytes_per_row
from workbench.workspace.store import Workspace

STEPS = 1_000_000
"""Steps that are looked at, unless the first group alone has more."""

BYTES = 2**30
"""Bytes of them, unpacked."""


def excerpt(
    log: StoredLog, root: Path, *, steps: int = STEPS, bytes_at_most: int = BYTES
) -> StoredLog:
    """The first groups of a log, as a log of its own; the log itself where it is small enough.

    Args:
        log: The log.
        root: The workspace in which the excerpt is kept.
        steps: Steps at most, unless the first group alone has more.
        bytes_at_most: Bytes of them at most, unpacked; likewise.

    Returns:
        A log whose report has one more key, `excerpt`: its steps and groups, and those there are.
    """
    rows = pq.read_metadata(log.path).num_rows
    most = min(steps, max(1, bytes_at_most // bytes_per_row(log.path)))
    if rows <= most or "excerpt" in log.report:
        return log
    inputs = json.loads((log.folder / MANIFEST).read_text(encoding="utf-8"))["inputs"]

    def build(folder: Path) -> None:
        ids = pl.scan_parquet(log.path, glob=False).select("group_id").collect()["group_id"]
        number = ids.rle_id().to_numpy()
        last = max(1, int(number[most]))  # the group that would be cut, unless it is the first
        count = int(np.searchsorted(number, last))
        _write_head(log.path, folder / LOG_FILE, count)
        whole = {"steps": rows, "groups": int(number[-1]) + 1}
        report: dict[str, Any] = log.report | {
            "excerpt": {"steps": count, "groups": last, "of": whole}
        }
        text = json.dumps(report, indent=1, ensure_ascii=False)
        (folder / REPORT_FILE).write_text(text, encoding="utf-8")
        if log.quarantined is not None:
            shutil.copyfile(log.quarantined, folder / log.quarantined.name)

    made_from = {**inputs, "excerpt_of": log.sha256, "steps": most}
    folder, _ = Workspace(root).artefact("log", "", made_from, build)
    return StoredLog(folder)


def _write_head(source: Path, target: Path, rows: int) -> None:
    """The first rows of a Parquet file, a piece at a time."""
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in file.iter_batches(batch_size=2**16):
                writer.write_batch(batch.slice(0, rows))
                rows -= batch.num_rows
                if rows <= 0:
                    return
