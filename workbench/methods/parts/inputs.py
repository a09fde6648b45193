"""Optional columns of the log as arrays."""

from __future__ import annotations

import numpy as np
import polars as pl

from workbench.errors import MissingInputError
from workbench.log.steps import Index, Real, Steps, Truth


def response_tokens(steps: Steps) -> Real:
    """Tokens that the policy wrote per step. (S,) float64.

    Raises:
        MissingInputError: It is not known for every scored step.
    """
    name = "response_tokens"
    return _without_gaps(steps, name, steps.column(name), np.arange(len(steps)))


def of_steps(steps: Steps, name: str, where: Truth | None = None) -> Real:
    """A column of numbers, known at every step that is asked for. (S,) float64.

    Args:
        steps: The steps.
        name: The column.
        where: The steps at which it is needed, all by default; the others get 0. (S,)

    Raises:
        MissingInputError: It is not known at one of them.
    """
    at = np.arange(len(steps)) if where is None else np.flatnonzero(where)
    found = np.zeros(len(steps))
    found[at] = _without_gaps(steps, name, steps.column(name).gather(at), at)
    return found


def of_trajectory(steps: Steps, name: str) -> Real:
    """A column that holds one number per trajectory. (N,) float64.

    Raises:
        MissingInputError: It is not known for every scored trajectory.
    """
    return _without_gaps(steps, name, steps.of_trajectory(name), steps.trajectory_start[:-1])


def _without_gaps(steps: Steps, name: str, values: pl.Series, step: Index) -> Real:
    numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    gaps = np.flatnonzero(~np.isfinite(numbers))
    if len(gaps):
        raise MissingInputError(
            f"`{name}` is not known in {len(gaps)} of {len(numbers)} places, first at "
            f"{steps.identity(int(step[gaps[0]]))}. Hint: log it everywhere, or leave those "
            "trajectories out"
        )
    return numbers


def replay_means(steps: Steps) -> tuple[Real, Index]:
    """Mean of each step's replay_returns, and how many there are; 0 without any. (S,), (S,).

    Replays without a finite return are left out.
    """
    finite = steps.column("replay_returns").list.eval(pl.element().filter(pl.element().is_finite()))
    count = finite.list.len().fill_null(0).to_numpy().astype(np.int64)
    mean = finite.list.mean().fill_null(0.0).to_numpy()
    low, high = (finite.list.min().fill_null(0.0), finite.list.max().fill_null(0.0))
    # The mean of n equal numbers may be off in the last bit; the number itself is not.
    return np.where(low == high, low.to_numpy(), mean), count
