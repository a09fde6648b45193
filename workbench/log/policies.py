"""Policies that acted in a group: baselines compare the rollouts of one."""

from __future__ import annotations

import polars as pl

from workbench.wording import of_all

_POLICY = ("model", "policy_version")


def mixed_groups(log: pl.DataFrame) -> tuple[int, list[str]] | None:
    """Groups with trajectories of several policies, and the columns in which these differ.

    A trajectory's policy is the set of models that acted in it, and of versions of its weights.
    Trajectories of different agents of a group (`agent_id`), and those that are not scored, are
    not compared. None where the log names no policy.
    """
    names = [name for name in _POLICY if name in log.columns]
    if not names:
        return None
    group = ["group_id", *(["agent_id"] if "agent_id" in log.columns else [])]
    rows = log.filter(pl.col("excluded").is_null()) if "excluded" in log.columns else log
    of_trajectory = rows.group_by("trajectory_id").agg(
        pl.col(group).first(), *(pl.col(name).drop_nulls().unique().sort() for name in names)
    )
    several = of_trajectory.group_by(group).agg(
        # A trajectory that says nothing is of no other policy.
        (pl.col(name).filter(pl.col(name).list.len() > 0).n_unique() > 1)
        for name in names
    )
    mixed = several.filter(pl.any_horizontal(names))
    return mixed["group_id"].n_unique(), [name for name in names if bool(several[name].any())]


def policies_of(log: pl.DataFrame) -> list[list[str]]:
    """The policies that acted in a log, each as the models that act together in a rollout.

    Rollouts that name no model are of no other policy. Empty where the log names none.
    """
    if "model" not in log.columns:
        return []
    rows = log.filter(pl.col("excluded").is_null()) if "excluded" in log.columns else log
    models = pl.col("model").drop_nulls().unique().sort()
    of_trajectory = rows.group_by("trajectory_id").agg(models)["model"]
    return [list(each) for each in sorted({tuple(each) for each in of_trajectory if len(each)})]


def mixed_policies(log: pl.DataFrame) -> str | None:
    """Warning that groups hold trajectories of several policies; None where none does."""
    found = mixed_groups(log)
    if found is None or not found[0]:
        return None
    count, by = found
    total = log["group_id"].n_unique()
    return (
        f"{of_all(count, total, 'group', 'hold')} trajectories of several "
        f"policies ({' and '.join(by)} "
        "differ): a baseline rewards the better policy, not the better action; give each a group "
        "of its own"
    )
