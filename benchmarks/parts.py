"""Scoring in parts: larger logs, more processes, less memory; and the same credit.

    python benchmarks/parts.py [--steps 1000000 …] [--method proxmo] [--embedder tfidf]
        [--engines whole one-core jobs-1 jobs-2 ray-2] [--folder DIR]

A log of that many steps is written as a workspace keeps it, then `workbench score` is run on it
under each engine, of which `one-core` has one thread: seconds on the clock, processor seconds of
all its processes, the largest sum of their memory (shared pages counted once each), and the digest
of the credit, which must be one. The floor reads and writes the same Parquet file. Figures are
ratios to the first engine and of processor seconds to the floor. Of several sizes the growth
exponents are printed.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from speed import log_of

from workbench.log.schema import validate
from workbench.workspace.artefacts import Artefacts

BLOCK = 200_000
ENGINES = {
    "whole": (),
    "one-core": ("--jobs", "1"),
    "jobs-1": ("--jobs", "1"),
    "jobs-2": ("--jobs", "2"),
    "ray-2": ("--engine", "ray", "--jobs", "2"),
}
ONE_CORE = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
FLOOR = (
    "import sys, polars as pl; pl.scan_parquet(sys.argv[1])"
    ".sink_parquet(sys.argv[2], compression='zstd')"
)


@dataclass(frozen=True)
class Cost:
    """Cost of a command.

    Args:
        wall: Seconds on the clock.
        cpu: Processor seconds of all its processes.
        memory: Largest sum of the proportional memory of its processes, in bytes.
    """

    wall: float
    cpu: float
    memory: int


def written(steps: int, path: Path) -> None:
    """A valid log in canonical order: copies of one block, each with its own groups."""
    block = validate(log_of(min(steps, BLOCK))).log
    writer = None
    for number in range(-(-steps // BLOCK)):
        prefix = pl.lit(f"{number:05}/")
        rows = block.head(steps - number * BLOCK).with_columns(
            (prefix + pl.col("group_id")).alias("group_id"),
            (prefix + pl.col("trajectory_id")).alias("trajectory_id"),
        )
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=2**16)
    assert writer is not None
    writer.close()


def _tree(parent: int) -> list[int]:
    found = [parent]
    for process in found:
        try:
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _memory(processes: list[int]) -> int:
    total = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def run(command: list[str], environment: Mapping[str, str] = {}) -> Cost:
    """Runs a command and watches it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    largest, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.5):  # a look stops the process that is looked at
            largest[0] = max(largest[0], _memory(_tree(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        sys.exit(errors)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - start, cpu, largest[0])


def measured(steps: int, asked: argparse.Namespace, folder: Path) -> dict[str, Cost]:
    """Prints a row an engine for a log of so many steps."""
    source, credit = folder / "log.parquet", folder / "credit.parquet"
    written(steps, source)
    log = Artefacts(folder / "workspace").log([source]).path
    source.unlink()
    size = log.stat().st_size / 1e6
    print(f"{steps:,} steps, {size:,.0f} MB, {asked.method}, {os.cpu_count()} cores")
    print(f"{'':8} {'wall':>8} {'cpu':>8} {'GB':>6} {'wall':>7} {'GB':>6} {'/ floor':>8}  credit")
    floor = run([sys.executable, "-c", FLOOR, str(log), str(folder / "copy.parquet")])
    costs: dict[str, Cost] = {}
    for engine in asked.engines:
        words = ["score", log, "-m", asked.method, "--embedder", asked.embedder]
        words += ["--cache", folder / f"vectors-{engine}", "-o", credit, *ENGINES[engine]]
        code = "from workbench.cli import main; main()"
        threads = ONE_CORE if engine == "one-core" else {}
        cost = run([sys.executable, "-c", code, *map(str, words)], threads)
        costs[engine] = cost
        first = next(iter(costs.values()))
        digest = hashlib.sha256(credit.read_bytes()).hexdigest()[:12]
        print(
            f"{engine:8} {cost.wall:7.1f}s {cost.cpu:7.1f}s {cost.memory / 1e9:6.2f} "
            f"{cost.wall / first.wall:6.2f}× {cost.memory / first.memory:5.2f}× "
            f"{cost.cpu / floor.cpu:7.1f}×  {digest}",
            flush=True,
        )
    print(f"{'floor':8} {floor.wall:7.1f}s {floor.cpu:7.1f}s {floor.memory / 1e9:6.2f}", flush=True)
    return costs


def exponent(before: float, after: float, growth: float) -> float:
    """Slope of the logarithm of a cost over that of the steps."""
    return math.log(after / before) / math.log(growth)


def main() -> None:
    """Prints a row an engine, and how costs grow from each size to the next."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--method", default="proxmo")
    parser.add_argument("--embedder", default="tfidf")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=["whole", "jobs-2"])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    found: list[tuple[int, dict[str, Cost]]] = []
    for steps in sorted(asked.steps):
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            found.append((steps, measured(steps, asked, Path(folder))))
    for (few, before), (many, after) in pairwise(found):
        grown = [
            f"{engine} cpu {exponent(before[engine].cpu, after[engine].cpu, many / few):.2f} "
            f"memory {exponent(before[engine].memory, after[engine].memory, many / few):.2f}"
            for engine in asked.engines
        ]
        print(f"exponents from {few:,} to {many:,} steps: {'; '.join(grown)}")


if __name__ == "__main__":
    main()
