"""Makes relay.parquet: a team of three roles with forks and replays, its true credit known.

    python data/make_relay.py [FILE]

A planner, one of two solvers and a checker do a sum in two rounds. Whether the plan is good, the
answer right and the verdict to accept is a small Markov chain, so what the team can expect to be
paid is known exactly behind every message. The first plan was drawn three times and the answer to
each twice: six rollouts per task that share nodes. Behind every message eight replays were played
to the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

TASKS, PLANS, ANSWERS, REPLAYS, SEED = 24, 3, 2, 8, 0
STAGES = [(role, number) for number in (0, 1) for role in ("planner", "solver", "checker")]


@dataclass(frozen=True)
class State:
    """State after a message; only its texts show it."""

    good_plan: bool = False
    right: bool = False
    accepted: bool = False
    solver: int = 0


@dataclass(frozen=True)
class Task:
    """A sum and how hard it is: the chance of a good first plan."""

    a: int
    b: int
    c: int
    skill: float

    @property
    def text(self) -> str:
        """Question of the task."""
        return f"What is ({self.a} + {self.b}) * {self.c}?"


def outcomes(task: Task, stage: int, state: State) -> list[tuple[float, State]]:
    """Outcomes of a message, with their chances."""
    role, number = STAGES[stage]
    plan, right, accepted, solver = state.good_plan, state.right, state.accepted, state.solver
    if role == "planner":
        good = task.skill if number == 0 else {True: 1.0, False: 0.85}[plan]
        if number == 1 and accepted:
            good = float(plan)
        return [
            (chance / 2, State(made, right, accepted, chosen))
            for chance, made in ((good, True), (1 - good, False))
            for chosen in (0, 1)
        ]
    if role == "solver":
        solves = (0.8 if plan else 0.2) + (0.1 if solver else 0.0)
        if number == 1 and accepted:
            solves = float(right)
        return [
            (solves, State(plan, True, False, solver)),
            (1 - solves, State(plan, solver=solver)),
        ]
    accepts = 0.9 if right else 0.25
    made = [State(plan, right, verdict, solver) for verdict in (True, False)]
    return [(accepts, made[0]), (1 - accepts, made[1])]


@cache
def value(task: Task, stage: int, state: State) -> float:
    """Expected reward before the message of a stage: 1 for a right answer, accepted."""
    if stage == len(STAGES):
        return float(state.right and state.accepted)
    return sum(
        chance * value(task, stage + 1, then) for chance, then in outcomes(task, stage, state)
    )


def drawn(task: Task, stage: int, state: State, rng: np.random.Generator) -> State:
    """One message."""
    possible = outcomes(task, stage, state)
    chances = np.array([chance for chance, _ in possible])
    return possible[rng.choice(len(possible), p=chances / chances.sum())][1]


def played(task: Task, stage: int, state: State, rng: np.random.Generator) -> float:
    """The reward of one replay from a stage on."""
    for later in range(stage, len(STAGES)):
        state = drawn(task, later, state, rng)
    return float(state.right and state.accepted)


def said(task: Task, stage: int, before: State, after: State) -> str:
    """The message of a stage in words."""
    role, number = STAGES[stage]
    a, b, c = task.a, task.b, task.c
    if role == "planner":
        if number == 1 and before.accepted:
            return f"The answer stands. Solver {'AB'[after.solver]}, write it up."
        plan = (
            f"add {a} and {b}, then times {c}"
            if after.good_plan
            else f"{b} times {c}, then add {a}"
        )
        return f"Solver {'AB'[after.solver]}: {plan}."
    if role == "solver":
        wrong = a + b * c if not after.good_plan else (a + b) * c - c
        return f"The answer is {(a + b) * c if after.right else wrong}."
    return "I come to the same. Accept." if after.accepted else "That does not add up. Object."


def rollouts(number: int, rng: np.random.Generator) -> Iterator[list[dict[str, object]]]:
    """The rollouts of one task as rows; forked ones share what was drawn before the fork."""
    low, high = rng.integers(2, 20, 2), int(rng.integers(3, 9))
    task = Task(int(low[0]), int(low[1]), high, float(rng.choice([0.3, 0.5, 0.8])))
    messages: dict[tuple[int, ...], tuple[State, dict[str, object]]] = {}
    for plan in range(PLANS):
        for answer in range(ANSWERS):
            rows, state, heard, parent = [], State(), task.text, None
            for stage, (role, round_) in enumerate(STAGES):
                # The fork decides of which draw a message is part.
                key = (plan,) if stage == 0 else (plan, answer, stage)
                if key not in messages:
                    after = drawn(task, stage, state, rng)
                    text = said(task, stage, state, after)
                    gain = value(task, stage + 1, after) - value(task, stage, state)
                    replays = [played(task, stage + 1, after, rng) for _ in range(REPLAYS)]
                    node = f"relay-{number:02}/" + "-".join(map(str, key))
                    agent = f"solver-{'AB'[after.solver]}" if role == "solver" else role
                    messages[key] = (
                        after,
                        {
                            "step_index": stage,
                            "observation": heard,
                            "action": text,
                            "role": role,
                            "agent_id": agent,
                            "round": round_,
                            "node_id": node,
                            "parent_id": parent,
                            "replay_returns": replays,
                            "true_advantage": gain,
                        },
                    )
                state, row = messages[key]
                parent, heard = row["node_id"], f"{heard}\n{role}: {row['action']}"
                rows.append(row)
            reward = float(state.right and state.accepted)
            name = f"relay-{number:02}/rollout-{plan}{answer}"
            yield [
                {
                    "group_id": f"relay-{number:02}",
                    "trajectory_id": name,
                    "reward": reward if row is rows[-1] else 0.0,
                    "success": reward == 1.0,
                    **row,
                }
                for row in rows
            ]


def relay() -> pl.DataFrame:
    """The whole log."""
    rng = np.random.default_rng(SEED)
    rows = [row for number in range(TASKS) for steps in rollouts(number, rng) for row in steps]
    types = {"step_index": pl.Int32, "round": pl.Int32, "replay_returns": pl.List(pl.Float64)}
    frame = pl.DataFrame(rows, infer_schema_length=None).cast(types)
    return frame.with_columns(
        reward_source=pl.lit("terminal"), task=pl.col("observation").first().over("trajectory_id")
    )


def main() -> None:
    """Writes the file."""
    file = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("relay.parquet"))
    relay().write_parquet(file, compression="zstd")


if __name__ == "__main__":
    main()
