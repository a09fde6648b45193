"""Every temperature at once against one after the other, and what a move of the slider costs.

`python benchmarks/tuning.py`: synthetic logs of 10,000 and 100,000 steps, groups of 8 rollouts of
about 20 steps whose states repeat about as often as those of the bundled household log. Ratios
are what counts; seconds are of this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from workbench.analysis.tuning.held_out import held_out
from workbench.analysis.tuning.temperature import Trial, sign_flips, sweep
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.proximity import peer_statistics, proximity_baselines
from workbench.states.space import Space
from workbench.states.temperatures import STOPS

ROLLOUTS, LENGTH, STATES, WIDTH = 8, 20, 90, 32


class RandomVectors:
    """An embedder that draws a unit vector a text."""

    key = "random"
    counts_copies = False

    def encode(self, texts: Any, counts: Any, start: Any, progress: Any) -> Any:
        """One row per text. (U, WIDTH)."""
        drawn = np.random.default_rng(0).normal(size=(len(texts), WIDTH))
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def synthetic(steps: int) -> pl.DataFrame:
    """A log of about so many steps with one reward at the end of a rollout."""
    drawn = np.random.default_rng(1)
    trajectory = np.repeat(np.arange(steps // LENGTH), LENGTH)
    index = np.tile(np.arange(LENGTH), steps // LENGTH)
    group = trajectory // ROLLOUTS
    state = drawn.integers(0, STATES, len(trajectory))
    success = drawn.integers(0, 2, steps // LENGTH)[trajectory]
    frame = pl.DataFrame(
        {
            "group_id": group.astype(str),
            "trajectory_id": trajectory.astype(str),
            "step_index": index.astype(np.int32),
            "observation": np.char.add(np.char.add(group.astype(str), "/"), state.astype(str)),
            "action": "go",
            "reward": np.where(index == LENGTH - 1, success, 0).astype(np.float64),
        }
    )
    return validate(frame).log


def seconds(action: Callable[[], object], repeats: int = 3) -> float:
    """Least time of a few runs."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def measured(steps: int) -> dict[str, tuple[float, float]]:
    """Seconds one by one and at once, by measurement."""
    found = Steps.from_log(synthetic(steps))
    space, method = Space(found, embedder=RandomVectors()), ProxMO()
    similarity, weight = space.similarity(), np.ones(len(found))
    credit = method(found, space)
    score = credit.terms["step"].score
    common = (similarity, found, score, weight)
    held: Any = {"peers": "other_trajectories"}
    alone = seconds(
        lambda: [proximity_baselines(*common, temperatures=[stop], **held) for stop in STOPS[:8]]
    )
    together = seconds(lambda: proximity_baselines(*common, temperatures=STOPS, **held), 1)
    how: Any = {"peers": "all"}
    statistics = (similarity, found, weight)
    each = seconds(
        lambda: [peer_statistics(*statistics, temperatures=[stop], **how) for stop in STOPS[:8]]
    )
    chain = seconds(lambda: peer_statistics(*statistics, temperatures=STOPS[::8], **how))
    whole = seconds(lambda: sweep(method, credit, space, STOPS), 1)
    trial = Trial(credit, sweep(method, credit, space, STOPS))
    pinned = trial.advantage(0.1)
    trial.histogram(pinned)

    def move() -> None:
        advantage = trial.advantage(0.2)
        trial.histogram(advantage)
        sign_flips(advantage, pinned)

    return {
        "baselines at 80 τ": (len(STOPS) / 8 * alone, together),
        "peer statistics at 10 τ": (10 / 8 * each, chain),
        "held-out error at 80 τ": (
            len(STOPS) / 8 * alone,
            seconds(lambda: held_out(method, credit, space), 1),
        ),
        "credit after a move of τ": (
            seconds(lambda: ProxMO(temperature=0.2)(found, space)),
            seconds(move),
        ),
        "whole sweep of the page": (len(STOPS) / 8 * (alone + each), whole),
    }


def main() -> None:
    """Prints the table."""
    print("| | steps | one by one, s | at once, s | ratio |\n|---|---|---|---|---|")
    for steps in (10_000, 100_000):
        for name, (before, after) in measured(steps).items():
            print(f"| {name} | {steps:,} | {before:.3f} | {after:.4f} | {before / after:.1f} |")


if __name__ == "__main__":
    main()
