"""What a batch is worth to a trainer: how many of its steps pull at the policy, and how hard.

A policy gradient multiplies each trained token with weight · advantage, so a step pulls with

    m_i = weight_i · Σ_{trained tokens of i} |advantage|

and with weight_i · |advantage_i| in a batch of messages, where a reply counts as one.
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
    """What pulls at the policy in a batch.

    Args:
        steps: Trained steps; a step that stands in several rows is trained in one of them.
        tokens: Trained tokens; None in a batch of messages.
        pulling: Trained steps with an advantage and a weight.
        effective_steps: (Σ m)² / Σ m²: as many steps of equal pull would do the same; 0 where
            nothing pulls.
        positive_share: Share of Σ m that is of positive advantages; None where nothing pulls.
        groups: One row a group, largest pull first: group_id, trajectories, steps (trained),
            share (of Σ m; 0 where nothing pulls).
    """

    steps: int
    tokens: int | None
    pulling: int
    effective_steps: float
    positive_share: float | None
    groups: pl.DataFrame


def worth(rows: pl.DataFrame) -> Worth:
    """What the rows of a weighted batch, of tokens or of messages, are worth."""
    pull, row, tokens = _token_pull(rows) if "input_ids" in rows.columns else _text_pull(rows)
    size = np.abs(pull)
    total = float(size.sum())
    return Worth(
        steps=pull.size,
        tokens=tokens,
        pulling=int(np.count_nonzero(size)),
        effective_steps=total**2 / float((size**2).sum()) if total else 0.0,
        positive_share=float(pull[pull > 0].sum()) / total if total else None,
        groups=_groups(rows, size, row, total),
    )


def _token_pull(rows: pl.DataFrame) -> tuple[Real, Index, int]:
    """Signed pull of each trained step and the row it is in, and the number of trained tokens."""
    trained = flat(rows["loss_mask"]).to_numpy() == 1
    row = np.repeat(np.arange(rows.height), lengths(rows["loss_mask"]))[trained]
    if not row.size:
        return np.zeros(0), row, 0
    key = (row << 16) + flat(rows["step_ids"]).to_numpy()[trained]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    advantage = flat(rows["advantages"]).to_numpy()[trained].astype(np.float64)
    first = row[starts]
    pull = np.add.reduceat(advantage, starts) * rows["weight"].to_numpy()[first]
    return pull, first, row.size


def _text_pull(rows: pl.DataFrame) -> tuple[Real, Index, None]:
    trained = flat(rows["step_mask"]).to_numpy() == 1
    row = np.repeat(np.arange(rows.height), lengths(rows["step_mask"]))[trained]
    advantage = flat(rows["step_advantages"]).to_numpy()[trained].astype(np.float64)
    return advantage * rows["weight"].to_numpy()[row], row, None


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
