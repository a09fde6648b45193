"""A log and a credit of it: were the rewards the same?"""

from __future__ import annotations

import polars as pl

from workbench.errors import ParameterError
from workbench.wording import number, number_of


def require_same_rewards(log: pl.DataFrame, credit: pl.DataFrame) -> None:
    """Refuse a credit that was made from other rewards than the log has.

    Args:
        log: Steps of a log.
        credit: The same steps in the same order, with the rewards that were scored.

    Raises:
        ParameterError: Rewards differ; the first rollouts are named with both.
    """
    differs = ~log["reward"].eq_missing(credit["reward"].cast(log.schema["reward"]))
    if not differs.any():
        return
    both = log.select("group_id", "trajectory_id", "reward").with_columns(
        credit["reward"].alias("scored"), differs.alias("differs")
    )
    # A sum of nothing is 0, and a reward that is not known is none.
    sums = [
        pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name)
        for name in ("reward", "scored")
    ]
    rollouts = both.group_by("group_id", "trajectory_id", maintain_order=True).agg(
        *sums, pl.col("differs").any()
    )
    rollouts = rollouts.filter("differs")
    first = ", ".join(
        f"group {row['group_id']!r} trajectory {row['trajectory_id']!r} ({number(row['reward'])} "
        f"in the log, {number(row['scored'])} in the credit)"
        for row in rollouts.head(3).iter_rows(named=True)
    )
    more = rollouts.height - 3
    lacks = log["reward"].null_count() > credit["reward"].null_count()
    again = "read the log with the same --rewards FILE as `workbench score` did, or "
    raise ParameterError(
        f"the credit was made from other rewards than the log has: {first}"
        + f" and {number_of(more, 'more rollout')}" * (more > 0)
        + f". Hint: {again if lacks else ''}score this log again"
    )
