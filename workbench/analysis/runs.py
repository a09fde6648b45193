"""Runs and checkpoints side by side: what each solved, and what its log could teach.

A log is split by `run_id` and by `train_step`, or `policy_version` where it has no other count of
updates. Tasks are matched by their text, or by `group_id` where a log has no texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.log.facts import group_table
from workbench.log.facts.trajectories import trajectory_table
from workbench.log.remarks import TOLERANCE
from workbench.log.steps import Real

UPDATES = ("train_step", "policy_version")
"""Columns that count the updates of a run, the first that a log has is taken."""

SCHEMA = {
    "run": pl.String,
    "update": pl.Int64,
    "rollouts": pl.Int64,
    "success": pl.Float64,
    "groups": pl.Int64,
    "live": pl.Int64,
    "live_share": pl.Float64,
    "steps": pl.Int64,
    "effective": pl.Int64,
    "effective_share": pl.Float64,
    "flips": pl.Int64,
    "flip_share": pl.Float64,
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One or more runs of one log.

    Args:
        name: What the log is called; the run's name where it has no other or only one.
        log: A validated step log.
        advantages: Method -> advantage of each row, NaN where it scores none. (L,) float64
    """

    name: str
    log: pl.DataFrame
    advantages: Mapping[str, Real]


def updates_column(log: pl.DataFrame) -> str | None:
    """The column by which a log counts updates; None where it has none with a number."""
    known = (name for name in UPDATES if name in log.columns)
    return next((name for name in known if log[name].is_not_null().any()), None)


def checkpoints(
    runs: Sequence[Run], lead: str, pair: tuple[str, str] | None = None
) -> pl.DataFrame:
    """One row per run and update, in the order given and by update: `SCHEMA`'s columns.

    Args:
        runs: The logs; the first is the baseline.
        lead: The method whose steps count as effective where its advantage is not 0.
        pair: Two methods whose opposite signs are counted; null where there are none, or where one
            of them does not score a log.
    """
    return pl.concat([pl.DataFrame(schema=SCHEMA), *(_of_log(run, lead, pair) for run in runs)])


def tasks(runs: Sequence[Run]) -> pl.DataFrame:
    """Success of each run on each task: task, then a column per run, null where it lacks the task.

    Tasks come in the order in which they are met, runs in the order given.
    """
    found: dict[str, pl.DataFrame] = {}
    for run in runs:
        for (name,), part in _rollouts(run).group_by(["run"], maintain_order=True):
            found[str(name)] = part.group_by("task", maintain_order=True).agg(
                pl.col("success").mean().alias(str(name))
            )
    order = pl.concat([part.select("task") for part in found.values()]).unique(maintain_order=True)
    for part in found.values():
        order = order.join(part, on="task", how="left", maintain_order="left")
    return order


def _rollouts(run: Run) -> pl.DataFrame:
    """One row per scored rollout: group_id, trajectory_id, run, update, task, success."""
    update = updates_column(run.log)
    names = run.log["run_id"].drop_nulls().n_unique() if "run_id" in run.log.columns else 0
    own = pl.col("run_id").fill_null("?") if names > 1 else pl.lit("")
    several = pl.format("{} · {}", pl.lit(run.name), own) if names > 1 else pl.lit(run.name)
    known = run.log.group_by("trajectory_id", maintain_order=True).agg(
        several.first().alias("run"),
        (pl.col(update).first() if update else pl.lit(None)).cast(pl.Int64).alias("update"),
        (
            pl.col("task").first().fill_null(pl.col("group_id").first())
            if "task" in run.log.columns
            else pl.col("group_id").first()
        ).alias("task"),
    )
    table, _ = trajectory_table(run.log)
    scored = table.filter(pl.col("excluded").is_null())
    return scored.select("group_id", "trajectory_id", "success").join(
        known, on="trajectory_id", how="left", maintain_order="left"
    )


def _of_log(run: Run, lead: str, pair: tuple[str, str] | None) -> pl.DataFrame:
    rollouts = _rollouts(run)
    kinds = group_table(run.log).select("group_id", live=pl.col("kind") == "live")
    where = ["run", "update"]
    of_groups = (
        rollouts.group_by("group_id", maintain_order=True)
        .agg(pl.col(*where).first())
        .join(kinds, on="group_id", how="left")
        .group_by(where)
        .agg(pl.len().cast(pl.Int64).alias("groups"), pl.col("live").sum().cast(pl.Int64))
    )
    of_rollouts = rollouts.group_by(where, maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("rollouts"), pl.col("success").cast(pl.Float64).mean()
    )
    steps = _signs(run, lead, pair).join(
        rollouts.select("trajectory_id", *where), on="trajectory_id", how="inner"
    )
    of_steps = steps.group_by(where).agg(
        pl.len().cast(pl.Int64).alias("steps"),
        *(
            pl.when(pl.col(name).is_not_null().any())
            .then(pl.col(name).sum().cast(pl.Int64))
            .alias(name)
            for name in ("effective", "flips")
        ),
    )
    key = {"on": where, "how": "left", "nulls_equal": True, "maintain_order": "left"}
    table = of_rollouts.join(of_groups, **key).join(of_steps, **key)  # type: ignore[arg-type]
    table = table.with_columns(
        live_share=pl.col("live") / pl.col("groups"),
        effective_share=pl.col("effective") / pl.col("steps"),
        flip_share=pl.col("flips") / pl.col("steps"),
    ).select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
    met = table["run"].unique(maintain_order=True)
    return table.sort(pl.col("run").cast(pl.Enum(met)), "update", maintain_order=True)


def _signs(run: Run, lead: str, pair: tuple[str, str] | None) -> pl.DataFrame:
    """trajectory_id, effective and flips of each row; null where a method scores none."""
    known = run.advantages
    nothing = pl.Series(np.full(run.log.height, None), dtype=pl.Boolean)
    effective = flips = nothing
    if lead in known:
        effective = pl.Series(np.abs(np.nan_to_num(known[lead])) > TOLERANCE)
    if pair is not None and set(pair) <= set(known):
        one, other = (np.nan_to_num(known[name]) for name in pair)
        apart = (np.abs(one) > TOLERANCE) & (np.abs(other) > TOLERANCE)
        flips = pl.Series(apart & (np.sign(one) != np.sign(other)))
    return run.log.select("trajectory_id").with_columns(
        effective.alias("effective"), flips.alias("flips")
    )
