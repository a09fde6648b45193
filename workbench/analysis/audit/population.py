"""Population: what the conventions of a method, or of its dialects, do on this log."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.analysis.audit.statistics import Reading, ratio, share
from workbench.analysis.audit.subject import AuditedLog, Subject
from workbench.errors import WorkbenchError
from workbench.log.remarks import TOLERANCE
from workbench.log.segments import segment_mean, segment_std, segment_sum
from workbench.log.steps import Real
from workbench.methods import Method, create
from workbench.parameters import fields
from workbench.wording import number


def log_population(log: AuditedLog) -> Iterator[Reading]:
    """Readings on step rows, copies and penalties: effects on statistics over them."""
    steps, groups = log.steps, log.steps.groups
    reward = steps.episode_reward
    counted = steps.counted.astype(np.float64)
    of_trajectory = counted[steps.trajectory_start[:-1]]
    by_trajectory = segment_mean(reward, steps.trajectory_group, groups, of_trajectory)
    by_step = segment_mean(reward[steps.trajectory], steps.group, groups, counted)
    deviation = segment_std(reward, steps.trajectory_group, groups, of_trajectory)
    live = log.live & (deviation > 0)
    shift = np.zeros(groups)
    shift[live] = np.abs(by_step - by_trajectory)[live] / deviation[live]
    worst = int(np.argmax(shift))
    note = (
        f"largest {shift[worst]:.3g} in {log.group_ids[worst]}: mean reward "
        f"{by_trajectory[worst]:.3g} over trajectories, {by_step[worst]:.3g} over steps"
    )
    yield ratio(
        "population_shift", shift, live.astype(np.float64), note=note if shift[worst] else ""
    )
    extra = steps.copies - 1.0
    rows = segment_sum(steps.copies, steps.group, groups)
    yield ratio("copied_rows", segment_sum(extra, steps.group, groups), rows)
    everywhere = np.ones(len(steps), dtype=bool)
    yield share("invalid_actions", steps.invalid_action, everywhere, steps.group, groups)


def credit_population(subject: Subject) -> Iterator[Reading]:
    """Population that a credit is centred over (trajectories or step rows), and its dead groups.

    Both balances are means over live groups of |mean of the episode term| in deviations of it.
    """
    steps, log, episode = subject.steps, subject.log, subject.episode
    group, groups = steps.group, steps.groups
    counted = steps.counted.astype(np.float64)
    deviation = segment_std(episode, group, groups, counted, ddof=0)
    live = log.live & (deviation > TOLERANCE)
    of_trajectory = segment_mean(episode, steps.trajectory, steps.trajectories)
    weight = counted[steps.trajectory_start[:-1]]
    means = {
        "trajectory_balance": segment_mean(of_trajectory, steps.trajectory_group, groups, weight),
        "step_balance": segment_mean(episode, group, groups, counted * steps.copies),
    }
    for measure, mean in means.items():
        size = np.zeros(groups)
        size[live] = np.abs(mean[live]) / deviation[live]
        yield ratio(measure, size, live.astype(np.float64), note=subject.episode_note)
    size = segment_sum(np.abs(episode), group, groups)
    total = float(size.sum())
    for kind in np.unique(log.kind[~log.live]) if total > TOLERANCE else ():
        here = log.kind == kind
        yield Reading(
            measure="dead_credit",
            value=float(size[here].sum()) / total,
            count=int(here.sum()),
            where=str(kind),
            note=subject.episode_note,
        )
    if "success_rate" in subject.table.columns:
        yield _saturated(subject)


def _saturated(subject: Subject) -> Reading:
    """Groups with successes and failures whose success rate is at an end all the same."""
    steps, log = subject.steps, subject.log
    rate = subject.table["success_rate"].to_numpy()[steps.group_start[:-1]]
    failed, won = (
        np.bincount(steps.trajectory_group, log.success == outcome, steps.groups) > 0
        for outcome in (0.0, 1.0)
    )
    at_an_end = (rate <= TOLERANCE) | (rate >= 1.0 - TOLERANCE)
    groups = np.arange(steps.groups)
    among = np.asarray(failed & won & np.isfinite(rate))
    return share("saturated_rate", at_an_end, among, groups, len(groups))


def dialects(subject: Subject) -> Iterator[Reading]:
    """Difference of each dialect of the method from its default, and the field behind it."""
    if subject.method is None:
        return
    method = subject.method.info
    default = method.cls()
    base = _advantage(default, subject)
    if isinstance(base, str):
        return
    deviation = float(base.std())
    for name, entry in method.dialects.items():
        dialect = create(f"{method.name}:{name}")
        there = _advantage(dialect, subject)
        where = f"{method.name}:{name}"
        if isinstance(there, str):
            yield Reading(measure="dialect_distance", value=None, where=where, note=there)
        elif deviation > TOLERANCE:
            distance = float(np.abs(there - base).mean()) / deviation
            note = "no difference on this log"
            if distance > TOLERANCE:
                cause = _cause(default, dialect, subject, base, deviation)
                note = f"{cause}; traits: {', '.join(entry.traits) or 'none'}"
            yield Reading(
                measure="dialect_distance",
                value=distance,
                count=len(base),
                where=where,
                note=note,
            )


def _advantage(method: Method, subject: Subject) -> Real | str:
    """The credit of a method, or why it cannot score this log."""
    try:
        return method(subject.steps, subject.space).advantage
    except WorkbenchError as error:
        return f"cannot score this log: {error}"


def _cause(default: Method, dialect: Method, subject: Subject, base: Real, deviation: float) -> str:
    """The field of a dialect that alone moves the default the most."""
    moved: dict[str, float] = {}
    for name in fields(type(default)):
        value = dialect.values[name]
        if value == default.values[name]:
            continue
        there = _advantage(_with(default, name, value), subject)
        if not isinstance(there, str):
            moved[f"{name}={number(value)}"] = float(np.abs(there - base).mean()) / deviation
    if not moved or max(moved.values()) <= TOLERANCE:
        return "no field alone does it"
    cause = max(moved, key=lambda name: moved[name])
    return f"{cause} alone: {moved[cause]:.3g}"


def _with(method: Method, name: str, value: Any) -> Method:
    return dataclasses.replace(method, **{name: value})
