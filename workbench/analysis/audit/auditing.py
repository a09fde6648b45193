"""The audit itself: every measure of every credit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from workbench.methods.capabilities import compares_texts
from workbench.states.space import Space
from workbench.wording import Progress, silent

CONTROLS = ("random", "return-to-go")
LOGGED = "logged"
_DRAWN = 4  # parts of what draws other rollouts
_OF_METHOD = "resampling, held-out error, peers, dialects"
_RESAMPLED = "resampling, held-out error"
_COUPLED = "its credit of a group depends on the other groups, so none can be drawn alone"
_ALONE = (
    "its credit of a step does not depend on the other rollouts, so it is the same whatever they "
    "are, and that says nothing of it"
)
_SCHEMA = {"credit": pl.String, "measures": pl.String, "reason": pl.String}


@dataclass
class Measured:
    """Measures of a credit, or of the log, as far as they are known.

    Args:
        name: Of the credit; None for the log.
        control: True if it knows nothing of merit, so that its defects are none.
        readings: Its numbers.
        findings: Its defects.
        intervals: Of its steps that were bootstrapped, `result.INTERVALS`; None where none was.
        by_label: Agreement of each group with the label, see `label_by_group`; None without one.
        gain: What was held out tells of each group, see `held_out_gain`; None where nothing is.
        left_out: What cannot be measured, and why.
        compares_texts: True if its method had to compare texts, in the space of the log.
        title: Of the log, in a sentence; empty for a credit.
    """

    name: str | None
    control: bool = False
    readings: tuple[Reading, ...] = ()
    findings: tuple[Finding, ...] = ()
    intervals: pl.DataFrame | None = None
    by_label: Real | None = None
    gain: Real | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    compares_texts: bool = False
    title: str = ""


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
    sample = sample_of(log.steps, seed=seed, draws=draws)
    of_log, known = measured_log(log), to_measure(log, credits, controls)
    said = partial(assembled, of_log, known, sample=sample)
    yield said()
    subjects = [subject_of(str(found.name), log, credits, spaces or {}) for found in known]
    parts = len(subjects) * (2 + _DRAWN)
    for number, (subject, found) in enumerate(zip(subjects, known, strict=True)):
        progress(f"table of {subject.name}", number, parts)
        if _table(subject, found, label, sample):
            yield said()
    yield said()
    for number, (subject, found) in enumerate(zip(subjects, known, strict=True)):
        progress(f"shuffles of {subject.name}", len(subjects) + number, parts)
        if _shuffles(subject, found, sample):
            yield said()
    texts = any(found.compares_texts for found in known)
    of_log.readings += tuple(closest_to_logged(log, texts=texts))
    yield said()
    for number, (subject, found) in enumerate(zip(subjects, known, strict=True)):
        begun = 2 * len(subjects) + number * _DRAWN
        at = partial(_tell, progress, f"other rollouts for {subject.name}", parts, begun)
        if _draws(subject, found, sample, at):
            yield said()
    yield said(compared=True)


def to_measure(
    log: AuditedLog, credits: Collection[str], controls: Sequence[str] = CONTROLS
) -> list[Measured]:
    """Empty entries for a log's credits, the trainer's own advantage, and the controls."""
    steps, own = log.steps, log.steps.column("logged_advantage")
    named = [*credits, *(() if own.null_count() or LOGGED in credits else (LOGGED,))]
    controls = [name for name in controls if name not in credits]
    # A control that asks what follows what says nothing where that was guessed.
    if steps.guessed_chains and not log.space.allow_unchained:
        controls = [name for name in controls if not create(name).chains()]
    return [*map(Measured, named), *(Measured(name, control=True) for name in controls)]


def measured_log(log: AuditedLog) -> Measured:
    """The log, whatever its credits: coverage, population, merged groups, likely secrets."""
    readings = (*log_coverage(log), *log_population(log), *merged_groups(log), *likely_secrets(log))
    return Measured(
        None,
        readings=readings,
        findings=tuple(log_findings(readings)),
        title=log.facts.sentence(),
    )


def measure(subject: Subject, found: Measured, label: str | None, sample: Sample) -> None:
    """All of a credit, at once."""
    _table(subject, found, label, sample)
    _shuffles(subject, found, sample)
    _draws(subject, found, sample, lambda done: None)


def assembled(
    log: Measured,
    known: Sequence[Measured],
    *,
    sample: Sample,
    compared: bool = False,
) -> Audit:
    """The audit that its parts make.

    Args:
        log: What is known of the log.
        known: Of the credits, and of the controls.
        sample: What was drawn of each.
        compared: Whether credits are compared with each other too, which takes all of them.
    """
    every = (log, *known)
    readings = [(found.name, reading) for found in every for reading in found.readings]
    intervals = [found.intervals for found in known if found.intervals is not None]
    left_out = [
        {"credit": found.name, "measures": measures, "reason": reason}
        for found in known
        for measures, reason in found.left_out
    ]
    return Audit(
        credits=tuple(str(found.name) for found in known if not found.control),
        controls=tuple(str(found.name) for found in known if found.control),
        frame=frame_of([*readings, *(_power(known) if compared else ())]),
        findings=by_severity([finding for found in every for finding in found.findings]),
        left_out=pl.DataFrame(left_out, schema=_SCHEMA, orient="row"),
        intervals=pl.concat([pl.DataFrame(schema=INTERVALS), *intervals]),
        sampling={
            "seed": sample.seed,
            "draws": sample.draws,
            "groups": len(sample.groups),
            "eligible_groups": sample.eligible,
            "steps": sample.steps,
        },
        title=log.title,
    )


def subject_of(
    name: str,
    log: AuditedLog,
    credits: Mapping[str, ScoredCredit],
    spaces: Mapping[str, Space],
) -> Subject:
    """A credit, the trainer's own advantage, or a control, as something to audit.

    Args:
        name: What it is called.
        log: The log.
        credits: Name -> credit, of those that are neither `logged` nor a control.
        spaces: Where a credit's method runs, if not in the space of the log.

    Raises:
        ParameterError: The credit is not one of this log.
        MissingInputError: Its method asks what follows what, and the log does not say it.
    """
    if name in credits:
        return audited(name, log, spaces.get(name, log.space), credits[name])
    if name == LOGGED:
        ids = log.steps.log.select("group_id", "trajectory_id", "step_index")[log.steps.row]
        table = ids.with_columns(advantage=log.steps.column("logged_advantage"))
        return audited(LOGGED, log, log.space, ScoredCredit(table))
    method = create(name)
    credit = method(log.steps, log.space)
    table = credit.table().filter(pl.col("excluded").is_null())
    return Subject(name=name, log=log, space=log.space, table=table, method=method, credit=credit)


def _tell(progress: Progress, stage: str, parts: int, begun: int, done: int) -> None:
    progress(stage, begun + done, parts)


def log_audit(space: Space) -> tuple[Finding, ...]:
    """Findings on a log whatever scores it, the worst first; nothing is drawn."""
    return by_severity(list(measured_log(AuditedLog(space)).findings))


def _learn(subject: Subject, found: Measured, readings: Sequence[Reading]) -> bool:
    """More readings of a credit; whether they change its findings."""
    before = found.findings
    found.readings += tuple(readings)
    if not found.control:
        found.findings = tuple(credit_findings(subject, found.readings))
    return found.findings != before


def _table(subject: Subject, found: Measured, label: str | None, sample: Sample) -> bool:
    """The credit's table alone, and peers where the method is known."""
    method = subject.method
    if method is None:
        found.left_out += ((_OF_METHOD, subject.unknown),)
    elif compares_texts(method) and subject.space is subject.log.space:
        found.compares_texts = True
    readings = [
        *credit_coverage(subject, np.random.default_rng(sample.seed)),
        *spread(subject),
        *credit_population(subject),
        *(logged(subject) if subject.name != LOGGED else ()),
        *labels(subject, label),
    ]
    found.by_label = label_by_group(subject, label)
    return _learn(subject, found, readings)


