"""Bounds on an audit: findings and measures that must not be, for a run that checks itself."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from workbench.analysis.audit.findings import FINDINGS
from workbench.analysis.audit.measures import MEASURES
from workbench.analysis.audit.result import Audit
from workbench.errors import ParameterError, UnknownNameError
from workbench.wording import number

ANY = "any"
"""In place of a finding's name: every finding."""

_COMPARED: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_BOUND = re.compile(r"(?P<name>[^<>=\s]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<limit>\S+)")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A measure, and from where on it is too much or too little.

    Args:
        measure: A key of `MEASURES`.
        sign: How it is compared with the limit.
        limit: The number.
    """

    measure: str
    sign: str
    limit: float


def parse_bound(text: str) -> str | Bound:
    """The name of a finding, or `MEASURE>NUMBER` (also >=, <, <=).

    Raises:
        UnknownNameError: There is no such finding or measure.
        ParameterError: The limit is no number.
    """
    found = _BOUND.fullmatch(text.strip())
    if found is None:
        if text not in (*FINDINGS, ANY):
            raise UnknownNameError("finding", text, [*FINDINGS, ANY])
        return text
    name = found["name"]
    if name not in MEASURES:
        raise UnknownNameError("measure", name, MEASURES)
    try:
        limit = float(found["limit"])
    except ValueError as error:
        raise ParameterError(f"{text}: {found['limit']!r} is no number") from error
    return Bound(measure=name, sign=found["sign"], limit=limit)


def broken(audit: Audit, bounds: Sequence[str | Bound]) -> list[str]:
    """Violated invariants, a line each; empty where all hold.

    Findings and measures are those of the log and of its credits, not of the controls. A measure is
    compared by its number over the whole log. One that is not known breaks its bound: what nobody
    measured was not held.
    """
    lines = []
    for bound in bounds:
        lines += _found(audit, bound) if isinstance(bound, str) else _measured(audit, bound)
    return lines


def _found(audit: Audit, name: str) -> list[str]:
    return [
        f"{each.name} ({each.credit or 'log'}): {each.text}"
        for each in audit.findings
        if name in (each.name, ANY)
        if each.credit is None or each.credit in audit.credits
    ]


def _measured(audit: Audit, bound: Bound) -> list[str]:
    asked = f"{bound.measure} {bound.sign} {number(bound.limit)}"
    own = pl.col("credit").is_null() | pl.col("credit").is_in(audit.credits)
    rows = audit.frame.filter(own, measure=bound.measure, where="").filter(
        pl.col("value").is_not_null()
    )
    if rows.is_empty():
        return [f"{asked}: {bound.measure} is not known of this log"]
    return [
        f"{asked} ({row['credit'] or 'log'}): it is {number(row['value'])}"
        for row in rows.iter_rows(named=True)
        if _COMPARED[bound.sign](row["value"], bound.limit)
    ]
