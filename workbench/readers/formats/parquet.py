"""The step log itself as Parquet, under canonical names, their aliases, or mapped names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import polars as pl

from workbench.log.columns import known
from workbench.log.conversation import canonical_json
from workbench.log.schema import rename
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.formats.steps import LISTS, is_step
from workbench.readers.halves import SUSPECT, Mender
from workbench.readers.jsonfiles import PARQUET
from workbench.readers.rows import say_text_numbers
from workbench.readers.tables import parquet_frames, parquet_schema, without_nulls

_DECODED = ("messages", "action")
_CATEGORIES = pl.selectors.by_dtype(pl.Categorical, pl.Enum)


@reader("parquet", description="step log as Parquet, one row per step", generic=True)
class Parquet:
    """A table of steps; named as the format, any Parquet file, and `validate` says what it lacks.

    What the file says about its own origin (`source_file`, `source_line`) is kept; otherwise
    `source_line` is the row in the file, from 1. `messages` given as a list of structures becomes
    JSON, and lists given as JSON text become lists.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A table with the columns of a step, or one that is damaged."""
        if not head.startswith(PARQUET):
            return False
        columns = parquet_schema(path)
        return not columns or is_step(columns)

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The rows as they are, renamed, part by part."""
        diagnostics = Diagnostics()
        line = 1
        with closing(parquet_frames(path, diagnostics)) as frames:
            for frame in frames:
                height = frame.height
                part, renamed = rename(frame.with_columns(_CATEGORIES.cast(pl.String)), columns)
                if not {"source_file", "source_line"} & set(part.columns):
                    lines = pl.int_range(line, line + height, dtype=pl.Int64, eager=True)
                    part = part.with_columns(lines.alias("source_line"))
                line += height
                said = Diagnostics()
                part = _mended(_with_lists(_json_messages(part)), said, path)
                if part.schema.get("reward") == pl.String:
                    given = part["reward"].drop_nulls().cast(pl.Float64, strict=False).drop_nulls()
                    say_text_numbers(given.head(1).cast(pl.String), said, str(path))
                yield Part(frame=part, diagnostics=said, renamed=renamed)
        yield Part(frame=pl.DataFrame(), diagnostics=diagnostics)


def _json_messages(frame: pl.DataFrame) -> pl.DataFrame:
    if "messages" not in frame.columns or not isinstance(frame.schema["messages"], pl.List):
        return frame
    texts = [
        None if messages is None else canonical_json(without_nulls(messages))
        for messages in frame["messages"].to_list()
    ]
    return frame.with_columns(pl.Series("messages", texts, dtype=pl.String))


def _with_lists(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with lists where a column of lists is JSON text; what is none is refused later."""
    for name in LISTS:
        entry = known(name)
        if entry is not None and frame.schema.get(name) == pl.String:
            with suppress(pl.exceptions.ComputeError):
                frame = frame.with_columns(pl.col(name).str.json_decode(entry.dtype))
    return frame


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
