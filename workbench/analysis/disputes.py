"""Disputes of methods on single steps, and how often their signs agree with people's marks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from workbench.log.remarks import TOLERANCE
from workbench.log.steps import Real


def disputed(advantages: Real) -> Real:
    """The distance of methods on steps on whose sign they differ.

        d_i = max over methods of z_mi − min over methods of z_mi,  z_mi = A_mi / std of A_m

    Args:
        advantages: One row per method, NaN where a step is not scored. (M, L) float64

    Returns:
        NaN for steps that not all methods score or on whose sign no two are opposite. A method
        whose advantages are all equal is in its own unit. (L,) float64
    """
    if len(advantages) < 2:
        return np.full(advantages.shape[1:], np.nan)
    scored = np.isfinite(advantages)
    counted = np.maximum(scored.sum(axis=1, keepdims=True), 1)
    known = np.where(scored, advantages, 0.0)
    mean = known.sum(axis=1, keepdims=True) / counted
    square = np.where(scored, (known - mean) ** 2, 0.0).sum(axis=1, keepdims=True) / counted
    deviation = np.sqrt(square)
    units = advantages / np.where(deviation > TOLERANCE, deviation, 1.0)
    differ = (advantages.max(axis=0) > TOLERANCE) & (advantages.min(axis=0) < -TOLERANCE)
    return np.where(differ, units.max(axis=0) - units.min(axis=0), np.nan)


def agreement(advantages: Mapping[str, Real], mark: pl.Series) -> pl.DataFrame:
    """The share of marked steps on which each method's sign is that of the mark.

    Args:
        advantages: Method -> advantage of each step of the log, NaN where it scores none. (L,)
        mark: "+", "-" or null per step. (L,)

    Returns:
        Per method: method, marked (scored steps with a mark), agree, zero (of those, advantage 0),
        against, and share, agree / marked; null where no marked step is scored.
    """
    wanted = np.select([(mark == "+").fill_null(value=False).to_numpy()], [1], 0)
    wanted -= (mark == "-").fill_null(value=False).to_numpy().astype(np.int64)
    rows = []
    for method, values in advantages.items():
        scored = (wanted != 0) & np.isfinite(values)
        sign = np.where(np.abs(values[scored]) <= TOLERANCE, 0, np.sign(values[scored]))
        agree, zero = int((sign == wanted[scored]).sum()), int((sign == 0).sum())
        count = int(scored.sum())
        rows.append(
            {
                "method": method,
                "marked": count,
                "agree": agree,
                "zero": zero,
                "against": count - agree - zero,
                "share": agree / count if count else None,
            }
        )
    schema = dict.fromkeys(("marked", "agree", "zero", "against"), pl.Int64)
    return pl.DataFrame(rows, schema={"method": pl.String, **schema, "share": pl.Float64})
