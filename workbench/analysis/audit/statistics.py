"""Shares, correlations and their intervals, over groups as the independent units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import stdtrit

from workbench.analysis.audit.measures import MEASURES
from workbench.analysis.compare import TIE_DECIMALS
from workbench.log.remarks import TOLERANCE
from workbench.log.segments import segment_mean, segment_sum
from workbench.log.steps import Index, Real, Truth

_RANGE = {
    "share": (0.0, 1.0),
    "correlation": (-1.0, 1.0),
    "number": (float("-inf"), float("inf")),
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One number of an audit.

    Args:
        measure: Key of `MEASURES`.
        value: The number; None where there is nothing to measure.
        low, high: 95 % interval with groups as units; None for fewer than two groups, and where no
            interval is known.
        count: Over how many steps, trajectories or groups it is.
        where: What of the log it is about, as `Measure.places` says; empty for all of it.
        note: What a reader of this number should know.
        shuffled: Range of the same number over shuffles of the credit inside each trajectory.
    """

    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int | None = None
    where: str = ""
    note: str = ""
    shuffled: tuple[float, float] | None = None


def ratio(
    measure: str,
    numerator: Real,
    denominator: Real,
    *,
    count: int | None = None,
    note: str = "",
) -> Reading:
    """Σ n_g / Σ d_g with its interval, groups taken as independent.

        v = Σ n / Σ d        se² = G/(G−1) · Σ (n_g − v d_g)² / (Σ d)²        v ± t_{G−1} · se

    the linearised variance of a ratio, cut to what the measure can be; only groups with d > 0
    count.

    Args:
        measure: Key of `MEASURES`.
        numerator: n. (G,) float64
        denominator: d ≥ 0. (G,) float64
        count: As in `Reading`; Σ d by default.
        note: As in `Reading`.
    """
    used = denominator > 0
    n, d = numerator[used], denominator[used]
    groups, total = len(n), float(d.sum())
    if not groups:
        return Reading(measure=measure, value=None, count=0, note=note)
    value = float(n.sum()) / total
    value = 0.0 if abs(value) <= TOLERANCE else value
    low = high = None
    if groups > 1:
        square = groups / (groups - 1) * float(((n - value * d) ** 2).sum())
        reach = float(stdtrit(groups - 1, 0.975)) * float(np.sqrt(square)) / total
        reach = 0.0 if reach <= TOLERANCE else reach
        least, most = _RANGE[MEASURES[measure].kind]
        low, high = max(value - reach, least), min(value + reach, most)
    count = round(total) if count is None else count
    return Reading(measure=measure, value=value, low=low, high=high, count=count, note=note)


def share(measure: str, hit: Truth, among: Truth, group: Index, groups: int) -> Reading:
    """Share of some steps (or trajectories) among others, with its interval over groups."""
    hits = segment_sum((hit & among).astype(np.float64), group, groups)
    return ratio(measure, hits, segment_sum(among.astype(np.float64), group, groups))


def segment_ranks(value: Real, segment: Index) -> Real:
    """Rank of each value in its segment, ties averaged. (S,) float64.

    Example:
        >>> segment_ranks(np.array([3.0, 1.0, 3.0, 7.0]), np.array([0, 0, 0, 1])).tolist()
        [2.5, 1.0, 2.5, 1.0]
    """
    frame = pl.DataFrame({"value": np.round(value, TIE_DECIMALS), "segment": segment})
    ranks = frame.select(pl.col("value").rank("average").over("segment"))
    return np.asarray(ranks["value"].cast(pl.Float64).to_numpy())


def standard_ranks(value: Real, segment: Index, segments: int) -> Real:
    """Ranks in each segment, of mean 0 and sum of squares 1; NaN in one that is constant. (S,)."""
    ranks = segment_ranks(value, segment)
    centred = ranks - segment_mean(ranks, segment, segments)[segment]
    size = segment_sum(centred**2, segment, segments)
    scale = np.full(segments, np.nan)
    varies = size > TOLERANCE
    scale[varies] = 1.0 / np.sqrt(size[varies])
    return np.asarray(centred * scale[segment])


def rank_correlation(one: Real, other: Real, segment: Index, segments: int) -> Real:
    """Spearman's correlation inside each segment. (segments,).

    NaN where one side is constant, or there is nothing.
    """
    product = standard_ranks(one, segment, segments) * standard_ranks(other, segment, segments)
    correlation = np.clip(segment_sum(product, segment, segments), -1.0, 1.0)
    correlation[np.bincount(segment, minlength=segments) == 0] = np.nan
    return np.asarray(correlation)


def mean_of_segments(
    measure: str, value: Real, group: Index, groups: int, *, note: str = ""
) -> Reading:
    """Mean of the values that are not NaN, with its interval over groups.

    Args:
        measure: Key of `MEASURES`.
        value: One a segment. (segments,) float64
        group: Group of each segment. (segments,) int64
        groups: Number of groups.
        note: As in `Reading`.
    """
    known = np.isfinite(value)
    total = segment_sum(np.where(known, value, 0.0), group, groups)
    return ratio(measure, total, segment_sum(known.astype(np.float64), group, groups), note=note)


def spearman(one: Real, other: Real) -> float | None:
    """Rank correlation over all; None where one side is constant or there are fewer than two."""
    everywhere = np.zeros(len(one), dtype=np.int64)
    if len(one) < 2:
        return None
    found = float(rank_correlation(one, other, everywhere, 1)[0])
    return found if np.isfinite(found) else None
