"""Files of parts, joined: those of the whole, and what is not is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.errors import ArtefactError
from workbench.exporters.joining import join, require_joined
from workbench.exporters.tables import write_lines, write_parquet

SCHEMA = pa.schema([("id", pa.string()), ("x", pa.list_(pa.int32()))])
COUNT = 2_500  # two row groups of 1,024 and one of 452
ROWS = pl.DataFrame(
    {
        "id": [f"row {number // 7}" for number in range(COUNT)],
        "x": pl.Series(
            [[number] * (number % 5) for number in range(COUNT)], dtype=pl.List(pl.Int32)
        ),
    }
)


def written(rows: pl.DataFrame, folder: Path) -> Path:
    folder.mkdir()
    write_parquet(rows, folder / "rows.parquet", SCHEMA)
    write_lines(rows, folder / "rows.jsonl")
    return folder


def test_where_a_part_ends_does_not_show(tmp_path: Path):
    edges = [0, 3, 1_024, 1_027, 2_400, COUNT]
    parts = [written(ROWS[start:end], tmp_path / f"part {start}") for start, end in pairwise(edges)]
    whole, joined = written(ROWS, tmp_path / "whole"), tmp_path / "joined"
    joined.mkdir()
    join(parts, joined)
    require_joined(parts, joined)
    for name in ("rows.parquet", "rows.jsonl"):
        assert (joined / name).read_bytes() == (whole / name).read_bytes()
    metadata = pq.read_metadata(joined / "rows.parquet")
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sizes == [1_024, 1_024, 452]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test_a_file_that_is_not_its_parts_is_refused(name: str, tmp_path: Path):
    parts = [written(ROWS[:5], tmp_path / "a"), written(ROWS[5:9], tmp_path / "b")]
    other = written(ROWS[:8], tmp_path / "other")
    joined = tmp_path / "joined"
    joined.mkdir()
    join(parts, joined)
    (joined / name).write_bytes((other / name).read_bytes())
    with pytest.raises(ArtefactError, match=f"{name} is not what was written"):
        require_joined(parts, joined)
