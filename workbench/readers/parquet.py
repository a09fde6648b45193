"""The step log itself as Parquet, under canonical names, their aliases, or mapped names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.readers.base import Findings, Part, reader
from workbench.readers.messages import canonical_json
from workbench.schema import rename

_MAGIC = b"PAR1"
_CATEGORIES = pl.selectors.by_dtype(pl.Categorical, pl.Enum)


@reader("parquet", description="step log as Parquet, one row a step", generic=True)
class Parquet:
    """Every Parquet file is recognised; `validate` says which columns it lacks.

    What the file says about its own origin (`source_file`, `source_line`) is kept; otherwise
    `source_line` is the row in the file, from 1. `messages` given as a list of structures becomes
    JSON.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A file that begins as Parquet does."""
        return head.startswith(_MAGIC)

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The rows as they are, renamed."""
        findings = Findings()
        frame = table(path, findings)
        if frame is None:
            return Part(frame=pl.DataFrame(), findings=findings)
        frame, renamed = rename(frame.with_columns(_CATEGORIES.cast(pl.String)), columns)
        if not {"source_file", "source_line"} & set(frame.columns):
            frame = frame.with_columns(pl.int_range(1, pl.len() + 1).alias("source_line"))
        return Part(frame=_json_messages(frame), findings=findings, renamed=renamed)


def table(path: Path, findings: Findings) -> pl.DataFrame | None:
    """All rows of a Parquet file; None where it cannot be read."""
    try:
        return pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        hint = "it is damaged, cut off or no Parquet file; write it anew"
        rule = f"cannot be read as Parquet ({str(error).splitlines()[0]})"
        findings.problem("file", rule, str(path), hint)
        return None


def _json_messages(frame: pl.DataFrame) -> pl.DataFrame:
    if "messages" not in frame.columns or not isinstance(frame.schema["messages"], pl.List):
        return frame
    texts = [
        None if messages is None else canonical_json(without_nulls(messages))
        for messages in frame["messages"].to_list()
    ]
    return frame.with_columns(pl.Series("messages", texts, dtype=pl.String))


def without_nulls(value: Any) -> Any:
    """Messages without the keys that only their table had: every row has every field there."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value
