"""Findings: what an audit names as a defect of a credit or a limit of a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.analysis.audit.credit_rules import MENDS, OF_CREDIT
from workbench.analysis.audit.log_rules import OF_LOG, Readings
from workbench.analysis.audit.statistics import Reading
from workbench.analysis.audit.subject import Subject
from workbench.methods import Method
from workbench.parameters import fields

SEVERITIES: Mapping[str, str] = {
    "error": "the credit, or a comparison that it rests on, is wrong",
    "warning": "part of the log or of the credit teaches little, or something else",
    "note": "to know before single numbers are believed",
}
"""Severities of findings, worst first."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to mend, or to know before a number is believed.

    Args:
        name: Which rule found it.
        credit: Of which credit; None for the log.
        severity: Key of `SEVERITIES`.
        text: What is wrong, with its numbers.
        action: What to do.
        evidence: Measure -> value that the rule looked at.
        fields: Fields of the credit's method that do what `action` says, where it has them and they
            are set otherwise.
    """

    name: str
    credit: str | None
    severity: str
    text: str
    action: str
    evidence: Mapping[str, float]
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "evidence": dict(self.evidence), "fields": dict(self.fields)}


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The worst first; else in the order in which they were found."""
    order = list(SEVERITIES)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def log_findings(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Findings on the log, whatever is scored on it."""
    seen = Readings(readings)
    for name, (severity, rule) in OF_LOG.items():
        found = rule(seen)
        if found is not None:
            text, action, evidence = found
            yield Finding(
                name=name,
                credit=None,
                severity=severity,
                text=text,
                action=action,
                evidence=evidence,
            )


def credit_findings(subject: Subject, readings: Sequence[Reading]) -> Iterator[Finding]:
    """Findings on one credit."""
    seen = Readings(readings)
    for name, (severity, rule) in OF_CREDIT.items():
        found = rule(subject, seen)
        if found is not None:
            text, action, evidence = found
            yield Finding(
                name=name,
                credit=subject.name,
                severity=severity,
                text=text,
                action=action,
                evidence=evidence,
                fields=_mending(subject.method, MENDS.get(name, {})),
            )


def _mending(method: Method | None, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some fields that a method has, can have so, and has otherwise."""
    if method is None:
        return {}
    known, now = fields(type(method)), method.values
    return {
        name: value
        for name, value in wanted.items()
        if name in known
        and now[name] != value
        and (not known[name].choices or value in known[name].choices)
    }


FINDINGS = (*OF_LOG, *OF_CREDIT)
"""Names of all findings that there can be."""
