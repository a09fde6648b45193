"""Result files of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.files import atomic_file

RESULTS_FILE, SUMMARY_FILE, MANIFEST_FILE = "results.parquet", "summary.parquet", "manifest.json"
SHARDS = "shards"


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a table; the same rows give the same bytes."""
    with atomic_file(path) as temporary:
        frame.write_parquet(temporary, compression="zstd")


def write_manifest(content: Mapping[str, Any], path: Path) -> None:
    """Write what the tables are of."""
    with atomic_file(path) as temporary:
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
