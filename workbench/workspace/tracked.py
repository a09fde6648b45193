"""Numbers of credits, audits and batches as a tracker keeps them: flat names and the step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl


def train_step(log: pl.DataFrame) -> int:
    """The last training step that a log is of; 0 where it names none."""
    if "train_step" not in log.columns:
        return 0
    last = log["train_step"].max()
    return last if isinstance(last, int) else 0


def of_credits(rows: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """`credit/<name>/<number>` of the rows of `compare.summaries`."""
    return {
        f"credit/{row['credit']}/{name}": value
        for row in rows
        for name, value in row.items()
        if name != "credit"
    }


def of_audit(frame: pl.DataFrame) -> dict[str, float | None]:
    """`audit/<credit or log>/<measure>` of the readings over the whole log."""
    whole = frame.filter(where="")
    return {
        f"audit/{row['credit'] or 'log'}/{row['measure']}": row["value"]
        for row in whole.iter_rows(named=True)
    }


def of_batch(manifest: Any) -> dict[str, float | None]:
    """`batch/<number>` of a manifest's counts, worth and advantages."""
    given = {**manifest.counts, **manifest.worth, **manifest.advantages}
    return {
        f"batch/{name}": value
        for name, value in given.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
