"""Small step logs for tests: written out by hand, drawn by a generator, or drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from workbench.log.schema import validate
from workbench.log.steps import Steps

Described = Mapping[str, Mapping[str, Sequence[tuple[str, str, float | None]]]]
"""Group -> trajectory -> its steps as (observation, action, reward)."""


def rows(groups: Described, **columns: Any) -> pl.DataFrame:
    """A described log as a frame of one row per step, in the order described, not yet validated.

    Args:
        groups: What happened.
        columns: Further columns, or other values for the described ones: one value for all rows,
            or a list or series with one per row.
    """
    described = [
        (group, trajectory, index, *step)
        for group, trajectories in groups.items()
        for trajectory, steps in trajectories.items()
        for index, step in enumerate(steps)
    ]
    schema = {
        "group_id": pl.String,
        "trajectory_id": pl.String,
        "step_index": pl.Int32,
        "observation": pl.String,
        "action": pl.String,
        "reward": pl.Float64,
    }
    frame = pl.DataFrame(described, schema=schema, orient="row")
    for name, values in columns.items():
        one_a_row = isinstance(values, list | pl.Series)
        column = pl.Series(name, values if one_a_row else [values] * frame.height)
        frame = frame.with_columns(column)
    return frame


def log(groups: Described, **columns: Any) -> pl.DataFrame:
    """A described log, validated. Arguments as for `rows`."""
    return validate(rows(groups, **columns)).log


def steps(groups: Described, **columns: Any) -> Steps:
    """The scored steps of a described log. Arguments as for `rows`."""
    return Steps.from_log(log(groups, **columns))


def random_log(
    rng: np.random.Generator,
    groups: int = 3,
    rollouts: int = 4,
    *,
    max_length: int = 5,
    texts: int = 6,
    dense: bool = False,
    **columns: Any,
) -> pl.DataFrame:
    """A validated log of rollouts of 1 to `max_length` steps whose states repeat.

    Args:
        rng: Where the numbers come from.
        groups: Number of groups.
        rollouts: Trajectories of each.
        max_length: Most steps of a trajectory.
        texts: Number of distinct observations to draw from.
        dense: Rewards in quarters from -1 to 1 at every step; else 0 or 1 on the last step.
        columns: As for `rows`.
    """

    def trajectory() -> list[tuple[str, str, float]]:
        length = int(rng.integers(1, max_length + 1))
        reward = rng.integers(-4, 5, length) / 4 if dense else np.zeros(length)
        if not dense:
            reward[-1] = rng.integers(2)
        return [
            (f"state {rng.integers(texts)}", f"action {rng.integers(3)}", float(value))
            for value in reward
        ]

    described = {
        f"g{group}": {f"g{group}/t{number}": trajectory() for number in range(rollouts)}
        for group in range(groups)
    }
    return log(described, **columns)


QUARTERS = st.integers(-8, 8).map(lambda count: count / 4)  # exact in binary


def described_logs(
    *,
    max_groups: int = 3,
    max_rollouts: int = 4,
    min_length: int = 1,
    max_length: int = 4,
    texts: str = "abcd",
    rewards: st.SearchStrategy[float] = QUARTERS,
) -> st.SearchStrategy[Described]:
    """Descriptions of small logs, for `rows`, `log` or `steps`."""
    step = st.tuples(st.sampled_from(texts), st.sampled_from(["go", "stay"]), rewards)
    trajectory = st.lists(step, min_size=min_length, max_size=max_length)
    group = st.lists(trajectory, min_size=1, max_size=max_rollouts)

    def named(groups: list[list[list[tuple[str, str, float]]]]) -> Described:
        return {
            f"g{first}": {f"g{first}/t{second}": steps for second, steps in enumerate(trajectories)}
            for first, trajectories in enumerate(groups)
        }

    return st.lists(group, min_size=1, max_size=max_groups).map(named)
