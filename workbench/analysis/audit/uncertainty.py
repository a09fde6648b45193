"""Uncertainty: the credit of a step with the other rollouts of its group resampled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.analysis.audit.sample import Sample, joined
from workbench.analysis.audit.statistics import Reading, ratio
from workbench.analysis.audit.subject import Subject
from workbench.analysis.resampling import drawn_spaces
from workbench.log.remarks import TOLERANCE
from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Real


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """The credit of every step with its group's other rollouts drawn with replacement.

    Args:
        low, high: 5 % and 95 % quantile of the credit; NaN where it was not drawn. (S,), (S,)
        flips: Share of the draws in which its sign is the other one; NaN likewise. (S,) float64
        draws: In how many draws each step was scored. (S,) int64
    """

    low: Real
    high: Real
    flips: Real
    draws: Index

    def frame(self, subject: Subject) -> pl.DataFrame:
        """One row per drawn step: credit, ids, advantage, low, high, sign_flips, draws."""
        ids = subject.steps.log.select("group_id", "trajectory_id", "step_index")
        table = ids[subject.steps.row].with_columns(
            advantage=pl.Series(subject.advantage),
            low=pl.Series(self.low),
            high=pl.Series(self.high),
            sign_flips=pl.Series(self.flips),
            draws=pl.Series(self.draws),
        )
        table = table.filter(pl.col("draws") > 0)
        return table.select(pl.lit(subject.name).alias("credit"), pl.all())


def bootstrap(subject: Subject, sample: Sample) -> Bootstrap:
    """Draws n of a group's n rollouts with replacement, again and again.

    A draw in which a rollout occurs exactly once is that rollout with n − 1 of the *others* drawn
    with replacement, so its steps are read in those draws (.37 to .44 of all) and in no other: a
    copy of itself among its peers would say nothing of other rollouts.
    """
    assert subject.method is not None
    steps, rng = subject.steps, np.random.default_rng(sample.seed)
    members = np.flatnonzero(np.isin(steps.trajectory_group, sample.groups))
    slot = np.searchsorted(sample.groups, steps.trajectory_group[members])
    count = np.bincount(slot, minlength=len(sample.groups))
    first = (np.cumsum(count) - count)[slot]
    shape = (sample.draws, len(members))
    place = first + (rng.random(shape) * count[slot]).astype(np.int64)
    draw = np.broadcast_to(np.arange(sample.draws)[:, None], shape)
    occurs = np.zeros(shape, dtype=np.int64)
    np.add.at(occurs, (draw, place), 1)
    once = np.take_along_axis(occurs, place, axis=1).ravel() == 1
    group = (draw * len(sample.groups) + slot).ravel()
    chosen = np.flatnonzero(np.isin(steps.group, sample.groups))
    values = np.full((sample.draws, len(chosen)), np.nan)
    for part, here, space in drawn_spaces(subject.space, members[place].ravel(), group):
        read = once[part][here.trajectory]
        of_draw = draw.ravel()[part][here.trajectory][read]
        advantage = subject.method(here, space).advantage
        values[of_draw, np.searchsorted(chosen, here.origin[read])] = advantage[read]
    drawn = np.isfinite(values)
    low, high, flips = np.full((3, len(steps)), np.nan)
    draws = np.zeros(len(steps), dtype=np.int64)
    draws[chosen] = drawn.sum(axis=0)
    seen = draws[chosen] > 0
    if seen.any():
        at = chosen[seen]
        low[at], high[at] = np.nanquantile(values[:, seen], [0.05, 0.95], axis=0)
        against = (values * np.sign(subject.advantage[chosen]) < -TOLERANCE) & drawn
        flips[at] = against[:, seen].sum(axis=0) / draws[at]
    return Bootstrap(low=low, high=high, flips=flips, draws=draws)


def uncertainty(subject: Subject, sample: Sample, found: Bootstrap) -> Iterator[Reading]:
    """Interval width and sign flips of a bootstrap."""
    steps = subject.steps
    drawn = f"{sample.draws} draws a group, each step read in about two fifths"
    note = joined(drawn, sample.note)
    signed = (np.abs(subject.advantage) > TOLERANCE) & np.isfinite(found.flips)
    width = (found.high - found.low)[signed]
    wide = float(np.median(width)) / subject.deviation if len(width) else None
    yield Reading(measure="interval_width", value=wide, count=int(signed.sum()), note=note)
    flips = np.where(signed, found.flips, 0.0)
    yield ratio(
        "sign_flip_rate",
        segment_sum(flips, steps.group, steps.groups),
        segment_sum(signed.astype(np.float64), steps.group, steps.groups),
        note=note,
    )
