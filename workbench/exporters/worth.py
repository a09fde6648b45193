"""Worth of a batch: the number of steps with a gradient, and its size.

A policy gradient multiplies each trained token with weight · advantage, so a step pulls with

    m_i = weight_i · Σ_{trained tokens of i} |advantage|

and with weight_i · |advantage_i| in a batch of messages, where a reply counts as one. The effective
size of a batch is Kish's (Σ m)² / Σ m², over steps or over tokens: as many of equal pull would do
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.exporters.lists import flat, lengths

FAINT = 0.01
"""A group whose largest |advantage| is below this share of a live group's is faint."""

Real = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Worth:
    """Counts of steps in a batch that have a gradient.

    Args:
        steps: Trained steps; a step that stands in several rows is trained in one of them.
        tokens: Trained tokens; None in a batch of messages.
        pulling: Trained steps with an advantage and a weight.
        pulling_tokens: Trained tokens with an advantage and a weight; None in a batch of messages.
        effective_steps: (Σ m)² / Σ m² over steps, each with all its tokens; 0 where nothing pulls.
        effective_tokens: The same over tokens; None in a batch of messages.
        positive_share: Share of Σ m that is of positive advantages; None where nothing pulls.
        groups: One row per group, largest pull first: group_id, trajectories, steps (trained),
            share (of Σ m; 0 where nothing pulls).
    """

    steps: int
    tokens: int | None
    pulling: int
    pulling_tokens: int | None
    effective_steps: float
    effective_tokens: float | None
    positive_share: float | None
    groups: pl.DataFrame

    def summary(self) -> dict[str, float | int | str | None]:
        """The same as one line of numbers, with the group of the largest share."""
        top = self.groups.row(0, named=True)
        numbers = {name: value for name, value in vars(self).items() if name != "groups"}
        return {**numbers, "top_group": top["group_id"], "top_group_share": top["share"]}


@dataclass(frozen=True, kw_only=True)
class Pulls:
    """Pulls of rows, as small as the steps that are trained in them.

    Args:
        rows: group_id and trajectory_id of each row. (R, 2)
        steps: One row for each trained step: `row` (of `rows`) and `pull` (signed), and of its
            trained tokens `tokens` (how many), `pulling` (how many with an advantage and a
            weight), `size` (sum of |pull|) and `square` (sum of its squares); a batch of messages
            has none of these four.
    """

    rows: pl.DataFrame
    steps: pl.DataFrame

    @classmethod
    def joined(cls, parts: Sequence[Pulls]) -> Pulls:
        """The pulls of rows that follow each other."""
        before = np.cumsum([0, *(part.rows.height for part in parts)]).tolist()
        steps = [
            part.steps.with_columns(pl.col("row") + start)
            for part, start in zip(parts, before[:-1], strict=True)
        ]
        return cls(rows=pl.concat([part.rows for part in parts]), steps=pl.concat(steps))


def pulls(rows: pl.DataFrame) -> Pulls:
    """Gradient weights in the rows of a weighted batch, of tokens or of messages."""
    found = _token_pulls(rows) if "input_ids" in rows.columns else _text_pulls(rows)
    return Pulls(rows=rows.select("group_id", "trajectory_id"), steps=found)


@dataclass(frozen=True, kw_only=True)
class Faint:
    """Groups whose advantages are next to nothing against those of a group that teaches.

    Such are the remainders of a softmax or of a deviation where all rollouts earn the same.

    Args:
        groups: How many have a largest |advantage| above 0 and below `FAINT` · `usual`.
        largest: The largest |advantage| in them; 0 where there is none.
        usual: Median over live groups, those whose rollouts earn differently, of the largest
            |advantage|. Where there is none with an advantage: the range of the rewards over all
            rollouts, at most 1, and 1 where that is 0.
        live: Whether there are such live groups.
    """

    groups: int
    largest: float
    usual: float
    live: bool


