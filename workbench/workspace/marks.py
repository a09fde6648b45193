"""Marks and notes: what people say of single steps, kept in a workspace.

A mark says that a step was pivotal, for the better (+) or the worse (-); a note is a line of text.
They are kept by trajectory and step, apart from any import, with the digest of the step's action:
a log that is imported again has them, and another log with the same ids does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from workbench.errors import ArtefactError, ParameterError
from workbench.files import atomic_file, locked

VALUES = ("+", "-")
KEY = ["trajectory_id", "step_index", "action_sha256"]
SCHEMA: Mapping[str, pl.DataType] = {
    "trajectory_id": pl.String(),
    "step_index": pl.Int32(),
    "action_sha256": pl.String(),
    "mark": pl.String(),
    "note": pl.String(),
}
MOST_NOTE = 2000
"""Characters of a note."""


@dataclass(frozen=True)
class Marks:
    """The marks and notes of a workspace.

    Args:
        root: The workspace.
    """

    root: Path

    @property
    def path(self) -> Path:
        """The table, `marks/marks.parquet`; it is there once somebody has marked something."""
        return self.root / "marks" / "marks.parquet"

    @property
    def version(self) -> str:
        """Another text after each change."""
        if not self.path.exists():
            return ""
        found = self.path.stat()
        return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"

    def table(self) -> pl.DataFrame:
        """All of them, with `SCHEMA`'s columns, sorted by their key; empty where there are none.

        Raises:
            ArtefactError: The file is damaged or holds something else.
        """
        if not self.path.exists():
            return pl.DataFrame(schema=SCHEMA)
        try:
            found = pl.read_parquet(self.path, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtefactError(f"{self.path} cannot be read: {error}") from error
        if dict(found.schema) != dict(SCHEMA):
            raise ArtefactError(
                f"{self.path} holds {list(found.schema)}; marks are {list(SCHEMA)}. "
                "Hint: move it away"
            )
        return found

    def put(
        self,
        step: tuple[str, int],
        action: str,
        *,
        mark: str | None = None,
        note: str | None = None,
    ) -> None:
        """Mark a step or write a note on it; what is None stays, an empty text takes it away.

        Safe where several people and processes write at once: each changes what it says and
        nothing else.

        Args:
            step: Its trajectory and its index.
            action: Its action.
            mark: One of `VALUES`, or empty.
            note: A line, or empty.

        Raises:
            ParameterError: No such mark, or the note is too long.
            ArtefactError: As `table`.
        """
        if mark not in (None, "", *VALUES):
            raise ParameterError(f"a mark is one of {list(VALUES)}, or empty; got {mark!r}")
        if note is not None and len(note) > MOST_NOTE:
            raise ParameterError(f"a note has at most {MOST_NOTE:,} characters, got {len(note):,}")
        key = (*step, _digest(action))
        with locked(self.path):
            rows = {tuple(row[:3]): list(row[3:]) for row in self.table().iter_rows()}
            said = rows.setdefault(key, [None, None])
            for place, value in enumerate((mark, note)):
                said[place] = said[place] if value is None else value.strip() or None
            kept = [(*which, *values) for which, values in sorted(rows.items()) if any(values)]
            with atomic_file(self.path) as temporary:
                pl.DataFrame(kept, schema=SCHEMA, orient="row").write_parquet(temporary)


def on_log(log: pl.DataFrame, marks: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The marks and notes of each step of a log.

    Returns:
        Columns `mark` and `note`, null where there is none, (L, 2); and how many marked steps are
        in the log with another action than the one that was marked, which have none here.
    """
    ids = KEY[:2]
    here = log.select("trajectory_id", "step_index", "action").with_row_index("row")
    near = here.join(marks.select(ids).unique(), on=ids, how="semi")
    digests = [_digest(text) for text in near["action"]]
    near = near.with_columns(pl.Series("action_sha256", digests, dtype=pl.String))
    found = near.join(marks, on=KEY, how="inner")
    whole = here.select("row").join(found.select("row", "mark", "note"), on="row", how="left")
    other = marks.join(near, on=ids, how="semi").height - found.height
    return whole.sort("row").select("mark", "note"), other


def _digest(action: str) -> str:
    return hashlib.sha256(action.encode("utf-8", "surrogatepass")).hexdigest()[:16]
