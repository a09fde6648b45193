"""The batch as one file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import polars as pl
import pytest
from batches import STEP, archived, token_log, write
from logs import Described, log

from workbench.errors import EmptyBatchError
from workbench.exporters import read_batch
from workbench.exporters.archive import zipped


def test_the_archive_is_the_export_and_its_bytes_depend_on_nothing_else(tmp_path: Path):
    one, other = archived(token_log()), archived(token_log())
    assert one.content == other.content
    with zipfile.ZipFile(io.BytesIO(one.content)) as packed:
        assert packed.namelist() == [
            "batch/README.md",
            "batch/manifest.json",
            "batch/weighted_batch.parquet",
        ]
        # Its owner reads and writes what is unpacked, all others read it.
        assert {oct(entry.external_attr >> 16) for entry in packed.infolist()} == {"0o644"}
        packed.extractall(tmp_path)
    write(*token_log(), tmp_path / "direct")
    assert read_batch(tmp_path / "batch").equals(read_batch(tmp_path / "direct"))
    for name, size in one.sizes.items():
        content = (tmp_path / "direct" / name).read_bytes()
        assert content == (tmp_path / "batch" / name).read_bytes()
        assert len(content) == size
    assert one.manifest_text == (tmp_path / "direct" / "manifest.json").read_text()


def test_the_order_in_which_files_were_made_is_irrelevant(tmp_path: Path):
    for folder, names in (("a", "xy"), ("b", "yx")):
        (tmp_path / folder / "batch").mkdir(parents=True)
        for name in names:
            (tmp_path / folder / "batch" / name).write_text(name)
    assert zipped(tmp_path / "a" / "batch") == zipped(tmp_path / "b" / "batch")


def test_what_the_target_refuses_is_refused():
    described: Described = {"g": {"a": [("o", "x", 1.0)], "b": [("o", "x", None)]}}
    logged = log(described).filter(trajectory_id="b")
    credit = logged.select(*STEP, "excluded", advantage=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(EmptyBatchError):
        archived((logged, credit))
