"""A step's return against the returns of the steps in the same state."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import segment_level, segment_std, segment_sum
from workbench.log.steps import Index, Real


def anchor_term(
    key: Index,
    score: Real,
    weight: Real,
    *,
    norm: Literal["std", "mean"],
    eps: float,
    factor: float,
) -> Term:
    """Score against the mean of its anchor group, over the group's deviation if asked.

        w · (x_i − mean_g x) / (std_g x + eps)        or        w · (x_i − mean_g x)

    Args:
        key: Anchor group of each step. (S,) int64
        score: x. (S,) float64
        weight: How often each step counts in its anchor group. (S,) float64
        norm: "std" divides by the deviation (ddof 1).
        eps: Added to the deviation.
        factor: w.

    Equal scores of an anchor group give exactly 0, and so does a step that is alone in its own.
    """
    keys = int(key.max()) + 1
    counted = weight > 0
    count = segment_sum(weight, key, keys)
    mean, constant = segment_level(score, key, keys, weight)
    deviation = np.where(constant, 0.0, segment_std(score, key, keys, weight))
    scale = np.full(keys, factor)
    if norm == "std":
        scale = np.where(constant, 0.0, factor / np.where(constant, 1.0, deviation + eps))
    baseline = np.where(count > 0, mean, 0.0)[key]
    baseline[count[key] == 0] = score[count[key] == 0]

    def facts(step: int) -> dict[str, Any]:
        own = key[step]
        return {
            "anchor_group_size": float(count[own]),
            "anchor_mean": float(mean[own]),
            "anchor_std": float(deviation[own]),
            "all_equal": bool(constant[own]),
        }

    def peers(step: int) -> Peers:
        members = np.flatnonzero((key == key[step]) & counted)
        share = weight[members] / max(weight[members].sum(), 1.0)
        return Peers(step=members, weight=share, value=score[members])

    return Term(score=score, baseline=baseline, factor=scale[key], peers=peers, facts=facts)