def faint(steps: pl.DataFrame) -> Faint:
    """Faint groups among steps with advantage, gradient_mask and episode_reward."""
    earned = pl.col("episode_reward")
    by_group = steps.group_by("group_id").agg(
        pl.col("advantage").filter("gradient_mask").abs().max().cast(pl.Float64).alias("largest"),
        (earned.max() - earned.min() > 1e-6).alias("live"),
    )
    pulling = by_group.filter(pl.col("largest") > 0)
    live = pulling.filter("live")["largest"]
    rewards = steps["episode_reward"].to_numpy()
    span = min(1.0, float(np.ptp(rewards)))
    usual = float(np.median(live.to_numpy())) if live.len() else span or 1.0
    below = pulling.filter(pl.col("largest") < FAINT * usual)["largest"].to_numpy()
    largest = float(below.max()) if below.size else 0.0
    return Faint(groups=below.size, largest=largest, usual=usual, live=live.len() > 0)


def worth(given: Pulls) -> Worth:
    """Worth of rows by their gradient weights."""
    steps, by_token = given.steps, "tokens" in given.steps.columns
    pull = steps["pull"].to_numpy()
    size = np.abs(pull)
    total = float(size.sum())
    return Worth(
        steps=pull.size,
        tokens=int(steps["tokens"].sum()) if by_token else None,
        pulling=int(np.count_nonzero(size)),
        pulling_tokens=int(steps["pulling"].sum()) if by_token else None,
        effective_steps=_effective(size, size**2),
        effective_tokens=_effective(steps["size"].to_numpy(), steps["square"].to_numpy())
        if by_token
        else None,
        positive_share=float(pull[pull > 0].sum()) / total if total else None,
        groups=_groups(given.rows, size, steps["row"].to_numpy(), total),
    )


def _effective(size: Real, square: Real) -> float:
    """Kish's effective sample size, of sums of non-negative weights and of their squares."""
    total = float(size.sum())
    return total**2 / float(square.sum()) if total else 0.0


def _token_pulls(rows: pl.DataFrame) -> pl.DataFrame:
    trained = flat(rows["loss_mask"]).to_numpy() == 1
    row = np.repeat(np.arange(rows.height), lengths(rows["loss_mask"]))[trained]
    key = (row << 16) + flat(rows["step_ids"]).to_numpy()[trained]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: key.size])
    advantage = flat(rows["advantages"]).to_numpy()[trained].astype(np.float64)
    by_token = advantage * rows["weight"].to_numpy()[row]
    sums = {
        "pull": by_token,
        "tokens": np.ones(row.size, dtype=np.int64),
        "pulling": (by_token != 0).astype(np.int64),
        "size": np.abs(by_token),
        "square": by_token**2,
    }
    # A step at a time, so that no sum depends on which rows are looked at together.
    found = {
        name: np.add.reduceat(values, starts) if starts.size else values
        for name, values in sums.items()
    }
    return pl.DataFrame({"row": row[starts], **found})


def _text_pulls(rows: pl.DataFrame) -> pl.DataFrame:
    trained = flat(rows["step_mask"]).to_numpy() == 1
    row = np.repeat(np.arange(rows.height), lengths(rows["step_mask"]))[trained]
    advantage = flat(rows["step_advantages"]).to_numpy()[trained].astype(np.float64)
    return pl.DataFrame({"row": row, "pull": advantage * rows["weight"].to_numpy()[row]})


def _groups(rows: pl.DataFrame, size: Real, row: Index, total: float) -> pl.DataFrame:
    one_a_row = rows.select(
        "group_id",
        "trajectory_id",
        steps=pl.Series(np.bincount(row, minlength=rows.height)).cast(pl.Int64),
        share=pl.Series(np.bincount(row, weights=size, minlength=rows.height)) / (total or 1.0),
    )
    by_group = one_a_row.group_by("group_id", maintain_order=True).agg(
        pl.col("trajectory_id").n_unique().cast(pl.Int64).alias("trajectories"),
        pl.col("steps").sum(),
        pl.col("share").sum(),
    )
    return by_group.sort("share", descending=True, maintain_order=True)
