"""Columns of the user's own that nothing reads: kept, and reported once per import."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from workbench.log.columns import SIMULATED, STEP_LOG, known
from workbench.readers.base import Diagnostics
from workbench.readers.votes import READ
from workbench.wording import number_of

_SHOWN = 10
_ALIASES = frozenset(alias for column in STEP_LOG for alias in (*column.aliases, *column.negated))


def count_unread(frame: pl.DataFrame, read: Collection[str], diagnostics: Diagnostics) -> None:
    """Count the records with a value in a column of the user's own that nothing reads."""
    names = [
        name
        for name in frame.columns
        if known(name) is None
        and name not in _ALIASES | READ | SIMULATED
        and name not in read
        and not name.startswith("__")
    ]
    # Steps of one line are one record; a log that does not say lines has a record per row.
    lines = "source_line" in frame.columns and not frame["source_line"].has_nulls()
    place = pl.struct("source_file", "source_line") if lines else pl.int_range(pl.len())
    for name in names:
        records = frame.filter(pl.col(name).is_not_null()).select(place.n_unique()).item()
        if records:
            diagnostics.leave(name, records)


def say_unread(diagnostics: Diagnostics) -> None:
    """Say which columns of the user's own are kept, though nothing reads them."""
    counts = list(diagnostics.unread.items())
    if not counts:
        return
    shown = ", ".join(f"{name!r} ({number_of(count, 'record')})" for name, count in counts[:_SHOWN])
    more = f" and {len(counts) - _SHOWN} more" * (len(counts) > _SHOWN)
    diagnostics.notice(
        f"kept as columns, though nothing reads them: {shown}{more}; if one masks a rollout, cuts "
        "it or names its update, give it the name of the step log's column with --map"
    )
