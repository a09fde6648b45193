"""From a Parquet log to its credits and back, against the same sums over all pairs of steps.

    export POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1
    python benchmarks/speed.py [--steps 10000 100000 1000000] [--pairs 12800]

Ours reads a log, validates it, makes TF-IDF vectors, scores grpo, gigpo and proxmo and writes their
advantages. The opponent is a plain restatement of what released code does: one TF-IDF of
scikit-learn over the batch, similarities and returns of all N × N pairs of steps, groups by a mask.
The floor reads and writes the same file. Figures are processor seconds; the exponent is the slope
of log time over log steps between the two largest sizes.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from workbench.log.steps import Steps
from workbench.methods import create
from workbench.readers import import_log
from workbench.states.space import Space

STATES, LENGTH, ROLLOUTS = 21, 10, 8
METHODS = ("grpo", "gigpo", "proxmo")
WORDS = 60  # of an observation, some 365 characters
GAMMA, TEMPERATURE = 0.95, 0.1


def log_of(steps: int) -> pl.DataFrame:
    """Groups of 8 rollouts of 10 steps; a quarter of a group's states are distinct."""
    rng = np.random.default_rng(0)
    row = np.arange(steps)
    trajectory, index = row // LENGTH, row % LENGTH
    group = trajectory // ROLLOUTS
    state = np.where(index > 0, rng.integers(0, STATES, steps), 0)
    won = rng.random(int(trajectory[-1]) + 1) < 0.5
    words = np.array([f"thing{number}" for number in range(3000)])
    distinct, at = np.unique(group * STATES + state, return_inverse=True)
    texts = [
        " ".join(words[np.random.default_rng(key).integers(0, 3000, WORDS)]) for key in distinct
    ]
    return pl.DataFrame(
        {
            "group_id": [f"task-{one}" for one in group],
            "trajectory_id": [f"rollout-{one}" for one in trajectory],
            "step_index": index.astype(np.int32),
            "observation": pl.Series(texts).gather(at),
            "action": [f"take {one}" for one in rng.integers(0, 3, steps)],
            "reward": ((index == LENGTH - 1) & won[trajectory]).astype(np.float64),
        }
    )


def ours(source: Path, target: Path) -> None:
    """Reads, scores, writes."""
    steps = Steps.from_log(import_log([source]).validated.log)
    space = Space(steps, embedder="tfidf")
    credits = {name: create(name)(steps, space).advantage for name in METHODS}
    pl.DataFrame(credits).write_parquet(target)


def pairs(source: Path, target: Path) -> None:
    """The same three credits over all pairs of steps."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    log = pl.read_parquet(source)
    group = log["group_id"].rank("dense").to_numpy()
    trajectory = log["trajectory_id"].rank("dense").to_numpy()
    step, reward = log["step_index"].to_numpy(), log["reward"].to_numpy()
    same_rollout = trajectory[:, None] == trajectory[None, :]
    ahead = step[None, :] - step[:, None]
    discount = np.where(same_rollout & (ahead >= 0), GAMMA ** np.maximum(ahead, 0), 0.0)
    returns = discount @ reward
    total = same_rollout @ reward
    first = step == 0
    episode = np.zeros(len(log))
    for one in np.unique(group):
        scores = total[first & (group == one)]
        here = group == one
        episode[here] = (total[here] - scores.mean()) / (scores.std(ddof=1) + 1e-6)
    anchored = np.zeros(len(log))
    states: dict[tuple[int, str], list[int]] = {}
    for at, key in enumerate(zip(group.tolist(), log["observation"].to_list(), strict=True)):
        states.setdefault(key, []).append(at)
    for members in states.values():
        anchored[members] = returns[members] - returns[members].mean()
    vectors = TfidfVectorizer(max_features=1024).fit_transform(log["observation"].to_list())
    near = (vectors @ vectors.T).toarray()
    near[group[:, None] != group[None, :]] = -np.inf
    weights = np.exp((near - near.max(axis=1, keepdims=True)) / TEMPERATURE)
    weights /= weights.sum(axis=1, keepdims=True)
    proximity = returns - weights @ returns
    credits = {
        "grpo": episode,
        "gigpo": episode + anchored,
        "proxmo": episode + proximity,
    }
    pl.DataFrame(credits).write_parquet(target)


def floor(source: Path, target: Path) -> None:
    """Reads the file and writes it again."""
    pl.read_parquet(source).write_parquet(target)


def seconds(run: Callable[[Path, Path], None], source: Path, times: int) -> float:
    """Seconds of one core, the best of some runs."""
    best = math.inf
    for _ in range(times):
        began = time.process_time()
        run(source, source.with_name("out.parquet"))
        best = min(best, time.process_time() - began)
    return best


def new_temperature(source: Path) -> tuple[float, float]:
    """Seconds of proxmo at another τ, and of one read of the similarities that it takes."""
    steps = Steps.from_log(import_log([source]).validated.log)
    space = Space(steps, embedder="tfidf")
    create("proxmo")(steps, space)
    similarity = space.similarity()
    again = partial(create("proxmo", {"temperature": 0.07}), steps, space)
    best = [math.inf, math.inf]
    entries = similarity.entries(np.arange(len(similarity.states.text)))
    for _ in range(5):
        for at, run in enumerate((again, entries.sum)):
            began = time.process_time()
            run()
            best[at] = min(best[at], time.process_time() - began)
    return best[0], best[1]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--pairs", type=int, default=12_800)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "log.parquet"
        log_of(800).write_parquet(source)
        seconds(ours, source, 1)  # imports
        known = []
        print(
            f"{'steps':>10} {'ours':>9} {'floor':>9} {'ours/floor':>10} {'new τ':>9} {'/ read':>7}"
        )
        for size in sorted(asked.steps):
            log_of(size).write_parquet(source)
            times = 3 if size <= 100_000 else 1
            own, least = seconds(ours, source, times), seconds(floor, source, times)
            known.append((size, own))
            again, read = new_temperature(source)
            print(
                f"{size:>10,} {own:>9.3f} {least:>9.3f} {own / least:>10.1f} {again:>9.4f} "
                f"{again / read:>7.1f}"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"memory {peak:,.0f} MB at the largest")
        if len(known) > 1:
            (small, before), (large, after) = known[-2:]
            print(f"exponent {math.log(after / before) / math.log(large / small):.2f}")
        if asked.pairs:
            log_of(asked.pairs).write_parquet(source)
            own, dense = seconds(ours, source, 3), seconds(pairs, source, 1)
            times = f"{dense / own:.0f} times ours ({own:.3f} s)"
            print(f"{asked.pairs:,} steps by all pairs: {dense:.2f} s, {times}")


if __name__ == "__main__":
    sys.exit(main())
