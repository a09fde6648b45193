"""The names of `import workbench`: a contract that scripts and notebooks rely on."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest
from narrow import some
from polars.testing import assert_frame_equal

import workbench as wb
from workbench.errors import MissingInputError


@pytest.fixture(scope="module")
def space() -> wb.Space:
    return wb.open_log("household", embedder="tfidf")


def test_every_name_is_there_and_documented():
    for name in wb.__all__:
        assert getattr(wb, name) is not None
        assert name == "__version__" or getattr(wb, name).__doc__
    assert dir(wb) == sorted(wb.__all__)


def test_no_name_is_that_of_a_sub_package():
    # A lazy name would turn into the module at the module's first import.
    modules = {module.name for module in pkgutil.iter_modules(wb.__path__)}
    assert not modules & set(wb.__all__)


def test_importing_it_imports_nothing_else():
    code = "import sys, workbench; print(*[m for m in sys.modules if m.startswith('workbench')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["workbench"]


def test_a_credit_is_a_table_of_steps(space: wb.Space):
    credit = wb.score(space, "proxmo", temperature=0.05)
    table = credit.table()
    assert table.columns[:4] == ["group_id", "trajectory_id", "step_index", "advantage"]
    terms = table.select(advantage=pl.sum_horizontal([f"term_{name}" for name in credit.terms]))
    assert_frame_equal(terms, table.select("advantage"))
    assert some(credit.provenance).method["fields"]["temperature"] == 0.05
    assert wb.score(space, "grpo:verl-agent").name == "grpo:verl-agent"


def test_tables_of_every_kind_are_one_log(space: wb.Space):
    frame = space.steps.log
    kinds = (
        frame,
        frame.lazy(),
        frame.to_arrow(),
        frame.to_pandas(),
        datasets.Dataset(frame.to_arrow()),
    )
    expected = wb.score(space, "gigpo").table()["advantage"]
    for table in kinds:
        opened = wb.open_log(table, embedder="tfidf")
        assert wb.score(opened, "gigpo").table()["advantage"].equals(expected)


def test_opening_embeds_nothing(monkeypatch: pytest.MonkeyPatch):
    opened = wb.open_log("household", embedder="no/such-model")
    assert len(wb.score(opened, "grpo").advantage) == len(opened.steps)


def test_verbs_take_credits(space: wb.Space, tmp_path: Path):
    grpo, proxmo = wb.score(space, "grpo"), wb.score(space, "proxmo")
    assert wb.compare(grpo, proxmo).names == ("grpo", "proxmo")
    assert wb.compare([grpo, proxmo]).names == ("grpo", "proxmo")
    assert wb.compare({"ours": grpo, "theirs": proxmo}).names == ("ours", "theirs")
    assert wb.compare(proxmo, proxmo).names == ("proxmo", "proxmo (2)")
    assert wb.audit(grpo, draws=4).credits == ("grpo",)
    assert wb.tune(proxmo).field == "temperature"
    assert wb.export(proxmo, tmp_path / "batch").counts["rows"] == 160
    assert wb.read_batch(tmp_path / "batch").height == 160
    assert wb.facts(space).trajectories == 160
    wb.write_credit(tmp_path / "credit.parquet", grpo.scored())
    assert wb.read_credit(tmp_path / "credit.parquet").provenance == grpo.provenance


def test_lists_are_the_registries():
    assert wb.list_methods()["grpo"].dialects["verl"].name == "verl"
    assert "chat" in wb.formats()


def test_what_it_shows_is_short(space: wb.Space):
    credit = wb.score(space, "grpo")
    for value in (space, credit):
        assert len(repr(value)) <= 1500
    # Mean and deviation as `compare` has them; 1121 of 3732 steps are zero.
    assert "mean -0.1207, std 0.8249, 30.0% zero" in repr(credit)
    assert "30.0% zero" in credit._repr_html_()
    assert "3,732 of 3,732 steps scored" in space._repr_html_()


def test_what_is_wrong_is_a_workbench_error(space: wb.Space):
    credit = wb.score(space, "grpo")
    half: Any = 1.5
    frame: Any = space.steps.log
    wrong = [
        lambda: credit.explain(10**9),
        lambda: credit.explain(-1),
        lambda: credit.explain("no step"),
        lambda: credit.explain(half),
        lambda: credit.explain(("nobody", 0)),
        lambda: wb.open_log(5),
        lambda: wb.open_log([]),
        lambda: wb.open_log("househould"),
        lambda: wb.open_log(pl.DataFrame({"a": [1]})),
        lambda: wb.open_log({"a": [1], "b": [1, 2]}),
        lambda: wb.score(frame, "grpo"),
        lambda: wb.score(space, "gropo"),
        lambda: wb.score(space, "grpo", gamma=1),
        lambda: wb.compare(credit),
        lambda: wb.compare(credit, frame),
        wb.audit,
        lambda: wb.tune(credit),
        lambda: wb.export(credit, "batch", target="nobody"),
        lambda: wb.facts("nowhere.parquet"),
    ]
    for call in wrong:
        with pytest.raises(wb.WorkbenchError):
            call()
    with pytest.raises(MissingInputError, match="node_id"):
        wb.score(space, "treerl")


def test_an_existing_path_wins_over_a_bundled_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: wb.Space
):
    monkeypatch.chdir(tmp_path)
    space.steps.log.head(30).write_parquet("relay")
    assert wb.open_log("relay").steps.log.height == 30
    with pytest.raises(wb.WorkbenchError, match=r"a bundled log: household, relay"):
        wb.open_log("rela")
