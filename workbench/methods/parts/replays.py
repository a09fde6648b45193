"""What the replays of each step came to."""

from __future__ import annotations

import numpy as np
import polars as pl

from workbench.log.steps import Index, Real, Steps


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
