"""Worth of a batch: the number of steps with a gradient, and its size.

A policy gradient multiplies each trained token with weight · advantage, so a step pulls with

    m_i = weight_i · Σ_{trained tokens of i} |advantage|

and with weight_i · |advantage_i| in a batch of messages, where a reply counts as one. The effective
size of a batch is Kish's (Σ m)² / Σ m², over steps or over tokens: as many of equal pull would do
the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.exporters.lists import flat, lengths

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


def worth(rows: pl.DataFrame) -> Worth:
    """Worth of the rows of a weighted batch, of tokens or of messages."""
    if "input_ids" in rows.columns:
        pull, row, by_token = _token_pull(rows)
    else:
        pull, row = _text_pull(rows)
        by_token = None
    size = np.abs(pull)
    total = float(size.sum())
    return Worth(
        steps=pull.size,
        tokens=None if by_token is None else by_token.size,
        pulling=int(np.count_nonzero(size)),
        pulling_tokens=None if by_token is None else int(np.count_nonzero(by_token)),
        effective_steps=_effective(size),
        effective_tokens=None if by_token is None else _effective(np.abs(by_token)),
        positive_share=float(pull[pull > 0].sum()) / total if total else None,
        groups=_groups(rows, size, row, total),
    )


def _effective(size: Real) -> float:
    """Kish's effective sample size of non-negative weights."""
    total = float(size.sum())
    return total**2 / float((size**2).sum()) if total else 0.0


def _token_pull(rows: pl.DataFrame) -> tuple[Real, Index, Real]:
    """Signed pull of each trained step, the row it is in, and signed pull of each trained token."""
    trained = flat(rows["loss_mask"]).to_numpy() == 1
    row = np.repeat(np.arange(rows.height), lengths(rows["loss_mask"]))[trained]
    if not row.size:
        return np.zeros(0), row, np.zeros(0)
    key = (row << 16) + flat(rows["step_ids"]).to_numpy()[trained]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    advantage = flat(rows["advantages"]).to_numpy()[trained].astype(np.float64)
    by_token = advantage * rows["weight"].to_numpy()[row]
    return np.add.reduceat(by_token, starts), row[starts], by_token


def _text_pull(rows: pl.DataFrame) -> tuple[Real, Index]:
    trained = flat(rows["step_mask"]).to_numpy() == 1
    row = np.repeat(np.arange(rows.height), lengths(rows["step_mask"]))[trained]
    advantage = flat(rows["step_advantages"]).to_numpy()[trained].astype(np.float64)
    return advantage * rows["weight"].to_numpy()[row], row


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
