"""The first groups of a large log, as a log of its own."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from commands import small

from workbench.workspace.artefacts import Artefacts
from workbench.workspace.excerpt import excerpt


# Group g has 3 steps and group h has 2. Of 4 steps the whole groups are g; of 2 even g is too many.
@pytest.mark.parametrize(("steps", "groups"), [(5, "gh"), (4, "g"), (3, "g"), (2, "g")])
def test_an_excerpt_is_of_whole_groups(steps: int, groups: str, tmp_path: Path):
    log = Artefacts(tmp_path / "work").log([small(tmp_path / "log.parquet")])
    found = excerpt(log, tmp_path / "app", steps=steps)
    assert found.frame.equals(log.frame.filter(pl.col("group_id").is_in(list(groups))))
    if groups == "gh":
        assert found == log
    else:
        whole = {"steps": 5, "groups": 2}
        assert found.report == {**log.report, "excerpt": {"steps": 3, "groups": 1, "of": whole}}
        assert found.sha256 != log.sha256
        assert found.source_sha256 == log.source_sha256
        assert excerpt(found, tmp_path / "app", steps=1) == found


def test_a_log_of_long_texts_is_cut_sooner(tmp_path: Path):
    log = Artefacts(tmp_path / "work").log([small(tmp_path / "log.parquet")])
    assert excerpt(log, tmp_path / "app", bytes_at_most=1).frame["group_id"].unique().to_list() == [
        "g"
    ]
