"""A batch from files in parts: what `export` writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke
from folders import contents
from places import DATA

import workbench
from workbench.errors import ParameterError

LOG = str(DATA / "household.parquet")


@pytest.fixture(scope="module")
def credit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("credit") / "credit.parquet"
    workbench.score_to(path, [LOG], "grpo")
    return path


def test_an_export_in_parts_is_that_of_the_whole(credit: Path, tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    said = invoke("export", LOG, "--credit", credit, "-o", whole)
    also = invoke("export", LOG, "--credit", credit, "-o", parts, "--jobs", 1)
    assert said.output.replace(str(whole), str(parts)) == also.output
    assert contents(whole) == contents(parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]


def test_what_asks_for_the_whole_log_is_refused_in_parts(credit: Path, tmp_path: Path):
    options = {"filter": "reward>0", "redact": ["likely"]}
    with pytest.raises(ParameterError, match="filter, redact cannot be exported in parts"):
        workbench.export_to(tmp_path / "b", [LOG], credit, options=options)
    with pytest.raises(ParameterError, match="the target verl cannot be exported in parts"):
        workbench.export_to(tmp_path / "b", [LOG], credit, target="verl")
