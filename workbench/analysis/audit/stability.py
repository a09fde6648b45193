"""Stability: the same credit with other rollouts in its groups.

Groups are resampled and scored again, see `resampling`. Only groups with at least three scored
rollouts can say anything; of a long log a seeded sample of groups is used, and reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from workbench.analysis.audit.sample import Sample, joined, members_of
from workbench.analysis.audit.statistics import Reading, mean_of_segments, rank_correlation, ratio
from workbench.analysis.audit.subject import Subject
from workbench.analysis.prediction import Prediction, predicted, predicting_term
from workbench.analysis.resampling import drawn_spaces
from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Real, Steps, Truth

SPLITS = 4  # of the other rollouts into halves


@dataclass
class _Draws:
    """Trajectories by drawn group, gathered before they are scored together."""

    trajectory: list[Index] = field(default_factory=list)
    group: list[Index] = field(default_factory=list)
    focus: list[Truth] = field(default_factory=list)
    groups: int = 0

    def add(self, trajectory: Index, focus: Truth) -> None:
        """Add one drawn group; `focus` says whose steps are asked for."""
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


def leave_one_out(subject: Subject, sample: Sample) -> Reading:
    """Mean rank correlation of the others' credit before and after a rollout is dropped.

    Inside a group; a group whose credit is constant, before or after, has none.
    """
    steps, draws, of_group = subject.steps, _Draws(), []
    rng = np.random.default_rng(sample.seed)
    for group in sample.groups:
        members = members_of(steps, int(group))
        for gone in sample.some(members, rng):
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


def split_half(subject: Subject, sample: Sample) -> Reading:
    """Rank correlation of a step's credit against one half of the other rollouts and the other.

    Each rollout is scored with ⌊(n−1)/2⌋ of the others and with as many different ones; all steps
    of a group are ranked together.
    """
    steps, draws = subject.steps, _Draws()
    rng = np.random.default_rng(sample.seed)
    for group in sample.groups:
        members = members_of(steps, int(group))
        size = (len(members) - 1) // 2
        for _ in range(SPLITS):
            # Two halves and the rollout itself are about one group.
            for own in sample.some(members, rng, times=SPLITS):
                others = rng.permutation(members[members != own])
                for number in range(2):
                    half = others[number * size : (number + 1) * size]
                    draws.add(np.r_[own, half], np.arange(size + 1) == 0)
    halves: tuple[list[Real], list[Real]] = ([], [])
    origins: list[Index] = []
    for drawn, origin, advantage, focus in _scored(subject, draws):
        for number in range(2):
            of_half = focus & (drawn % 2 == number)  # the halves of a rollout follow each other
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
        note=joined("reliability only", sample.note),
    )


def held_out_gain(subject: Subject, sample: Sample) -> tuple[Reading, Real] | str:
    """Gain of a baseline over the plain mean in predicting held-out rollouts.

        1 − Σ (G − B)² / Σ (G − mean of the others)²

    Returns:
        The reading, and each group's share of it, whose mean over the sampled groups it is, NaN
        for the others, (G,). Where nothing can be held out, why.
    """
    assert subject.method is not None
    assert subject.credit is not None
    steps, rng = subject.steps, np.random.default_rng(sample.seed)
    name = predicting_term(subject.credit)
    if name is None:
        return "it has no step or episode term, which compare a return with a baseline"
    held = [sample.some(members_of(steps, int(group)), rng) for group in sample.groups]
    trajectories = np.concatenate(held or [np.zeros(0, int)])
    found = predicted(subject.method, subject.credit, subject.space, trajectories)
    plain, error = _squares(steps, found)
    if not found.is_outcome:
        return f"the score of its {name} term is made of other rollouts, so it is no outcome"
    if not plain.any():
        return "no group has three scored rollouts whose outcomes differ"
    note = joined(f"of the {name} term's score", sample.note)
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
