"""Audits of credits without ground truth.

An audit never says that a credit is right. It says where a log cannot support one, where a credit
follows time, length or conventions rather than outcomes, and how much of it is luck of the draw.
"""

from workbench.analysis.audit.auditing import CONTROLS, audit, audits, log_audit
from workbench.analysis.audit.findings import SEVERITIES, Finding
from workbench.analysis.audit.measures import MEASURES
from workbench.analysis.audit.report import explained, report
from workbench.analysis.audit.result import Audit
from workbench.analysis.audit.sections import GROUPS, Measure

__all__ = [
    "CONTROLS",
    "GROUPS",
    "MEASURES",
    "SEVERITIES",
    "Audit",
    "Finding",
    "Measure",
    "audit",
    "audits",
    "explained",
    "log_audit",
    "report",
]
