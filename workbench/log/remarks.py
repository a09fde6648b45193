"""Remarks: what somebody should know of a log or of a credit before training on it.

The rules are in one place, so that `validate`, `score`, `run`, `export` and the audit say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from workbench.log.facts import group_table
from workbench.wording import number_of, of_all

TOLERANCE = 1e-12
"""Advantages closer to 0 than this are 0."""

LARGE = 10.0
"""Advantages beyond this are of the order of the rewards, where those are not of one success."""

OF_SCALE = "Rewards span"
"""Beginning of the remarks of `unscaled`, by which one is known again among notes."""

EQUAL_OUTCOMES = ("all_fail", "all_pass", "constant_reward", "one_rollout")
"""Kinds of groups in which a credit that tells steps apart does not do so by outcome."""


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something to mend, or to know before a number is believed.

    Args:
        text: What is so, with its numbers.
        action: What to do.
        evidence: Measure -> value that the rule looked at.
    """

    text: str
    action: str
    evidence: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.text} Hint: {self.action}"


def moments(value: pl.Expr) -> list[pl.Expr]:
    """Mean, std (ddof 1; null for one step), minimum, maximum and share of zeros of advantages."""
    return [
        value.mean().alias("mean"),
        value.std(ddof=1).alias("std"),
        value.min().alias("minimum"),
        value.max().alias("maximum"),
        (value.abs() <= TOLERANCE).mean().alias("zero_share"),
    ]


def of_log(log: pl.DataFrame) -> Iterator[Remark]:
    """Remarks on a log whatever the method: groups that teach nothing."""
    kinds = group_table(log).filter(pl.col("scored") > 0)["kind"]
    count = dict(kinds.value_counts().iter_rows())
    alone = count.get("one_rollout", 0)
    if alone and alone == len(kinds):
        yield Remark(
            text=f"Every group has a single scored rollout ({number_of(alone, 'group')}), so no "
            "rollout has another of its task to be compared with.",
            action="sample at least two rollouts of each task; if the log has them, say which "
            "belong together (`group_id`, or --map); a baseline over the whole batch "
            "(reinforce++) needs no groups.",
            evidence={"one_rollout": float(alone)},
        )
        return
    if alone:
        yield Remark(
            text=f"{of_all(alone, len(kinds), 'group', 'have')} a single scored rollout, "
            "which has nothing to be compared with.",
            action="sample at least two rollouts of each task.",
            evidence={"one_rollout": float(alone)},
        )
    if count and not count.get("live"):
        dead = ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in sorted(count.items()))
        yield Remark(
            text=f"No group is live ({dead}): the rollouts of a task all earn the same, so that "
            "comparing their outcomes gives 0 everywhere.",
            action="sample tasks of middling difficulty, or more rollouts of each; `workbench "
            "facts` counts the kinds of groups.",
            evidence={"live": 0.0},
        )


def of_outcomes(log: pl.DataFrame) -> Remark | None:
    """Groups of one outcome next to live ones: what outcomes say nothing of there, a discount does.

    For a log by itself; a credit that does so is remarked on by `of_equals`.
    """
    kinds = group_table(log).filter(pl.col("scored") > 0)["kind"]
    count = {name: n for name, n in kinds.value_counts().iter_rows() if name in EQUAL_OUTCOMES[:3]}
    equal = sum(count.values())
    if not equal or "live" not in kinds:
        return None
    named = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in sorted(count.items()))
    return Remark(
        text=f"In {equal:,} of {number_of(len(kinds), 'group')} there is one outcome alone "
        f"({named}): comparing outcomes gives 0 there, and what a discount gives is for speed.",
        action="sample more rollouts of these tasks or others; see what a method gives there by "
        "`workbench score`.",
        evidence={"equal": float(equal)},
    )


def of_credit(
    log: pl.DataFrame, table: pl.DataFrame, fields: Mapping[str, Any]
) -> Iterator[Remark]:
    """Remarks on a credit.

    Args:
        log: A validated step log.
        table: The credit: group_id, advantage (null where not scored) and its terms.
        fields: Those of the method that made it; empty where that is not known.
    """
    scored = table.filter(pl.col("advantage").is_not_null())
    if scored.is_empty():
        return
    if (scored["advantage"].abs() <= TOLERANCE).all():
        yield Remark(
            text="Every advantage is 0: there is nothing to learn from.",
            action="`workbench facts` says which groups are dead and why; it takes more rollouts, "
            "other tasks, or a method that compares differently.",
            evidence={"zero_share": 1.0},
        )
        return
    for found in (unscaled(log, scored, fields), of_equals(log, scored, fields)):
        if found is not None:
            yield found


