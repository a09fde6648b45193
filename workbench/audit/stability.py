"""Stability: the same credit with other rollouts in its groups.

Groups are drawn anew and scored again, see `resampling`. Only groups with at least three scored
rollouts can say anything; of a long log a seeded sample of groups is used, and said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from workbench.audit.statistics import (
    Reading,
    mean_of_segments,
    rank_correlation,
    ratio,
)
from workbench.audit.subject import Subject
from workbench.compare import TOLERANCE
from workbench.held_out import FEWEST_ROLLOUTS, Prediction, predicted, predicting_term
from workbench.resampling import drawn_spaces
from workbench.returns import segment_sum
from workbench.steps import Index, Real, Steps, Truth

SAMPLE_STEPS = 5_000  # of the groups that are drawn anew
REDO_STEPS = 500_000  # scored again for one measure of one credit
REDO_PAIRS = 2_000_000_000  # pairs of steps of a group met doing so
DRAWS = 200
SPLITS = 4  # of the other rollouts into halves


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What is scored again.

    Args:
        groups: Groups that are drawn anew. (H,) int64
        draws: How often each is drawn.
        eligible: Groups with at least three scored rollouts.
        steps: Steps of the drawn groups.
        seed: Of all that is drawn.
    """

    groups: Index
    draws: int
    eligible: int
    steps: int
    seed: int

    @property
    def note(self) -> str:
        """What of the log it is, in words."""
        if len(self.groups) == self.eligible:
            return ""
        return f"{len(self.groups):,} groups drawn of {self.eligible:,}"


