"""The audit itself: every measure of every credit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import polars as pl

from workbench.analysis.audit.agreement import (
    closest_to_logged,
    label_by_group,
    labels,
    logged,
    merged_groups,
)
from workbench.analysis.audit.coverage import credit_coverage, likely_secrets, log_coverage
from workbench.analysis.audit.findings import Finding, by_severity, credit_findings, log_findings
from workbench.analysis.audit.population import credit_population, dialects, log_population
from workbench.analysis.audit.power import power
from workbench.analysis.audit.result import INTERVALS, Audit, frame_of
from workbench.analysis.audit.sample import DRAWS, Sample, sample_of
from workbench.analysis.audit.spread import placebos, spread
from workbench.analysis.audit.stability import held_out_gain, leave_one_out, split_half
from workbench.analysis.audit.statistics import Reading
from workbench.analysis.audit.subject import AuditedLog, Subject, audited
from workbench.analysis.audit.uncertainty import bootstrap, uncertainty
from workbench.errors import ParameterError
from workbench.log.credit import ScoredCredit
from workbench.log.steps import Real
from workbench.methods import create
from workbench.states.space import Space
from workbench.wording import Progress, silent

CONTROLS = ("random", "return-to-go")
LOGGED = "logged"
_DRAWN = 4  # parts of what draws other rollouts
_OF_METHOD = "resampling, held-out error, peers, dialects"
_SCHEMA = {"credit": pl.String, "measures": pl.String, "reason": pl.String}


@dataclass
class _Growing:
    """An audit in progress: the parts known so far."""

    readings: list[tuple[str | None, Reading]] = field(default_factory=list)
    findings: dict[str | None, tuple[Finding, ...]] = field(default_factory=dict)
    intervals: list[pl.DataFrame] = field(default_factory=list)
    gains: dict[str, Real] = field(default_factory=dict)
    not_held: dict[str, str] = field(default_factory=dict)


def audit(
    space: Space,
    credits: Mapping[str, ScoredCredit],
    *,
    spaces: Mapping[str, Space] | None = None,
    label: str | None = None,
    controls: Sequence[str] = CONTROLS,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = silent,
) -> Audit:
    """Measures credits of a log without knowing the truth.

    Log-wide coverage is of exact states. What needs a credit's method (resampling, held-out error,
    peers, dialects) is left out, with the reason, where the method is not known or does not give
    the same credit here. The trainer's own advantage is audited as one more credit, `logged`.

    Args:
        space: The log.
        credits: Name -> credit.
        spaces: Name -> space in which that credit's method runs, for those with another embedder or
            state text; `space` for the others.
        label: Column of the log to compare with; `true_advantage` by default where there is one.
        controls: Methods that know nothing of merit, audited with the credits.
        draws: Of the bootstrap, at most.
        seed: Of all that is drawn.
        progress: Told (what, done, total).

    Raises:
        ParameterError: A credit is not of this log, or there is no such label.
        MissingInputError: A credit's method asks what follows what, and the log does not say it.
    """
    *_, last = audits(
        space,
        credits,
        spaces=spaces,
        label=label,
        controls=controls,
        draws=draws,
        seed=seed,
        progress=progress,
    )
    return last


def audits(
    space: Space,
    credits: Mapping[str, ScoredCredit],
    *,
    spaces: Mapping[str, Space] | None = None,
    label: str | None = None,
    controls: Sequence[str] = CONTROLS,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = silent,
) -> Iterator[Audit]:
    """The same audit as it grows: the log, the credits' tables, shuffles, other rollouts drawn.

    Arguments and errors are those of `audit`.

    Yields:
        What is known so far, each more than the one before; the last is the audit.
    """
    if not credits:
        raise ParameterError("an audit needs at least one credit")
    log = AuditedLog(space)
    controls = [name for name in controls if name not in credits]
    # A control that asks what follows what says nothing where that was guessed.
    if space.steps.guessed_chains and not space.allow_unchained:
        controls = [name for name in controls if not create(name).chains()]
    sample, known = sample_of(log.steps, seed=seed, draws=draws), _Growing()
    of_log = _of_log(log)
    known.readings += [(None, reading) for reading in of_log]
    known.findings[None] = tuple(log_findings(of_log))
    subjects: list[Subject] = []
    said = _Said(tuple(credits), tuple(controls), sample, log)
    yield said.audit(subjects, known)
    for name, credit in credits.items():
        subjects.append(audited(name, log, (spaces or {}).get(name, space), credit))
    subjects += _logged(log, credits)
    subjects += [_control(name, log) for name in controls]
    said = replace(said, credits=tuple(s.name for s in subjects if s.name not in controls))
    tables: dict[str, list[Reading]] = {}
    parts = len(subjects) * (2 + _DRAWN)

    def learn(subject: Subject, readings: Sequence[Reading]) -> bool:
        tables.setdefault(subject.name, []).extend(readings)
        known.readings.extend((subject.name, reading) for reading in readings)
        before = known.findings.get(subject.name, ())
        if subject.name not in controls:
            known.findings[subject.name] = tuple(credit_findings(subject, tables[subject.name]))
        return known.findings.get(subject.name, ()) != before

    for number, subject in enumerate(subjects):
        progress(f"table of {subject.name}", number, parts)
        if learn(subject, _of_table(subject, label, seed)):
            yield said.audit(subjects, known)
    yield said.audit(subjects, known)
    for number, subject in enumerate(subjects):
        progress(f"shuffles of {subject.name}", len(subjects) + number, parts)
        placebo = placebos(subject, np.random.default_rng(seed))
        if learn(subject, [*placebo, *dialects(subject)]):
            yield said.audit(subjects, known)
    known.readings += [(None, reading) for reading in closest_to_logged(log)]
    yield said.audit(subjects, known)
    for number, subject in enumerate(subjects):
        begun = 2 * len(subjects) + number * _DRAWN
        at = partial(_tell, progress, f"other rollouts for {subject.name}", parts, begun)
        if learn(subject, _of_draws(subject, sample, known, at)):
            yield said.audit(subjects, known)
    known.readings += _power(subjects, known.gains, label)
    yield said.audit(subjects, known)


def _tell(progress: Progress, stage: str, parts: int, begun: int, done: int) -> None:
    progress(stage, begun + done, parts)


def log_audit(space: Space) -> tuple[Finding, ...]:
    """Findings on a log whatever scores it, the worst first; nothing is drawn."""
    return by_severity(list(log_findings(_of_log(AuditedLog(space)))))


def _of_log(log: AuditedLog) -> list[Reading]:
    found = [*log_coverage(log), *log_population(log)]
    return [*found, *merged_groups(log), *likely_secrets(log)]


def _of_draws(
    subject: Subject, sample: Sample, known: _Growing, at: Callable[[int], None]
) -> list[Reading]:
    """Readings over redrawn groups of a credit; nothing where none can be drawn."""
    at(0)
    if not subject.drawable or not subject.depends_on_others:
        return []
    drawn = bootstrap(subject, sample)
    found = [*uncertainty(subject, sample, drawn)]
    known.intervals.append(drawn.frame(subject))
    at(1)
    found.append(leave_one_out(subject, sample))
    at(2)
    found.append(split_half(subject, sample))
    at(3)
    held = held_out_gain(subject, sample)
    if isinstance(held, str):
        known.not_held[subject.name] = held
    else:
        found.append(held[0])
        known.gains[subject.name] = held[1]
    return found


@dataclass(frozen=True)
class _Said:
    """Text of an audit, at any point of its progress."""

    credits: tuple[str, ...]
    controls: tuple[str, ...]
    sample: Sample
    log: AuditedLog

    def audit(self, subjects: Sequence[Subject], known: _Growing) -> Audit:
        """The audit as known so far."""
        findings = [finding for found in known.findings.values() for finding in found]
        return Audit(
            credits=self.credits,
            controls=self.controls,
            frame=frame_of(known.readings),
            findings=by_severity(findings),
            left_out=_left_out(subjects, known.not_held),
            intervals=pl.concat([pl.DataFrame(schema=INTERVALS), *known.intervals]),
            sampling={
                "seed": self.sample.seed,
                "draws": self.sample.draws,
                "groups": len(self.sample.groups),
                "eligible_groups": self.sample.eligible,
                "steps": self.sample.steps,
            },
            title=self.log.facts.sentence(),
        )


def _logged(log: AuditedLog, credits: Mapping[str, ScoredCredit]) -> list[Subject]:
    """The trainer's own advantage as a credit, where every scored step has one."""
    logged_advantage = log.steps.column("logged_advantage")
    if logged_advantage.null_count() or LOGGED in credits:
        return []
    ids = log.steps.log.select("group_id", "trajectory_id", "step_index")[log.steps.row]
    table = ids.with_columns(advantage=logged_advantage)
    return [audited(LOGGED, log, log.space, ScoredCredit(table))]


