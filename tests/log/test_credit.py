"""Credit as a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import names
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from workbench.errors import ArtefactError
from workbench.log.credit import Provenance, ScoredCredit, read_credit, write_credit

TABLE = pl.DataFrame(
    {"trajectory_id": ["t", "t", "u"], "step_index": [0, 1, 0], "advantage": [0.5, -0.5, None]}
)


def credit(**method: Any) -> ScoredCredit:
    return ScoredCredit(TABLE, Provenance(method=method))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.none() | st.floats(allow_nan=False), max_size=5),
    st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=3),
    st.lists(st.text(st.characters(codec="utf-8")), max_size=2),
)
def test_a_credit_file_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    advantage: list[float | None],
    method: dict[str, Any],
    notes: list[str],
) -> None:
    path = tmp_path_factory.mktemp("credit") / "credit.parquet"
    table = pl.DataFrame({"advantage": pl.Series(advantage, dtype=pl.Float64)})
    credit = ScoredCredit(table, Provenance(method=method, notes=notes, version="1"))
    write_credit(path, credit)
    found = read_credit(path)
    assert_frame_equal(found.table, table)
    assert found.provenance.to_dict() == json.loads(json.dumps(credit.provenance.to_dict()))


def test_a_credit_file_has_the_same_bytes_on_every_run(tmp_path: Path) -> None:
    write_credit(tmp_path / "one", credit(name="grpo", fields={"a": 1, "b": 2}))
    write_credit(tmp_path / "two", credit(fields={"b": 2, "a": 1}, name="grpo"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    write_credit(tmp_path / "two", credit(name="gigpo"))
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()
    assert names(tmp_path) == ["one", "two"]


def test_any_parquet_reader_reads_a_credit_file(tmp_path: Path) -> None:
    path = tmp_path / "credit.parquet"
    write_credit(path, credit(name="grpo"))
    assert_frame_equal(pl.read_parquet(path), TABLE)
    assert json.loads(pl.read_parquet_metadata(path)["workbench"])["method"] == {"name": "grpo"}


def test_a_file_without_provenance_is_no_credit_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    TABLE.write_parquet(path)
    with pytest.raises(ArtefactError, match=re.escape(f"{path} is no credit file. Hint:")):
        read_credit(path)


def test_a_file_without_advantages_is_no_credit_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_credit(path, ScoredCredit(TABLE.drop("advantage")))
    with pytest.raises(ArtefactError, match=re.escape(f"{path} is no credit file. Hint:")):
        read_credit(path)


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "folder"])
def test_a_credit_file_that_cannot_be_read_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "credit.parquet"
    write_credit(path, credit(name="grpo"))
    whole = path.read_bytes()
    path.unlink()
    contents = {"empty": b"", "text": b"advantage\n0.5\n", "cut": whole[:-20]}
    if damage == "folder":
        path.mkdir()
    elif damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(ArtefactError, match=re.escape(f"{path} cannot be read as a credit file")):
        read_credit(path)