def _shuffles(subject: Subject, found: Measured, sample: Sample) -> bool:
    """The credit shuffled, and the dialects of its method."""
    placebo = placebos(subject, np.random.default_rng(sample.seed))
    return _learn(subject, found, [*placebo, *dialects(subject)])


def _draws(subject: Subject, found: Measured, sample: Sample, at: Callable[[int], None]) -> bool:
    """Groups drawn again; nothing where none can be drawn."""
    at(0)
    if not subject.drawable or not subject.depends_on_others:
        if subject.method is not None:
            found.left_out += ((_RESAMPLED, _ALONE if subject.drawable else _COUPLED),)
        return False
    drawn = bootstrap(subject, sample)
    readings = [*uncertainty(subject, sample, drawn)]
    found.intervals = drawn.frame(subject)
    at(1)
    readings.append(leave_one_out(subject, sample))
    at(2)
    readings.append(split_half(subject, sample))
    at(3)
    held = held_out_gain(subject, sample)
    if isinstance(held, str):
        found.left_out += (("held-out error", held),)
    else:
        readings.append(held[0])
        found.gain = held[1]
    return _learn(subject, found, readings)


def _power(known: Sequence[Measured]) -> list[tuple[str | None, Reading]]:
    """Pairs of credits by agreement with a label where there is one, else by held-out gain."""
    by_label = {str(one.name): one.by_label for one in known if one.by_label is not None}
    gains = {str(one.name): one.gain for one in known if one.gain is not None}
    if by_label:
        return list(power(by_label, "rank correlation with the label"))
    return list(power(gains, "held-out gain"))
