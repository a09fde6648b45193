"""Very long rollouts and very large groups under every method: finite, or refused by name.

    python benchmarks/extremes.py [--steps 1000000] [--rollouts 20000] [--methods …] [--out FILE]

Three logs: one group of two rollouts with so many steps in all, one group of so many rollouts of
two steps, and the same rollouts in groups of two. States and actions repeat, texts are few, a tenth
of the actions are invalid, and all optional columns are there. Each method scores each log in a
process of its own with 8 GB of memory and ten minutes of a processor. Printed and stored are its
seconds, its largest memory, and the outcome: "finite", "refused" with the message, or a fault,
which is any other exception, a credit that is not finite, or a process that ended. Exit status 1
where there is a fault.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.errors import WorkbenchError
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import METHODS, create
from workbench.states.space import Space

MEMORY, SECONDS = 8 * 2**30, 600
TEXTS = 12


def log(groups: int, rollouts: int, length: int) -> pl.DataFrame:
    """Rollouts of one length with columns for every method."""
    rng = np.random.default_rng(0)
    count = groups * rollouts * length
    step = pl.int_range(pl.len()) % length
    one = pl.int_range(pl.len()) // length
    last = step == length - 1
    state = pl.Series(rng.integers(TEXTS, size=count))
    tokens = rng.integers(1, 4, size=count)
    frame = pl.DataFrame(
        {
            "state": state,
            "act": rng.integers(4, size=count),
            "won": rng.random(count) < 0.5,
            "valid_action": rng.random(count) < 0.9,
            "response_tokens": tokens.astype(np.int32),
            "critic_value": rng.random(count),
            "new_subgoal": rng.random(count) < 0.4,
        }
    )
    frame = frame.with_columns(
        group_id=pl.format("g{}", one // rollouts),
        trajectory_id=pl.format("t{}", one),
        step_index=step.cast(pl.Int32),
        observation=pl.format("room {}", "state"),
        action=pl.format("do {}", "act"),
        reward=(last & pl.col("won")).cast(pl.Float64),
    )
    followed = pl.when(last).then(pl.lit("the end")).otherwise(pl.col("observation").shift(-1))
    return frame.with_columns(
        next_observation=followed.fill_null("the end"),
        greedy_reward=pl.lit(0.5),
        aux_reward_style=(one % 5) / 4,
        agent_id=pl.format("agent {}", step % 2),
        role=pl.when(step % 2 == 0).then(pl.lit("plan")).otherwise(pl.lit("act")),
        round=(step // 2).cast(pl.Int32),
        tree_id=pl.format("{}/{}", "group_id", one % rollouts // 4),
        node_id=pl.format("{}:{}", "trajectory_id", "step_index"),
        replay_returns=pl.concat_list("critic_value", pl.col("critic_value") / 2),
        turn_reward=pl.when(pl.col("act") == 0).then("critic_value"),
        logged_advantage=pl.col("critic_value") - 0.5,
        critic_value_low=pl.col("critic_value") / 3,
        critic_value_high=pl.col("critic_value") / 2,
        critic_value_switch=pl.col("critic_value") / 4,
        critic_value_action=pl.col("critic_value") / 5,
        prompt_ids=pl.concat_list(pl.lit(1), pl.lit(2)),
        response_ids=pl.int_ranges(0, pl.col("response_tokens").cast(pl.Int64)),
    ).drop("state", "act", "won")


def score(name: str, path: str, answer: Any) -> None:
    """Scores a log under a method in this process; the outcome goes into the queue."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    began = time.process_time()
    said, found = "", "fault"
    try:
        space = Space(Steps.from_log(pl.read_parquet(path)), embedder="tfidf")
        advantage = create(name)(space.steps, space).advantage
        found = "finite" if np.isfinite(advantage).all() else "fault"
        said = "" if found == "finite" else "not finite"
    except WorkbenchError as error:
        found, said = "refused", str(error)[:300]
    except Exception as error:  # noqa: BLE001
        said = f"{type(error).__name__}: {error}"[:300]
    answer.put(
        {
            "outcome": found,
            "said": said,
            "seconds": round(time.process_time() - began, 2),
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    )


def main() -> int:
    """Scores the logs, prints and stores what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [name for one in METHODS.values() for name in (one.name, *_dialects(one.name))]
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--rollouts", type=int, default=20_000)
    parser.add_argument("--methods", nargs="*", default=names, choices=names)
    parser.add_argument("--folder", type=Path, default=Path("build/extremes"), help="for the logs")
    parser.add_argument("--out", type=Path, help="where results go, one JSON object a line")
    asked = parser.parse_args()
    shapes = {
        "long rollouts": (1, 2, asked.steps // 2),
        "one large group": (1, asked.rollouts, 2),
        "many groups": (asked.rollouts // 2, 2, 2),
    }
    asked.folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numpy", "polars", "scipy", "sklearn", "torch"])
    faults = 0
    for shape, sizes in shapes.items():
        path = asked.folder / f"{'-'.join(map(str, sizes))}.parquet"
        if not path.exists():
            validate(log(*sizes)).log.write_parquet(path)
        for name in asked.methods:
            answer = context.SimpleQueue()
            process = context.Process(target=score, args=(name, str(path), answer))
            process.start()
            process.join()
            ended = {"outcome": "fault", "said": f"ended with {process.exitcode}"}
            found = {"log": shape, "method": name, **(ended if answer.empty() else answer.get())}
            faults += found["outcome"] == "fault"
            print(json.dumps(found, ensure_ascii=False), flush=True)
            if asked.out:
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found, ensure_ascii=False) + "\n")
    return 1 if faults else 0


def _dialects(name: str) -> list[str]:
    return [f"{name}:{dialect}" for dialect in METHODS[name].dialects]


if __name__ == "__main__":
    sys.exit(main())