def unscaled(log: pl.DataFrame, table: pl.DataFrame, fields: Mapping[str, Any]) -> Remark | None:
    """Advantages in the unit of rewards that are not those of one success.

    Either the step term is in that unit while the episode term has none, and drowns it, or the
    advantages themselves are as large as the rewards.

    Args:
        log: A validated step log.
        table: Scored steps: advantage, and the terms "term_step" and "term_episode" where it has
            them.
        fields: Those of the method.
    """
    counted = log.filter(pl.col("excluded").is_null())
    episode = counted.group_by("trajectory_id").agg(pl.col("reward").sum())["reward"]
    span = float((episode.max() or 0.0) - (episode.min() or 0.0))  # type: ignore[operator, arg-type]
    if span <= 1.5:
        return None
    largest = float(table["advantage"].abs().max())  # type: ignore[arg-type]
    said = f"advantages reach ±{largest:.3g}"
    share = step_share(table)
    # A step term over its own deviation has no unit, and one that stands alone outweighs nothing.
    divided = fields.get("step_norm", "none") != "none"
    alone = fields.get("episode_weight", 1.0) == 0.0
    if share is not None and share > 0.75 and not divided and not alone:
        return Remark(
            text=f"{OF_SCALE} {span:g} and the step term is in their unit: its deviation is "
            f"{share:.0%} of both terms', so the outcome of the trajectory hardly counts; {said}.",
            action=_rescaling(span, fields),
            evidence={"step_share": share, "largest": largest},
        )
    if largest > max(LARGE, span / 4):
        return Remark(
            text=f"{OF_SCALE} {span:g} and the credit is in their unit: {said}, which a trainer "
            "multiplies its learning rate with.",
            action=_rescaling(span, fields),
            evidence={"largest": largest},
        )
    return None


def step_share(table: pl.DataFrame) -> float | None:
    """Deviation of the step term as a share of those of both terms; None where one is missing."""
    if not {"term_step", "term_episode"} <= set(table.columns):
        return None
    step, episode = (float(table[f"term_{n}"].std(ddof=0)) for n in ("step", "episode"))  # type: ignore[arg-type]
    return step / (step + episode) if step + episode > TOLERANCE else None


def _rescaling(span: float, fields: Mapping[str, Any]) -> str:
    ways = []
    if "reward_scale" in fields:
        ways.append(f"-p reward_scale={span:g}, if that is what one success pays")
    if fields.get("norm") == "mean":
        ways.append("-p norm=std")
    if "step_weight" in fields:
        ways.append(f"-p step_weight={1 / span:.1g}")
    ways.append("divide the rewards of the log by what one success pays")
    return "; or ".join(ways) + "."


def of_equals(log: pl.DataFrame, table: pl.DataFrame, fields: Mapping[str, Any]) -> Remark | None:
    """A credit that tells steps apart where all rollouts of the task have the same outcome.

    With a discount that is by how near the reward is. Said of methods that discount only: others
    may know more of a step than the outcome.
    """
    discounts = [n for n in ("gamma", "continuation") if fields.get(n) not in (None, 1.0)]
    if not discounts:
        return None
    kinds = [*EQUAL_OUTCOMES, *([] if fields.get("invalid_penalty") else ["penalty_only"])]
    groups = group_table(log)
    equal = groups.filter(pl.col("kind").is_in(kinds))["group_id"]
    inside = table.filter(pl.col("group_id").is_in(equal.implode()))
    apart = inside.group_by("group_id").agg(
        (pl.col("advantage").max() - pl.col("advantage").min()).alias("apart"),
        pl.col("advantage").abs().max().alias("largest"),
    )
    apart = apart.filter(pl.col("apart") > 1e-6)
    if apart.is_empty():
        return None
    largest = float(apart["largest"].max())  # type: ignore[arg-type]
    ways = [f"-p {name}=1" for name in discounts]
    ways += ["-p step_weight=0"] if "step_weight" in fields else []
    return Remark(
        text=f"In {apart.height:,} of {number_of(len(equal), 'group')} with one outcome alone the "
        f"credit still gives up to ±{largest:.2g}: a discount rewards being near the end, not "
        "success, unless the method knows more of a step than its outcome.",
        action=f"{' or '.join(ways)} gives 0 there; or export the other groups alone (--group).",
        evidence={"groups": float(apart.height), "largest": largest},
    )
