"""What is in a step log, before anything is scored: the counts that decide what is possible.

A group in which every trajectory has the same reward teaches a group-relative method nothing; a
state that occurs once in its group has no peer; a log without token ids cannot become a
token-level batch. `facts` says how many of each there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from workbench.columns import known

_TOLERANCE = 1e-12
_DEPTHS = (("0", 0), ("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5-9", 5), ("10-19", 10), ("20+", 20))

GROUP_KINDS: Mapping[str, str] = {
    "live": "episode rewards differ",
    "penalty_only": "equal rewards, but the number of invalid actions differs",
    "all_fail": "every trajectory failed",
    "all_pass": "every trajectory succeeded",
    "constant_reward": "equal rewards that are neither failure nor success",
    "one_rollout": "a single scored trajectory, so nothing to compare it with",
    "unscored": "no trajectory with a usable reward",
}
"""What a group can teach a method that compares trajectories; all but "live" are dead."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Counts and shares of one step log; a share is null where nothing is there to count.

    Args:
        rows: Steps.
        groups: Groups.
        trajectories: Trajectories, excluded ones among them.
        excluded: Reason -> trajectories that are not scored.
        rollouts_per_group: Number of trajectories -> groups with that many.
        success: rate, known (trajectories), source: "success", "episode reward" or null.
        mixed_outcome_groups: Groups with a success and a failure.
        reward: kind ("terminal": nothing but 0 before the last step; "dense"), distinct (different
            step rewards), distinct_episode, minimum, maximum (of the episode reward).
        group_kinds: Key of `GROUP_KINDS` -> groups.
        lengths: minimum, median, mean, maximum steps a trajectory.
        singleton_rate: Share of scored steps whose exact observation occurs once in its group.
        singleton_rate_by_depth: The same by step_index, from "0" to "20+".
        mixed_policy_groups: Share of groups with more than one (model, policy_version); null where
            the log names neither.
        observations: median, maximum (characters), empty (share).
        response_tokens: median, mean, maximum, total; null where not logged.
        copies: rows (that stand for more than one), extra (rows that were collapsed).
        token_ids: Share of steps with prompt and response ids.
        truncated: Share of trajectories that a limit cut; null where not logged.
        other_columns: Columns that the step log does not define.
    """

    rows: int
    groups: int
    trajectories: int
    excluded: Mapping[str, int]
    rollouts_per_group: Mapping[int, int]
    success: Mapping[str, Any]
    mixed_outcome_groups: int
    reward: Mapping[str, Any]
    group_kinds: Mapping[str, int]
    lengths: Mapping[str, float]
    singleton_rate: float | None
    singleton_rate_by_depth: Mapping[str, float]
    mixed_policy_groups: float | None
    observations: Mapping[str, float]
    response_tokens: Mapping[str, float] | None
    copies: Mapping[str, int]
    token_ids: float
    truncated: float | None
    other_columns: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        values = dataclasses.asdict(self)
        values["rollouts_per_group"] = {str(k): n for k, n in self.rollouts_per_group.items()}
        values["other_columns"] = list(self.other_columns)
        return values

    def lines(self) -> list[str]:
        """The facts for a reader, at most 25 lines."""
        return [f"{label:<22}{text}" for label, text in _report(self) if text]


def facts(log: pl.DataFrame) -> Facts:
    """Counts what a validated step log holds.

    Success is the column `success` where it is known; else, where every scored episode reward is
    0 or one `reward_scale` (1 where none is logged), whether that was reached; else it is null.
    Only scored trajectories (null in `excluded`) enter shares of outcomes and of states.
    """
    scored = log.filter(pl.col("excluded").is_null())
    trajectories, source = _trajectories(log)
    counted = trajectories.filter(pl.col("excluded").is_null())
    kinds = _group_kinds(trajectories)
    sizes = trajectories.group_by("group_id").len()["len"].value_counts().sort("len")
    singleton = _singletons(scored)
    known_success = counted["success"].drop_nulls()
    return Facts(
        rows=log.height,
        groups=log["group_id"].n_unique(),
        trajectories=trajectories.height,
        excluded=_excluded(trajectories),
        rollouts_per_group=dict(sizes.iter_rows()),
        success={"rate": known_success.mean(), "known": known_success.len(), "source": source},
        mixed_outcome_groups=_mixed(counted, pl.col("success").drop_nulls()),
        reward=_reward(scored, counted),
        group_kinds=kinds,
        lengths=_numbers(trajectories["length"], "minimum", "median", "mean", "maximum"),
        singleton_rate=_mean(singleton["single"]),
        singleton_rate_by_depth=_by_depth(singleton),
        mixed_policy_groups=_mixed_policies(log),
        observations=_observations(log),
        response_tokens=_response_tokens(log),
        copies={
            "rows": log.filter(pl.col("copies") > 1).height,
            "extra": int(log["copies"].sum()) - log.height,
        },
        token_ids=_token_ids(log),
        truncated=_mean(trajectories["truncated"].drop_nulls()),
        other_columns=tuple(name for name in log.columns if known(name) is None),
    )


def _trajectories(log: pl.DataFrame) -> tuple[pl.DataFrame, str | None]:
    """One row a trajectory, with its success, and where that comes from."""

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
    if table["success"].is_not_null().any():
        return table, "success"
    unit = pl.col("episode_reward") / pl.col("reward_scale").fill_null(1.0)
    fails, succeeds = unit.abs() <= _TOLERANCE, (unit - 1).abs() <= _TOLERANCE
    counted = table.filter(pl.col("excluded").is_null())
    if counted.is_empty() or not counted.select((fails | succeeds).all()).item():
        return table, None
    outcome = pl.when(pl.col("excluded").is_null()).then(succeeds)
    return table.with_columns(outcome.alias("success")), "episode reward"


def _group_kinds(trajectories: pl.DataFrame) -> dict[str, int]:
    """Groups by what they can teach; trajectories outside the group statistics do not count."""
    counts = pl.col("excluded").is_null() & pl.col("in_group_statistics")
    reward = pl.col("episode_reward").filter(counts)
    success = pl.col("success").filter(counts)
    invalid = pl.col("invalid_actions").filter(counts)
    spread = reward.max() - reward.min()
    failed = pl.coalesce(~success, reward.abs() <= _TOLERANCE)
    kind = (
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
    groups = trajectories.group_by("group_id").agg(kind.alias("kind"))
    found = dict(groups["kind"].value_counts().iter_rows())
    return {name: found.get(name, 0) for name in GROUP_KINDS}


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
    policy = [name for name in ("model", "policy_version") if name in log.columns]
    if not policy:
        return None
    return _mixed(log, pl.struct(policy)) / log["group_id"].n_unique()


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


def _share(value: float | None, of: str = "") -> str:
    return "not known" if value is None else f"{100 * value:.1f} %{of}"


def _report(known_facts: Facts) -> list[tuple[str, str]]:
    """Label and text of each line of the report; an empty text is left out."""
    f = known_facts
    reasons = "; ".join(f"{reason}: {count}" for reason, count in f.excluded.items())
    sizes = ", ".join(f"{n} × {size}" for size, n in list(f.rollouts_per_group.items())[:8])
    dead = [(kind, n) for kind, n in f.group_kinds.items() if n and kind != "live"]
    depths = ", ".join(f"{d}: {100 * r:.0f} %" for d, r in f.singleton_rate_by_depth.items())
    length = "min {minimum}, median {median:g}, mean {mean:.1f}, max {maximum}"
    tokens = "median {median:g}, mean {mean:.1f}, max {maximum}, total {total:,}"
    text = "median {median:g}, max {maximum} characters, " + _share(f.observations["empty"])
    origin = f" (by {f.success['source']})" if f.success["source"] else ""
    return [
        ("steps", f"{f.rows:,}"),
        ("trajectories", f"{f.trajectories:,}"),
        ("excluded", f"{sum(f.excluded.values()):,} ({reasons})" if reasons else "none"),
        ("groups", f"{f.groups:,}"),
        ("groups × rollouts", sizes + ", …" * (len(f.rollouts_per_group) > 8)),
        ("success", _share(f.success["rate"]) + origin),
        ("mixed outcomes", f"{f.mixed_outcome_groups:,} groups"),
        ("reward", _reward_text(f.reward)),
        ("live groups", f"{f.group_kinds['live']:,}"),
        *((f"dead: {kind}", f"{n:,} ({GROUP_KINDS[kind]})") for kind, n in dead),
        ("steps a trajectory", length.format(**f.lengths)),
        ("singleton states", _share(f.singleton_rate, " of the steps")),
        ("  by step", depths),
        ("mixed policies", _share(f.mixed_policy_groups, " of the groups")),
        ("observation", text.format(**f.observations) + " empty"),
        ("response tokens", tokens.format(**f.response_tokens) if f.response_tokens else ""),
        ("token ids", _share(f.token_ids, " of the steps")),
        ("truncated", _share(f.truncated, " of the trajectories")),
        ("copies", f"{f.copies['extra']:,} in {f.copies['rows']:,} rows"),
        ("other columns", ", ".join(f.other_columns[:8]) + ", …" * (len(f.other_columns) > 8)),
    ]


def _reward_text(reward: Mapping[str, Any]) -> str:
    if reward["kind"] is None:
        return "not known"
    return (
        f"{reward['kind']}, {reward['distinct_episode']:,} different episode rewards "
        f"from {reward['minimum']:g} to {reward['maximum']:g}"
    )
