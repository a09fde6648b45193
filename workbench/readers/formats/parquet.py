"""The step log itself as Parquet, under canonical names, their aliases, or mapped names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.log.conversation import canonical_json
from workbench.log.schema import rename
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.halves import SUSPECT, Mender
from workbench.readers.rows import say_text_numbers

_MAGIC = b"PAR1"
_PART = 2**23  # bytes of columns
_FIRST = 1024  # rows of the first part, whose size tells that of the next
_DECODED = ("messages", "action")
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

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The rows as they are, renamed, part by part."""
        diagnostics = Diagnostics()
        line = 1
        for frame in parquet_frames(path, diagnostics):
            height = frame.height
            part, renamed = rename(frame.with_columns(_CATEGORIES.cast(pl.String)), columns)
            if not {"source_file", "source_line"} & set(part.columns):
                lines = pl.int_range(line, line + height, dtype=pl.Int64, eager=True)
                part = part.with_columns(lines.alias("source_line"))
            line += height
            said = Diagnostics()
            part = _mended(_json_messages(part), said, path)
            if part.schema.get("reward") == pl.String:
                given = part["reward"].drop_nulls().cast(pl.Float64, strict=False).drop_nulls()
                say_text_numbers(given.head(1).cast(pl.String), said, str(path))
            yield Part(frame=part, diagnostics=said, renamed=renamed)
        yield Part(frame=pl.DataFrame(), diagnostics=diagnostics)


def parquet_columns(path: Path, head: bytes) -> tuple[str, ...]:
    """The names of a Parquet file's columns; none where it is no such file or a damaged one."""
    return tuple(parquet_schema(path)) if head.startswith(_MAGIC) else ()


def parquet_schema(path: Path) -> Mapping[str, pl.DataType]:
    """Column -> type of a Parquet file; empty where it cannot be read."""
    try:
        # Opened here, since polars would read brackets in a path as a pattern.
        with path.open("rb") as file:
            return pl.read_parquet_schema(file)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return {}


def parquet_frames(
    path: Path, diagnostics: Diagnostics, *, only: Collection[str] | None = None
) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, part by part; at least one part, which may have no row.

    Args:
        path: The file.
        diagnostics: Gets that it is damaged, if so.
        only: Columns to read, where the file has them; None means all.
    """
    try:
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        if only is not None:
            scan = scan.select(name for name in scan.collect_schema() if name in only)
        height = int(scan.select(pl.len()).collect().item())
        start, rows = 0, _FIRST
        while start < height or not start:
            frame = scan.slice(start, rows).collect()
            yield frame
            start += max(frame.height, 1)
            # As many as fill a part, if they are like those before; a little more each time.
            rows = min(2 * rows, max(1, rows * _PART // max(1, int(frame.estimated_size()))))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        hint = "it is damaged, cut off or no Parquet file; write it anew"
        rule = f"cannot be read as Parquet ({str(error).splitlines()[0]})"
        diagnostics.problem("file", rule, str(path), hint)


def _json_messages(frame: pl.DataFrame) -> pl.DataFrame:
    if "messages" not in frame.columns or not isinstance(frame.schema["messages"], pl.List):
        return frame
    texts = [
        None if messages is None else canonical_json(without_nulls(messages))
        for messages in frame["messages"].to_list()
    ]
    return frame.with_columns(pl.Series("messages", texts, dtype=pl.String))


def _mended(frame: pl.DataFrame, diagnostics: Diagnostics, path: Path) -> pl.DataFrame:
    """The rows without half characters in texts that are decoded as JSON."""
    for name in _DECODED:
        if frame.schema.get(name) != pl.String:
            continue
        if not frame[name].str.contains(SUSPECT).any():
            continue
        mender = Mender()
        texts = [mender.mended(text) for text in frame[name]]
        if mender.count:
            text = "halves of surrogate pairs became U+FFFD"
            diagnostics.notice(text, str(path), count=mender.count)
        frame = frame.with_columns(pl.Series(name, texts, dtype=pl.String))
    return frame


def without_nulls(value: Any) -> Any:
    """Messages without the keys that only their table had: every row has every field there."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value