def _control(name: str, log: AuditedLog) -> Subject:
    method = create(name)
    credit = method(log.steps, log.space)
    table = credit.table().filter(pl.col("excluded").is_null())
    return Subject(name=name, log=log, space=log.space, table=table, method=method, credit=credit)


def _of_table(subject: Subject, label: str | None, seed: int) -> list[Reading]:
    """Readings from the credit's table alone, and from peers where the method is known."""
    return [
        *credit_coverage(subject, np.random.default_rng(seed)),
        *spread(subject),
        *credit_population(subject),
        *(logged(subject) if subject.name != LOGGED else ()),
        *labels(subject, label),
    ]


def _power(
    subjects: Sequence[Subject], gains: Mapping[str, Real], label: str | None
) -> list[tuple[str | None, Reading]]:
    """Pairs of credits by agreement with a label where there is one, else by held-out gain."""
    of_label = {subject.name: label_by_group(subject, label) for subject in subjects}
    scores = {name: score for name, score in of_label.items() if score is not None}
    statistic = "rank correlation with the label"
    if not scores:
        scores, statistic = dict(gains), "held-out gain"
    return list(power(scores, statistic))


def _left_out(subjects: Sequence[Subject], not_held: Mapping[str, str]) -> pl.DataFrame:
    rows = [
        {"credit": subject.name, "measures": _OF_METHOD, "reason": subject.unknown}
        for subject in subjects
        if subject.method is None
    ]
    rows += [
        {
            "credit": subject.name,
            "measures": "resampling, held-out error",
            "reason": "its credit of a group depends on the other groups, so none can be drawn "
            "alone",
        }
        for subject in subjects
        if subject.method is not None and not subject.drawable
    ]
    rows += [
        {
            "credit": subject.name,
            "measures": "resampling, held-out error",
            "reason": "its credit of a step does not depend on the other rollouts, so it is the "
            "same whatever they are, and that says nothing of it",
        }
        for subject in subjects
        if subject.drawable and not subject.depends_on_others
    ]
    rows += [
        {"credit": name, "measures": "held-out error", "reason": reason}
        for name, reason in not_held.items()
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
