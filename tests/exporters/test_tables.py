"""Tables as files and back."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from workbench.errors import ArtefactError
from workbench.exporters.tables import read_lines, read_parquet, write_lines, write_parquet

ROWS = pl.DataFrame({"name": ["ä", "b"], "value": pl.Series([0.1, None], dtype=pl.Float32)})
SCHEMA = pa.schema([("name", pa.string()), ("value", pa.float32())])
LINES = {"name": pl.String(), "value": pl.Float32()}


def test_rows_come_back_from_either_file(tmp_path: Path):
    write_parquet(ROWS, tmp_path / "rows.parquet", SCHEMA)
    assert read_parquet(tmp_path / "rows.parquet", SCHEMA).equals(ROWS)
    write_lines(ROWS, tmp_path / "rows.jsonl")
    assert read_lines(tmp_path / "rows.jsonl", LINES, optional=["value"]).equals(ROWS)


def test_a_column_that_is_missing_in_a_line_is_named(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    write_lines(ROWS, path)
    with pytest.raises(ArtefactError, match=rf"{path}: value is missing in line 2"):
        read_lines(path, LINES)


def test_other_columns_are_named(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    write_parquet(ROWS, path, SCHEMA)
    other = SCHEMA.set(1, pa.field("value", pa.float64()))
    with pytest.raises(ArtefactError, match=r"has columns .*'float'}, expected .*'double'}"):
        read_parquet(path, other)


def test_what_is_no_such_file_is_named(tmp_path: Path):
    path = tmp_path / "rows"
    for content in (b"{", b"PAR1", b'{"name": "\xff", "value": 1}'):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=rf"{path} cannot be read"):
            read_parquet(path, SCHEMA)
        with pytest.raises(ArtefactError, match=rf"{path} cannot be read"):
            read_lines(path, LINES)
