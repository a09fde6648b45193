"""Trajectories and groups of a log as tables, before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

_TOLERANCE = 1e-12

GROUP_KINDS: Mapping[str, str] = {
    "live": "episode rewards differ",
    "penalty_only": "equal rewards, but the number of invalid actions differs",
    "all_fail": "every trajectory failed",
    "all_pass": "every trajectory succeeded",
    "constant_reward": "equal rewards that are neither failure nor success",
    "one_rollout": "a single scored trajectory, so nothing to compare it with",
    "unscored": "no trajectory with a usable reward",
}
"""Kinds of groups by what a comparing method can learn; all but "live" are dead."""


def trajectory_table(log: pl.DataFrame) -> tuple[pl.DataFrame, str | None]:
    """One row per trajectory, with its success, and where that comes from.

    That is the column `success` where it says it of every scored trajectory. Where it does not,
    and every scored episode reward is 0 or one `reward_scale`, the episode reward says it of the
    others; else it is not known of them.
    """

    def optional(name: str, dtype: pl.DataType) -> pl.Expr:
        return pl.col(name) if name in log.columns else pl.lit(None, dtype=dtype).alias(name)

    rows = log.select(
        "group_id",
        "trajectory_id",
        "excluded",
        "reward",
        "valid_action",
        "in_group_statistics",
        optional("success", pl.Boolean()),
        optional("reward_scale", pl.Float64()),
        optional("truncated", pl.Boolean()),
    )
    table = rows.group_by("trajectory_id", maintain_order=True).agg(
        pl.col("group_id", "excluded", "in_group_statistics").first(),
        pl.col("success", "reward_scale").drop_nulls().first(),
        pl.col("reward").sum().alias("episode_reward"),
        (~pl.col("valid_action")).sum().alias("invalid_actions"),
        pl.when(pl.col("truncated").is_not_null().any()).then(pl.col("truncated").any()),
        pl.len().alias("length"),
    )
    scored = table.filter(pl.col("excluded").is_null())
    said = scored["success"].is_not_null()
    if said.any() and said.all():
        return table, "success"
    unit = pl.col("episode_reward") / pl.col("reward_scale").fill_null(1.0)
    fails, succeeds = unit.abs() <= _TOLERANCE, (unit - 1).abs() <= _TOLERANCE
    if scored.is_empty() or not scored.select((fails | succeeds).all()).item():
        return table, "success" if table["success"].is_not_null().any() else None
    outcome = pl.when(pl.col("excluded").is_null()).then(succeeds)
    source = "success, else episode reward" if said.any() else "episode reward"
    return table.with_columns(pl.coalesce("success", outcome)), source


def group_table(log: pl.DataFrame) -> pl.DataFrame:
    """One row per group, in the order of the log.

    Args:
        log: A validated step log.

    Returns:
        group_id, task (the first one logged; null where none is), first_trajectory, rollouts,
        scored (trajectories), success_rate (of the scored; null where it is not known),
        mean_length (steps per trajectory), kind (key of `GROUP_KINDS`).
    """
    trajectories, _ = trajectory_table(log)
    counted = pl.col("excluded").is_null()
    groups = trajectories.group_by("group_id", maintain_order=True).agg(
        pl.col("trajectory_id").first().alias("first_trajectory"),
        pl.len().cast(pl.Int64).alias("rollouts"),
        counted.sum().cast(pl.Int64).alias("scored"),
        pl.col("success").filter(counted).mean().alias("success_rate"),
        pl.col("length").mean().alias("mean_length"),
        _kind().alias("kind"),
    )
    if "task" not in log.columns:
        return groups.insert_column(1, pl.lit(None, dtype=pl.String).alias("task"))
    tasks = log.group_by("group_id").agg(pl.col("task").drop_nulls().first())
    groups = groups.join(tasks, on="group_id", how="left", maintain_order="left")
    return groups.select("group_id", "task", pl.exclude("group_id", "task"))


def finish_reasons(log: pl.DataFrame) -> dict[str, int]:
    """Stop reasons of trajectories, by the last step with one -> their number; the most first."""
    if "finish_reason" not in log.columns:
        return {}
    given = log.select("trajectory_id", "step_index", "finish_reason").drop_nulls("finish_reason")
    last = given.group_by("trajectory_id").agg(pl.col("finish_reason").sort_by("step_index").last())
    counts = last["finish_reason"].value_counts()
    return dict(counts.sort("count", "finish_reason", descending=[True, False]).iter_rows())


def length_histogram(log: pl.DataFrame, most: int = 30) -> pl.DataFrame:
    """Trajectories by number of steps, and how many of them succeed.

    Args:
        log: A validated step log.
        most: Bins at most; they are equally wide, and one step wide where that is enough.

    Returns:
        shortest, longest (steps of the bin), succeeded, failed, unknown (trajectories; those that
        are not scored are unknown). Bins between others may be empty.
    """
    trajectories, _ = trajectory_table(log)
    length = pl.col("length").cast(pl.Int64)
    first, last = trajectories.select(length.min(), length.max().alias("last")).row(0)
    width = -(-(last - first + 1) // most)
    outcome = pl.when(pl.col("excluded").is_null()).then("success")
    counts = trajectories.group_by(((length - first) // width).alias("bin")).agg(
        outcome.sum().alias("succeeded"),
        (~outcome).sum().alias("failed"),
        outcome.is_null().sum().alias("unknown"),
    )
    bins = pl.DataFrame({"bin": range((last - first) // width + 1)}, schema={"bin": pl.Int64})
    shortest = first + pl.col("bin") * width
    return bins.join(counts, on="bin", how="left", maintain_order="left").select(
        shortest.alias("shortest"),
        (shortest + width - 1).alias("longest"),
        pl.col("succeeded", "failed", "unknown").cast(pl.Int64).fill_null(0),
    )


def count_kinds(trajectories: pl.DataFrame) -> dict[str, int]:
    """Kind -> groups that are of it, from a table of trajectories."""
    groups = trajectories.group_by("group_id").agg(_kind().alias("kind"))
    found = dict(groups["kind"].value_counts().iter_rows())
    return {name: found.get(name, 0) for name in GROUP_KINDS}


def _kind() -> pl.Expr:
    """Groups by what they can teach; trajectories outside the group statistics do not count."""
    counts = pl.col("excluded").is_null() & pl.col("in_group_statistics")
    reward = pl.col("episode_reward").filter(counts)
    success = pl.col("success").filter(counts)
    invalid = pl.col("invalid_actions").filter(counts)
    spread = reward.max() - reward.min()
    failed = pl.coalesce(~success, reward.abs() <= _TOLERANCE)
    return (
        pl.when(counts.sum() == 0)
        .then(pl.lit("unscored"))
        .when(spread > _TOLERANCE * reward.abs().max().clip(lower_bound=1.0))
        .then(pl.lit("live"))
        .when(counts.sum() == 1)
        .then(pl.lit("one_rollout"))
        .when(invalid.n_unique() > 1)
        .then(pl.lit("penalty_only"))
        .when(failed.all())
        .then(pl.lit("all_fail"))
        .when(success.fill_null(value=False).all())
        .then(pl.lit("all_pass"))
        .otherwise(pl.lit("constant_reward"))
    )
