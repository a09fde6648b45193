"""Export of a large log with token ids, whole and part by part: time, memory, the same bytes.

    python benchmarks/export.py [--steps 1000000] [--to weighted-batch trl] [--folder DIR]
        [--engines whole jobs-1 jobs-2]

Groups of 8 rollouts of 10 steps, of which each prompt holds all before it: 100 to 820 token ids and
20 of a reply, with log-probabilities. The log is written as a workspace keeps it and scored by
grpo, then `workbench export` is run on it. The floor reads and writes the same Parquet file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from parts import ENGINES, FLOOR, run

import workbench
from workbench.exporters.lists import nested, ranges
from workbench.files import file_digest
from workbench.log.schema import validate
from workbench.workspace.artefacts import Artefacts

STEPS, ROLLOUTS = 10, 8
OBSERVED, REPLIED, OPENING = 60, 20, 40
BLOCK = 20_000


def block(number: int, steps: int) -> pl.DataFrame:
    """A valid log of whole groups."""
    rng = np.random.default_rng(number)
    row = np.arange(steps)
    trajectory, index = row // STEPS, row % STEPS
    rollouts = int(trajectory[-1]) + 1
    turn = OBSERVED + REPLIED
    width = OPENING + STEPS * turn
    ids = rng.integers(0, 150_000, rollouts * width).astype(np.int32)
    start = trajectory * width
    end = start + OPENING + index * turn + OBSERVED
    won = rng.random(rollouts) < 0.5
    lists = {
        "prompt_ids": nested(ids[ranges(start, end)], end - start, "prompt_ids"),
        "response_ids": nested(ids[ranges(end, end + REPLIED)], 0 * end + REPLIED, "response_ids"),
        "response_logprobs": nested(
            -rng.random(steps * REPLIED).astype(np.float32), 0 * end + REPLIED, "logprobs"
        ),
    }
    log = pl.DataFrame(
        {
            "group_id": [f"{number:05}/{one:05}" for one in trajectory // ROLLOUTS],
            "trajectory_id": [f"{number:05}/{one:05}" for one in trajectory],
            "step_index": index.astype(np.int32),
            "observation": [f"room {one % 100}" for one in rng.integers(0, 10_000, steps)],
            "action": [f"go {one}" for one in rng.integers(0, 8, steps)],
            "reward": ((index == STEPS - 1) & won[trajectory]).astype(np.float64),
            **lists,
        }
    )
    return validate(log).log


def written(steps: int, path: Path) -> None:
    """A log in canonical order, written block by block."""
    writer = None
    for number in range(-(-steps // BLOCK)):
        rows = block(number, min(BLOCK, steps - number * BLOCK))
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()


def main() -> None:
    """Prints a row for each target and engine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--to", nargs="+", default=["weighted-batch", "trl"])
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=["jobs-1"])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        source, credit = folder / "log.parquet", folder / "credit.parquet"
        written(asked.steps, source)
        log = Artefacts(folder / "workspace").log([source]).path
        source.unlink()
        workbench.score_to(credit, [log], "grpo")
        size = log.stat().st_size / 1e6
        print(f"{asked.steps:,} steps, {size:,.0f} MB as Parquet, {os.cpu_count()} cores")
        print(f"{'':14} {'':7} {'wall':>8} {'cpu':>8} {'GB':>6} {'/ floor':>8}  files")
        floor = run([sys.executable, "-c", FLOOR, str(log), str(folder / "copy.parquet")])
        (folder / "copy.parquet").unlink()
        for target in asked.to:
            for engine in asked.engines:
                place = folder / "batch"
                words = ["export", log, "--credit", credit, "--to", target, "-o", place]
                code = "from workbench.cli import main; main()"
                cost = run([sys.executable, "-c", code, *map(str, words), *ENGINES[engine]])
                digest = file_digest(*sorted(place.iterdir()))[:12]
                shutil.rmtree(place)
                print(
                    f"{target:14} {engine:7} {cost.wall:7.1f}s {cost.cpu:7.1f}s "
                    f"{cost.memory / 1e9:6.2f} {cost.cpu / floor.cpu:7.1f}×  {digest}",
                    flush=True,
                )
        print(f"{'floor':14} {'':7} {floor.wall:7.1f}s {floor.cpu:7.1f}s {floor.memory / 1e9:6.2f}")


if __name__ == "__main__":
    main()
