"""Time of each method, and its growth with the log.

    python benchmarks/methods.py [--steps 10000 100000 1000000] [--methods grpo proxmo …]
                                 [--dialects] [--repeat 3] [--limit 20]

Times are the best of some runs on a log that is read, with keys, trees and similarities there
already (TF-IDF): what a second method or another setting costs. Those are timed once a size, as
"reading" and "states". The exponent is the slope of log time over log steps between the two
largest sizes. A method that took longer than the limit is not tried at larger sizes.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import polars as pl

from workbench.errors import MissingInputError
from workbench.log.nodes import with_prefix_nodes
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import METHODS, create
from workbench.methods.variants import variants
from workbench.states.space import Space

ROLLOUTS, LENGTH, STATES = 8, 10, 21


def synthetic(steps: int) -> pl.DataFrame:
    """Groups of 8 rollouts of 10 steps, a quarter of a group's states distinct, every column."""
    rng = np.random.default_rng(0)
    row = pl.int_range(steps, eager=True)
    trajectory, index = row // LENGTH, row % LENGTH
    group = trajectory // ROLLOUTS
    won = pl.Series(rng.random(trajectory.max() + 1) < 0.5).gather(trajectory)
    state = pl.Series(rng.integers(0, STATES, steps))
    frame = pl.DataFrame(
        {
            "group": group,
            "trajectory": trajectory,
            "step_index": index.cast(pl.Int32),
            "state": state.zip_with(index > 0, pl.Series([0]).new_from_index(0, steps)),
            "choice": rng.integers(0, 3, steps),
            "reward": ((index == LENGTH - 1) & won).cast(pl.Float64),
            "response_tokens": rng.integers(1, 60, steps, dtype=np.int32),
            "turn_reward": rng.random(steps).round(2),
            "aux_reward_format": (trajectory % 5).cast(pl.Float64),
            "greedy_reward": np.ones(steps),
            "critic_value": rng.random(steps).round(2),
            "logged_advantage": rng.normal(size=steps),
        }
    )
    return frame.select(
        pl.format("task-{}", "group").alias("group_id"),
        pl.format("task-{}/rollout-{}", "group", "trajectory").alias("trajectory_id"),
        "step_index",
        pl.format(
            "You are at shelf {} of room {}. You see mug {} and lamp {}.",
            "state",
            pl.col("group") % 97,
            pl.col("state") * 7,
            pl.col("group"),
        ).alias("observation"),
        pl.format("take mug {}", "choice").alias("action"),
        pl.col("^(reward|response_tokens|turn_.*|aux_.*|greedy_.*|critic_.*|logged_.*)$"),
        pl.format("agent-{}", pl.col("step_index") % 2).alias("agent_id"),
        pl.format("role-{}", pl.col("step_index") % 3).alias("role"),
        (pl.col("step_index") // 3).alias("round"),
        pl.format("{}/{}", "group", pl.col("trajectory") % 2).alias("tree_id"),
        pl.concat_list("turn_reward", "critic_value").alias("replay_returns"),
        pl.when(pl.col("step_index") < LENGTH - 1)
        .then(pl.lit("You see a mug."))
        .otherwise(pl.lit("success"))
        .alias("next_observation"),
    )


def timed(run: Callable[[], object], repeat: int, limit: float) -> float:
    """Seconds of the best of some runs; one run where that takes long."""
    best = math.inf
    for _ in range(repeat):
        gc.collect()
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
        if best > limit / repeat:
            break
    return best


def opened(steps: int) -> Space:
    """A synthetic log with its tree, read and validated."""
    log = with_prefix_nodes(validate(synthetic(steps)).log)
    return Space(Steps.from_log(log), embedder="tfidf")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--dialects", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=float, default=20.0)
    asked = parser.parse_args()
    names = asked.methods or (variants() if asked.dialects else list(METHODS))
    seconds: dict[str, list[float | None]] = {
        name: [] for name in ("(reading)", "(states)", *names)
    }
    refused: dict[str, str] = {}
    for size in sorted(asked.steps):
        began = time.perf_counter()
        space = opened(size)
        seconds["(reading)"].append(time.perf_counter() - began)
        began = time.perf_counter()
        _ = space.similarity(), space.tree, space.state_key(), space.action_key()
        seconds["(states)"].append(time.perf_counter() - began)
        for name in names:
            before = seconds[name][-1] if seconds[name] else 0.0
            if before is None or before > asked.limit:
                seconds[name].append(None)
                continue
            made = create(name)
            try:
                made(space.steps, space)  # what it asks of the space is there from now on
            except MissingInputError as error:
                refused[name] = str(error).split(",")[0]
                seconds[name].append(None)
                continue
            spent = timed(partial(made, space.steps, space), asked.repeat, asked.limit)
            seconds[name].append(spent)
    report(sorted(asked.steps), seconds, refused)


def report(
    sizes: list[int], seconds: dict[str, list[float | None]], refused: dict[str, str]
) -> None:
    """One line per method."""
    wide = max(map(len, seconds))
    print(f"{'seconds at':{wide}}", *(f"{size:>10,}" for size in sizes), "  exponent")
    for name, times in seconds.items():
        cells = [f"{'–' if spent is None else f'{spent:.4f}':>10}" for spent in times]
        known = [(size, t) for size, t in zip(sizes, times, strict=True) if t]
        exponent = "–"
        if len(known) > 1:
            (small, before), (large, after) = known[-2:]
            exponent = f"{math.log(after / before) / math.log(large / small):.2f}"
        print(f"{name:{wide}}", *cells, f"{exponent:>10}", refused.get(name, ""))


if __name__ == "__main__":
    main()