def sample_of(steps: Steps, *, seed: int, draws: int = DRAWS) -> Sample:
    """The groups that are drawn anew, and how often, so that the work is bounded."""
    counts = steps.counted[steps.trajectory_start[:-1]].astype(np.float64)
    rollouts = segment_sum(counts, steps.trajectory_group, steps.groups)
    eligible = np.flatnonzero(rollouts >= FEWEST_ROLLOUTS)
    size = np.diff(steps.group_start)
    order = np.random.default_rng(seed).permutation(eligible)
    fits = np.cumsum(size[order]) <= SAMPLE_STEPS
    fits[:1] = True
    groups = np.sort(order[fits])
    rows, pairs = int(size[groups].sum()), int((size[groups] ** 2).sum())
    bounded = min(draws, REDO_STEPS // max(rows, 1), REDO_PAIRS // max(pairs, 1))
    return Sample(
        groups=groups,
        draws=max(bounded, min(draws, 20)),
        eligible=len(eligible),
        steps=rows,
        seed=seed,
    )


@dataclass
class _Draws:
    """Trajectories by drawn group, gathered before they are scored together."""

    trajectory: list[Index] = field(default_factory=list)
    group: list[Index] = field(default_factory=list)
    focus: list[Truth] = field(default_factory=list)
    groups: int = 0

    def add(self, trajectory: Index, focus: Truth) -> None:
        """Adds one drawn group; `focus` says whose steps are asked for."""
        self.trajectory.append(trajectory)
        self.group.append(np.full(len(trajectory), self.groups))
        self.focus.append(focus)
        self.groups += 1


def _scored(subject: Subject, draws: _Draws) -> Iterator[tuple[Index, Index, Real, Truth]]:
    """Steps of drawn groups: drawn group, step of the log, credit, whether it is in focus."""
    assert subject.method is not None
    if not draws.groups:
        return
    trajectory, group = np.concatenate(draws.trajectory), np.concatenate(draws.group)
    focus = np.concatenate(draws.focus)
    for part, steps, space in drawn_spaces(subject.space, trajectory, group):
        advantage = subject.method(steps, space).advantage
        first = group[part.start]
        yield steps.group + first, steps.origin, advantage, focus[part][steps.trajectory]


def _members(steps: Steps, group: int) -> Index:
    """Trajectories of a group."""
    return np.flatnonzero(steps.trajectory_group == group)


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
        """One row a drawn step: credit, ids, advantage, low, high, sign_flips, draws."""
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
    members = np.concatenate([_members(steps, g) for g in sample.groups] or [np.zeros(0, int)])
    slot = np.searchsorted(sample.groups, steps.trajectory_group[members])
    count = np.bincount(slot, minlength=len(sample.groups))
    first = (np.cumsum(count) - count)[slot]
    place = (rng.random((sample.draws, len(members))) * count[slot]).astype(np.int64)
    pick = members[first + place]
    number = np.arange(sample.draws)[:, None]
    occurs = np.zeros((sample.draws, steps.trajectories), dtype=np.int64)
    np.add.at(occurs, (np.broadcast_to(number, pick.shape), pick), 1)
    once = np.take_along_axis(occurs, pick, axis=1) == 1
    group = number * len(sample.groups) + slot
    values = np.full((sample.draws, len(steps)), np.nan)
    for part, here, space in drawn_spaces(subject.space, pick.ravel(), group.ravel()):
        read = once.ravel()[part][here.trajectory]
        draw = (group.ravel()[part] // len(sample.groups))[here.trajectory]
        advantage = subject.method(here, space).advantage
        values[draw[read], here.origin[read]] = advantage[read]
    drawn = np.isfinite(values)
    seen = drawn.any(axis=0)
    low, high, flips = np.full((3, len(steps)), np.nan)
    low[seen], high[seen] = np.nanquantile(values[:, seen], [0.05, 0.95], axis=0)
    against = (values * np.sign(subject.advantage) < -TOLERANCE) & drawn
    flips[seen] = against[:, seen].sum(axis=0) / drawn[:, seen].sum(axis=0)
    return Bootstrap(low=low, high=high, flips=flips, draws=drawn.sum(axis=0))


def uncertainty(subject: Subject, sample: Sample, found: Bootstrap) -> Iterator[Reading]:
    """Interval width and sign flips of a bootstrap."""
    steps, note = subject.steps, _joined(f"{sample.draws} draws a group", sample.note)
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


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def leave_one_out(subject: Subject, sample: Sample) -> Reading:
    """Mean rank correlation of the others' credit before and after a rollout is dropped.

    Inside a group; a group whose credit is constant, before or after, has none.
    """
    steps, draws, of_group = subject.steps, _Draws(), []
    rng = np.random.default_rng(sample.seed)
    for group in sample.groups:
        members = _members(steps, int(group))
        for gone in _some(members, sample, rng):
            rest = members[members != gone]
            draws.add(rest, np.ones(len(rest), dtype=bool))
            of_group.append(group)
    correlation = np.full(draws.groups, np.nan)
    for drawn, origin, advantage, _ in _scored(subject, draws):
        of_part = np.arange(drawn[0], drawn[-1] + 1)
        correlation[of_part] = rank_correlation(
            subject.advantage[origin], advantage, drawn - drawn[0], len(of_part)
        )
    return mean_of_segments(
        "leave_one_out_rank", correlation, np.array(of_group, int), steps.groups, note=sample.note
    )


def _some(members: Index, sample: Sample, rng: np.random.Generator) -> Index:
    """The rollouts of a group that are dropped or held out, as many as the bound allows."""
    most = max(1, REDO_STEPS // max(sample.steps, 1))
    return members if len(members) <= most else np.sort(rng.choice(members, most, replace=False))


def split_half(subject: Subject, sample: Sample) -> Reading:
    """Rank correlation of a step's credit against one half of the other rollouts and the other.

    Each rollout is scored with ⌊(n−1)/2⌋ of the others and with as many different ones; all steps
    of a group are ranked together.
    """
    steps, draws = subject.steps, _Draws()
    rng = np.random.default_rng(sample.seed)
    half_of: list[int] = []
    for group in sample.groups:
        members = _members(steps, int(group))
        size = (len(members) - 1) // 2
        for _ in range(SPLITS):
            for own in _some(members, sample, rng):
                others = rng.permutation(members[members != own])
                for number in range(2):
                    half = others[number * size : (number + 1) * size]
                    draws.add(np.r_[own, half], np.arange(size + 1) == 0)
                    half_of.append(number)
    halves: tuple[list[Real], list[Real]] = ([], [])
    origins: list[Index] = []
    number_of = np.array(half_of, dtype=np.int64)
    for drawn, origin, advantage, focus in _scored(subject, draws):
        for number in range(2):
            of_half = focus & (number_of[drawn] == number)
            halves[number].append(advantage[of_half])
            if number == 0:
                origins.append(origin[of_half])
    if not origins:
        return Reading(measure="split_half", value=None, count=0, note=sample.note)
    origin = np.concatenate(origins)
    group = np.searchsorted(sample.groups, steps.group[origin])
    order = np.argsort(group, kind="stable")
    one, other = (np.concatenate(half)[order] for half in halves)
    return mean_of_segments(
        "split_half",
        rank_correlation(one, other, group[order], len(sample.groups)),
        sample.groups,
        steps.groups,
        note=_joined("reliability only", sample.note),
    )


def held_out_gain(subject: Subject, sample: Sample) -> tuple[Reading, Real] | None:
    """How much better a baseline predicts a rollout held out than the plain mean of the others.

        1 − Σ (G − B)² / Σ (G − mean of the others)²

    Returns:
        The reading, and each group's share of it, whose mean over the sampled groups it is, NaN
        for the others, (G,). None where no term compares an outcome with a baseline, and where
        nothing can be held out.
    """
    assert subject.method is not None
    assert subject.credit is not None
    steps, rng = subject.steps, np.random.default_rng(sample.seed)
    name = predicting_term(subject.credit)
    if name is None:
        return None
    held = [_some(_members(steps, int(group)), sample, rng) for group in sample.groups]
    trajectories = np.concatenate(held or [np.zeros(0, int)])
    found = predicted(subject.method, subject.credit, subject.space, trajectories)
    plain, error = _squares(steps, found)
    if not found.is_outcome or not plain.any():
        return None
    note = _joined(f"of the {name} term's score", sample.note)
    count = int(found.chosen.sum())
    reading = ratio("held_out_gain", plain - error, plain, count=count, note=note)
    by_group = np.full(steps.groups, np.nan)
    at = sample.groups
    by_group[at] = (plain - error)[at] / plain[at].mean()
    return reading, by_group


def _squares(steps: Steps, found: Prediction) -> tuple[Real, Real]:
    """Summed squared errors of the plain mean and of the baseline, by group. (G,), (G,)."""
    return (
        segment_sum((found.score - found.plain) ** 2, steps.group, steps.groups),
        segment_sum((found.score - found.baseline) ** 2, steps.group, steps.groups),
    )
