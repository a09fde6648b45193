"""The facts of a log: counts and shares."""

from __future__ import annotations

from typing import Any

import polars as pl

from workbench.log.columns import known
from workbench.log.facts.report import Facts
from workbench.log.facts.trajectories import count_kinds, finish_reasons, trajectory_table
from workbench.log.policies import mixed_groups, mixed_policies

_DEPTHS = (("0", 0), ("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5-9", 5), ("10-19", 10), ("20+", 20))


def facts(log: pl.DataFrame) -> Facts:
    """Count what a validated step log holds.

    Success is the column `success` where it is known; of other trajectories, where every scored
    episode reward is 0 or one `reward_scale` (1 where none is logged), whether that was reached;
    else it is null.
    Only scored trajectories (null in `excluded`) enter shares of outcomes and of states.
    """
    scored = log.filter(pl.col("excluded").is_null())
    trajectories, source = trajectory_table(log)
    counted = trajectories.filter(pl.col("excluded").is_null())
    kinds = count_kinds(trajectories)
    sizes = trajectories.group_by("group_id").len()["len"].value_counts().sort("len")
    singleton = _singletons(scored)
    known_success = counted["success"].drop_nulls()
    cut = trajectories["truncated"].drop_nulls()
    return Facts(
        rows=log.height,
        groups=log["group_id"].n_unique(),
        trajectories=trajectories.height,
        excluded=_excluded(trajectories),
        rollouts_per_group=dict(sizes.iter_rows()),
        success={
            "rate": known_success.mean(),
            "known": known_success.len(),
            "of": counted.height,
            "source": source,
        },
        mixed_outcome_groups=_mixed(counted, pl.col("success").drop_nulls())
        if known_success.len()
        else None,
        reward=_reward(scored, counted),
        group_kinds=kinds,
        lengths=_numbers(trajectories["length"], "minimum", "median", "mean", "maximum"),
        singleton_rate=_mean(singleton["single"]),
        singleton_rate_by_depth=_by_depth(singleton),
        mixed_policy_groups=_mixed_policies(log),
        mixed_policies=mixed_policies(log),
        observations=_observations(log),
        response_tokens=_response_tokens(log),
        copies={
            "rows": log.filter(pl.col("copies") > 1).height,
            "extra": int(log["copies"].sum()) - log.height,
        },
        token_ids=_token_ids(log),
        truncated=int(cut.sum()) / trajectories.height if cut.len() else None,
        truncated_known=cut.len(),
        finish_reasons=finish_reasons(log),
        uncounted=trajectories.filter(~pl.col("in_group_statistics")).height,
        untrained=_untrained(log),
        other_columns=tuple(name for name in log.columns if known(name) is None),
    )


def _excluded(trajectories: pl.DataFrame) -> dict[str, int]:
    # The reason of a null reward names its step; the count should not be split by that.
    reason = pl.col("excluded").str.replace(r" at step \d+$", "")
    reasons = trajectories.select(reason).drop_nulls()["excluded"].value_counts()
    return dict(reasons.sort("count", "excluded", descending=[True, False]).iter_rows())


def _mixed(trajectories: pl.DataFrame, values: pl.Expr) -> int:
    """Groups in which an expression has more than one value."""
    groups = trajectories.group_by("group_id").agg((values.n_unique() > 1).alias("mixed"))
    return int(groups["mixed"].sum())


def _reward(scored: pl.DataFrame, trajectories: pl.DataFrame) -> dict[str, Any]:
    if scored.is_empty():
        return dict.fromkeys(("kind", "distinct", "distinct_episode", "minimum", "maximum"))
    last = pl.col("step_index") == pl.col("step_index").max().over("trajectory_id")
    early = scored.filter(~last)["reward"]
    episode = trajectories["episode_reward"]
    return {
        "kind": "dense" if (early != 0).any() else "terminal",
        "distinct": scored["reward"].n_unique(),
        "distinct_episode": episode.round(12).n_unique(),
        "minimum": episode.min(),
        "maximum": episode.max(),
    }


def _singletons(scored: pl.DataFrame) -> pl.DataFrame:
    """step_index and whether the observation of the step occurs once in its group."""
    count = pl.len().over("group_id", "observation")
    return scored.select("step_index", (count == 1).alias("single"))


def _by_depth(singleton: pl.DataFrame) -> dict[str, float]:
    """Singleton rate by step depth; depths that no step has are left out."""
    label = pl.lit(_DEPTHS[0][0])
    for name, start in _DEPTHS[1:]:
        label = pl.when(pl.col("step_index") >= start).then(pl.lit(name)).otherwise(label)
    rates = dict(singleton.group_by(label.alias("depth")).agg(pl.col("single").mean()).iter_rows())
    return {name: rates[name] for name, _ in _DEPTHS if name in rates}


def _mixed_policies(log: pl.DataFrame) -> float | None:
    found = mixed_groups(log)
    return None if found is None else found[0] / log["group_id"].n_unique()


def _untrained(log: pl.DataFrame) -> int:
    trained = log.group_by("trajectory_id").agg(pl.col("gradient_mask").any())["gradient_mask"]
    return int((~trained).sum())


def _observations(log: pl.DataFrame) -> dict[str, float]:
    characters = log["observation"].str.len_chars()
    return {
        **_numbers(characters, "median", "maximum"),
        "empty": float((log["observation"].str.strip_chars() == "").mean()),  # type: ignore[arg-type]
    }


def _response_tokens(log: pl.DataFrame) -> dict[str, float] | None:
    if "response_tokens" not in log.columns:
        return None
    tokens = log["response_tokens"].drop_nulls()
    if tokens.is_empty():
        return None
    return {**_numbers(tokens, "median", "mean", "maximum"), "total": int(tokens.sum())}


def _token_ids(log: pl.DataFrame) -> float:
    if not {"prompt_ids", "response_ids"} <= set(log.columns):
        return 0.0
    both = log["prompt_ids"].is_not_null() & log["response_ids"].is_not_null()
    return float(both.sum()) / log.height


def _numbers(values: pl.Series, *names: str) -> dict[str, float]:
    measures: dict[str, Any] = {
        "minimum": values.min,
        "median": values.median,
        "mean": values.mean,
        "maximum": values.max,
    }
    return {name: measures[name]() for name in names}


def _mean(values: pl.Series) -> float | None:
    mean = values.mean()
    return None if mean is None else float(mean)  # type: ignore[arg-type]
