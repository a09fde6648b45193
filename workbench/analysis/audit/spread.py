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
    share,
    standard_ranks,
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
    ranks = standard_ranks(subject.advantage, trajectory, trajectories)
    others: dict[str, Real] = {}
    readings: dict[str, Reading] = {}
    for measure, (value, among) in what.items():
        other = standard_ranks(value, trajectory, trajectories)
        product = segment_sum(ranks * other, trajectory, trajectories)
        known = among & np.isfinite(product)
        note = log.success_note if measure in {"time_in_winners", "position"} else ""
        readings[measure] = mean_of_segments(
            measure,
            np.where(known, np.clip(product, -1.0, 1.0), np.nan),
            steps.trajectory_group,
            steps.groups,
            note=note,
        )
        if known.any():
            others[measure] = np.where(known[trajectory], other, 0.0) / known.sum()
    ranks = np.nan_to_num(ranks)
    means: dict[str, list[float]] = {measure: [] for measure in others}
    for _ in range(SHUFFLES if others else 0):
        # A shuffle leaves means and deviations of ranks as they are, and so the division by them.
        shuffled = ranks[np.argsort(trajectory + rng.random(len(steps)))]
        for measure, other in others.items():
            # A product of BLAS rounds as its number of threads has it; this one does not.
            means[measure].append(float(np.einsum("i,i->", shuffled, other)))
    for measure, reading in readings.items():
        found = means.get(measure)
        limits = (min(found), max(found)) if found else None
        yield dataclasses.replace(reading, shuffled=limits)


def _length(texts: pl.Series) -> Real:
    return texts.str.len_chars().cast(pl.Float64).to_numpy()
