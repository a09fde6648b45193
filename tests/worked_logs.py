"""Logs of a few steps that methods and trees are worked by hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from logs import Described, log, rows, steps

from workbench.log.nodes import with_prefix_nodes
from workbench.log.steps import Steps


def one_group(trajectories: Mapping[str, Sequence[tuple[str, float]]]) -> pl.DataFrame:
    """One group with the same action at every step, which are given as (observation, reward)."""
    described = {
        name: [(text, "act", reward) for text, reward in its_steps]
        for name, its_steps in trajectories.items()
    }
    return rows({"g": described})


# Trajectory a wins in two steps; b, c and d lose in one.
FOUR = one_group(
    {"a": [("x", 0.0), ("y", 1.0)], "b": [("x", 0.0)], "c": [("y", 0.0)], "d": [("z", 0.0)]}
)


def group(name: str, *rewards: float) -> Described:
    """Trajectories of one step."""
    return {name: {f"{name}{k}": [("s", "go", reward)] for k, reward in enumerate(rewards)}}


def outcomes(*rewards: float, **columns: object) -> Steps:
    """One group of trajectories of one step."""
    return steps(group("g", *rewards), **columns)


# One group in three steps, and a dead one in two.
LIVE_AND_DEAD = {**group("g", 1.0, 0.0, 0.0), **group("h", 0.0, 0.0)}


def two_updates() -> Steps:
    """The live group and the dead one as update 1 of a run, and two others as update 2."""
    described = {**LIVE_AND_DEAD, **group("i", 4.0, 0.0), **group("j", 2.0, 2.0)}
    return steps(described, run_id="r", train_step=[*[1] * 5, *[2] * 4])


def one_step(*trajectories: tuple[str, str, float]) -> Steps:
    """One group of trajectories of one step each: observation, action, reward."""
    return steps({"g": {f"t{number}": [step] for number, step in enumerate(trajectories)}})


def seen(*trajectories: tuple[str, float]) -> Steps:
    """One group; each trajectory sees the letters of a text and is paid at its end."""
    return steps(
        {
            "g": {
                f"t{number}": [
                    (text, "act", reward * (place == len(texts) - 1))
                    for place, text in enumerate(texts)
                ]
                for number, (texts, reward) in enumerate(trajectories)
            }
        }
    )


# Two rollouts meet in the hall. One opens the door and wins, one waits and comes back to lose.
#   a: hall --open--> door --go--> success           b: hall --wait--> hall --wait--> failure
HALL: Described = {
    "g": {
        "a": [("hall", "open", 0.0), ("door", "go", 1.0)],
        "b": [("hall", "wait", 0.0), ("hall", "wait", 0.0)],
    }
}

# A planner's two plans; the first is followed by two answers, of which one is right.
PLANS: Described = {
    "g": {
        "a": [("task", "plan 1", 0.0), ("plan 1", "right", 1.0)],
        "b": [("task", "plan 1", 0.0), ("plan 1", "wrong", 0.0)],
        "c": [("task", "plan 2", 0.0), ("plan 2", "wrong", 0.0)],
    }
}
ROLES = ["planner", "solver"] * 3


def plans(**columns: object) -> pl.DataFrame:
    """Those rollouts as a tree of plans and answers."""
    return with_prefix_nodes(log(PLANS, role=ROLES, **columns))


# a and b take the same first step; c sees another text and takes the same action.
FORKED: Described = {
    "g": {
        "a": [("x", "go", 0.0), ("y", "left", 1.0)],
        "b": [("x", "go", 0.0), ("y", "right", 0.0)],
        "c": [("z", "go", 0.0), ("y", "left", 0.0)],
    }
}
