"""An audit: readings, findings, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from workbench.analysis.audit.findings import Finding
from workbench.analysis.audit.measures import MEASURES
from workbench.analysis.audit.sample import Drawn
from workbench.analysis.audit.sections import GROUPS
from workbench.analysis.audit.statistics import Reading

INTERVALS = {
    "credit": pl.String,
    "group_id": pl.String,
    "trajectory_id": pl.String,
    "step_index": pl.Int32,
    "advantage": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "sign_flips": pl.Float64,
    "draws": pl.Int64,
}
SCHEMA = {
    "credit": pl.String,
    "group": pl.String,
    "measure": pl.String,
    "where": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "shuffled_low": pl.Float64,
    "shuffled_high": pl.Float64,
    "count": pl.Int64,
    "note": pl.String,
}


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Readings and findings on credits of a log, without ground truth.

    Args:
        credits: The credits, in the order given.
        controls: Credits that know nothing of merit, audited with them.
        frame: One row a reading, in the order of `MEASURES`: `SCHEMA`'s columns; credit is null for
            the log, low and high are a 95 % interval over groups, the shuffled columns the range of
            the number over shuffles of the credit inside each trajectory.
        findings: The worst first.
        left_out: One row per credit and reason: credit, measures, reason.
        intervals: One row per credit and step that was bootstrapped: `INTERVALS`'s columns; low and
            high are the 5 % and 95 % quantile, sign_flips a share of the draws.
        sampling: What was drawn, and the seed.
        title: The log in a sentence.
    """

    credits: tuple[str, ...]
    controls: tuple[str, ...]
    frame: pl.DataFrame
    findings: tuple[Finding, ...]
    left_out: pl.DataFrame
    intervals: pl.DataFrame
    sampling: Mapping[str, Any]
    title: str

    def of(self, drawn: Drawn) -> Audit:
        """The same, with a line that says of which groups it is."""
        return replace(
            self,
            title=f"{self.title}\n{drawn}",
            sampling={**self.sampling, "drawn": vars(drawn)},
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: everything but the intervals of single steps."""
        names = self.frame["measure"].unique()
        return {
            "log": self.title,
            "credits": list(self.credits),
            "controls": list(self.controls),
            "findings": [finding.to_dict() for finding in self.findings],
            "readings": self.frame.to_dicts(),
            "left_out": self.left_out.to_dicts(),
            "sampling": dict(self.sampling),
            "groups": dict(GROUPS),
            "measures": {
                name: {
                    "group": measure.group,
                    "kind": measure.kind,
                    "meaning": measure.meaning,
                    "action": measure.action,
                }
                for name, measure in MEASURES.items()
                if name in names
            },
        }


def frame_of(readings: Sequence[tuple[str | None, Reading]]) -> pl.DataFrame:
    """Readings with the credit that they are of, in the order of `MEASURES`."""
    place = {name: number for number, name in enumerate(MEASURES)}
    rows = [
        {
            "credit": credit,
            "group": MEASURES[reading.measure].group,
            "measure": reading.measure,
            "where": reading.where,
            "value": reading.value,
            "low": reading.low,
            "high": reading.high,
            "shuffled_low": reading.shuffled[0] if reading.shuffled else None,
            "shuffled_high": reading.shuffled[1] if reading.shuffled else None,
            "count": reading.count,
            "note": reading.note,
        }
        for credit, reading in sorted(readings, key=lambda row: place[row[1].measure])
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
