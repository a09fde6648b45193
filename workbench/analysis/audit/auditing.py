"""The audit itself: every measure of every credit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from workbench.analysis.audit.findings import Finding, credit_findings, log_findings
from workbench.analysis.audit.population import credit_population, log_population
from workbench.analysis.audit.power import power
from workbench.analysis.audit.result import INTERVALS, Audit, frame_of
from workbench.analysis.audit.sample import DRAWS, sample_of
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
_OF_METHOD = "resampling, held-out error, peers, dialects"
_SCHEMA = {"credit": pl.String, "measures": pl.String, "reason": pl.String}


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
        controls: Methods that know nothing of merit, audited beside the credits.
        draws: Of the bootstrap, at most.
        seed: Of all that is drawn.
        progress: Told (what, done, total).

    Raises:
        ParameterError: A credit is not of this log, or there is no such label.
        MissingInputError: A credit's method asks what follows what, and the log does not say it.
    """
    if not credits:
        raise ParameterError("an audit needs at least one credit")
    log = AuditedLog(space)
    controls = [name for name in controls if name not in credits]
    subjects = [
        audited(name, log, (spaces or {}).get(name, space), credit)
        for name, credit in credits.items()
    ]
    subjects += _logged(log, credits)
    # A control that asks what follows what says nothing where that was guessed.
    if space.steps.guessed_chains and not space.allow_unchained:
        controls = [name for name in controls if not create(name).chains()]
    subjects += [_control(name, log) for name in controls]
    sample = sample_of(log.steps, seed=seed, draws=draws)
    of_log = [*log_coverage(log), *log_population(log), *closest_to_logged(log)]
    of_log += merged_groups(log)
    of_log += likely_secrets(log)
    readings: list[tuple[str | None, Reading]] = [(None, reading) for reading in of_log]
    findings: list[Finding] = list(log_findings(of_log))
    intervals: list[pl.DataFrame] = []
    gains: dict[str, Real] = {}
    not_held: dict[str, str] = {}
    for number, subject in enumerate(subjects):
        progress(f"audit {subject.name}", number, len(subjects))
        found = [*_of_table(subject, label, seed)]
        if subject.drawable and subject.depends_on_others:
            drawn = bootstrap(subject, sample)
            found += uncertainty(subject, sample, drawn)
            found += [leave_one_out(subject, sample), split_half(subject, sample)]
            intervals.append(drawn.frame(subject))
            held = held_out_gain(subject, sample)
            if isinstance(held, str):
                not_held[subject.name] = held
            else:
                found.append(held[0])
                gains[subject.name] = held[1]
        readings += [(subject.name, reading) for reading in found]
        if subject.name not in controls:
            findings += credit_findings(subject, found)
    readings += _power(subjects, gains, label)
    return Audit(
        credits=tuple(s.name for s in subjects if s.name not in controls),
        controls=tuple(controls),
        frame=frame_of(readings),
        findings=tuple(findings),
        left_out=_left_out(subjects, not_held),
        intervals=pl.concat([pl.DataFrame(schema=INTERVALS), *intervals]),
        sampling={
            "seed": seed,
            "draws": sample.draws,
            "groups": len(sample.groups),
            "eligible_groups": sample.eligible,
            "steps": sample.steps,
        },
        title=log.facts.sentence(),
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
    """What needs no more than the credit's table, and the peers where the method is known."""
    return [
        *credit_coverage(subject, np.random.default_rng(seed)),
        *spread(subject),
        *placebos(subject, np.random.default_rng(seed)),
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
