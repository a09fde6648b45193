"""Spread and placebos: where a credit puts its differences, and what else they follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import polars as pl

from workbench.analysis.audit.statistics import (
    Reading,
    mean_of_segments,
    ratio,
    segment_correlation,
    segment_ranks,
    share,
)
from workbench.analysis.audit.subject import Subject
from workbench.log.remarks import TOLERANCE
from workbench.log.segments import segment_mean, segment_sum
from workbench.log.steps import Real, Truth

SHUFFLES = 40  # of a credit inside its trajectories; their range holds about 95 %


def spread(subject: Subject) -> Iterator[Reading]:
    """Spread of a credit: between trajectories, inside them, in failures."""
    steps, log, advantage = subject.steps, subject.log, subject.advantage
    group, groups = steps.group, steps.groups
    everywhere = np.ones(len(steps), dtype=bool)
    inside = (
        advantage - segment_mean(advantage, steps.trajectory, steps.trajectories)[steps.trajectory]
    )
    square = (advantage - advantage.mean()) ** 2
    if subject.deviation > TOLERANCE:
        within = segment_sum(inside**2, group, groups)
        total = segment_sum(square, group, groups)
        yield ratio("within_share", within, total, count=len(steps))
    parts = [subject.term(name) for name in ("step", "episode")]
    if parts[0] is not None and parts[1] is not None:
        deviations = [float(part.std()) for part in parts if part is not None]
        if sum(deviations) > TOLERANCE:
            yield Reading(
                measure="step_share", value=deviations[0] / sum(deviations), count=len(steps)
            )
    yield share("above_one", np.abs(advantage) > 1.0, everywhere, group, groups)
    quartiles = np.quantile(advantage, [0.25, 0.75])
    yield Reading(measure="interquartile_range", value=float(np.ptp(quartiles)), count=len(steps))
    failed = np.asarray(log.success == 0.0)[steps.trajectory]
    note = log.success_note
    if subject.deviation > TOLERANCE and failed.any():
        variance = segment_sum(np.where(failed, inside**2, 0.0), group, groups)
        count = segment_sum(failed.astype(np.float64), group, groups)
        unit = subject.deviation**2
        yield ratio("failed_variance", variance / unit, count, note=note)
    yield share("positive_in_failures", advantage > TOLERANCE, failed, group, groups)
    centred = log.centred[steps.trajectory]
    decided = (np.abs(centred) > TOLERANCE) & (np.abs(advantage) > TOLERANCE)
    yield share("sign_disagreement", centred * advantage < 0, decided, group, groups)


def placebos(subject: Subject, rng: np.random.Generator) -> Iterator[Reading]:
    """Rank correlations, inside trajectories, with what has nothing to do with merit.

    Mean of Spearman's correlation over trajectories in which both sides vary; with it the range
    of the same number when the credit is shuffled inside each trajectory.
    """
    steps, log = subject.steps, subject.log
    trajectory, trajectories = steps.trajectory, steps.trajectories
    last = steps.trajectory_start[1:][trajectory] - 1
    won, lost = np.asarray(log.success == 1.0), np.asarray(log.success == 0.0)
    everyone = np.ones(trajectories, dtype=bool)
    what: dict[str, tuple[Real, Truth]] = {
        "time_in_winners": ((last - np.arange(len(steps))).astype(np.float64), won),
        "position": (steps.step_index.astype(np.float64), lost),
        "action_length": (_length(steps.column("action")), everyone),
        "observation_length": (_length(steps.column("observation")), everyone),
    }
    others = {measure: segment_ranks(value, trajectory) for measure, (value, _) in what.items()}

    def correlation(ranks: Real, measure: str) -> Real:
        found = segment_correlation(ranks, others[measure], trajectory, trajectories)
        return np.where(what[measure][1], found, np.nan)

    ranks = segment_ranks(subject.advantage, trajectory)
    shuffled: dict[str, list[float]] = {measure: [] for measure in what}
    for _ in range(SHUFFLES):
        order = np.lexsort((rng.random(len(steps)), trajectory))
        for measure, means in shuffled.items():
            found = correlation(ranks[order], measure)
            if np.isfinite(found).any():
                means.append(float(np.nanmean(found)))
    for measure, means in shuffled.items():
        note = log.success_note if measure in {"time_in_winners", "position"} else ""
        how = (steps.trajectory_group, steps.groups)
        reading = mean_of_segments(measure, correlation(ranks, measure), *how, note=note)
        limits = (min(means), max(means)) if means else None
        yield dataclasses.replace(reading, shuffled=limits)


def _length(texts: pl.Series) -> Real:
    return texts.str.len_chars().cast(pl.Float64).to_numpy()
