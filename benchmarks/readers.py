"""Time and peak memory of importing a large file.

`python benchmarks/readers.py [GIGABYTES] [FORMAT]` writes a file of that size (5 by default) in one
of three formats, imports it in a process of its own, and reports. `chat` has a conversation of
about 16 turns of about 1.5 KB a line, in texts of random words; `steps` and `parquet` have the same
as one row per step. The file and the log are removed again.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROLLOUTS = 8
GIGABYTE = 10**9


def conversations() -> Iterator[dict[str, Any]]:
    """Rollouts without an end, groups of eight, with a reward of 0 or 1."""
    drawn = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(drawn.choice(letters, drawn.integers(2, 9))) for _ in range(20_000)]

    def texts(count: int) -> list[str]:
        chosen = drawn.integers(0, len(words), (5_000, count))
        return [" ".join(words[at] for at in row) for row in chosen]

    observations, actions = texts(200), texts(40)
    number = 0
    while True:
        messages = [{"role": "system", "content": observations[0]}]
        for observation, action in drawn.integers(0, 5_000, (drawn.integers(8, 25), 2)):
            messages.append({"role": "user", "content": observations[observation]})
            messages.append({"role": "assistant", "content": actions[action]})
        yield {
            "messages": messages,
            "task_id": f"task-{number // ROLLOUTS}",
            "rollout": number % ROLLOUTS,
            "reward": float(drawn.integers(0, 2)),
        }
        number += 1


def steps(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation as one row per step."""
    spoken = record["messages"][1:]
    last = len(spoken) // 2 - 1
    return [
        {
            "group_id": record["task_id"],
            "trajectory_id": f"{record['task_id']}/{record['rollout']}",
            "step_index": at,
            "observation": spoken[2 * at]["content"],
            "action": spoken[2 * at + 1]["content"],
            "reward": record["reward"] if at == last else 0.0,
        }
        for at in range(last + 1)
    ]


def write(path: Path, form: str, size: int) -> None:
    """Writes a file of at least so many bytes."""
    if form == "parquet":
        write_parquet(path, size)
        return
    with path.open("w", encoding="utf-8") as file:
        for record in conversations():
            for row in [record] if form == "chat" else steps(record):
                file.write(json.dumps(row) + "\n")
            if file.tell() >= size:
                return


def write_parquet(path: Path, size: int) -> None:
    """The same as Parquet; the size is that of the texts in it."""
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    rows: list[dict[str, Any]] = []
    written = 0
    for record in conversations():
        rows += steps(record)
        if len(rows) >= 20_000:
            table = pl.DataFrame(rows).to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            written += table.nbytes
            rows = []
            if written >= size:
                writer.close()
                return


def imported(path: str, output: str, results: Any) -> None:
    """Imports a file; puts rows, seconds, seconds of processor and most bytes into a queue."""
    from workbench.readers import import_to

    before = time.perf_counter()
    report = import_to(Path(output), [path])
    seconds = time.perf_counter() - before
    used = resource.getrusage(resource.RUSAGE_SELF)
    busy = used.ru_utime + used.ru_stime
    results.put((report.rows, report.trajectories, seconds, busy, used.ru_maxrss * 1024))


def main() -> None:
    """Writes, imports, reports."""
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    form = sys.argv[2] if len(sys.argv) > 2 else "chat"
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder) / f"in.{form}", Path(folder) / "log.parquet"
        before = time.perf_counter()
        write(path, form, int(size * GIGABYTE))
        made = time.perf_counter() - before
        spawn = multiprocessing.get_context("spawn")
        results = spawn.Queue()
        process = spawn.Process(target=imported, args=(str(path), str(output), results))
        process.start()
        rows, trajectories, seconds, busy, peak = results.get()
        process.join()
        read, wrote = path.stat().st_size, output.stat().st_size
    print(f"{form}, {read / GIGABYTE:.2f} GB, made in {made:.0f} s")
    print(f"{rows:,} steps of {trajectories:,} trajectories, {wrote / GIGABYTE:.2f} GB as a log")
    rate = read / busy / 1e6
    print(f"{seconds:.0f} s, of which the processor was busy {busy:.0f} ({rate:.0f} MB/s)")
    print(f"at most {peak / GIGABYTE:.2f} GB of memory")


if __name__ == "__main__":
    main()
