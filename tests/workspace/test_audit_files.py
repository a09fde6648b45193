"""An audit of files, credit by credit: that of the whole log, also where groups are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from engine_tasks import Elsewhere
from logs import log
from places import DATA

import workbench
from workbench.analysis.audit import Audit
from workbench.analysis.audit.sample import drawn_groups
from workbench.engines import Here
from workbench.errors import ParameterError, WorkbenchError
from workbench.log.credit import ScoredCredit, read_credit
from workbench.log.steps import Steps
from workbench.workspace.audit_files import audit_opened, opened_for
from workbench.workspace.opened import OpenedLog

FEW = 5  # draws of the bootstrap


def household(folder: Path) -> pl.DataFrame:
    """Ten groups in five updates, with the trainer's own advantage and a column of labels."""
    rows = pl.read_parquet(DATA / "household.parquet")
    groups = rows["group_id"].unique(maintain_order=True).to_list()
    place = {name: number for number, name in enumerate(groups)}
    number = rows["group_id"].replace_strict(place)
    rows = rows.with_columns((number // 2).cast(pl.Int64).alias("train_step")).filter(number < 10)
    space = workbench.open_log(rows, embedder="tfidf", cache=folder / "vectors")
    theirs = (
        workbench.score(space, "proxmo")
        .table()
        .select("group_id", "trajectory_id", "step_index", logged_advantage="advantage")
    )
    return rows.join(theirs, on=["group_id", "trajectory_id", "step_index"], how="left")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log and credits of it."""
    folder = tmp_path_factory.mktemp("audited")
    household(folder).write_parquet(folder / "log.parquet")
    space = workbench.open_log(folder / "log.parquet", embedder="tfidf", cache=folder / "vectors")
    for name in ("proxmo", "reinforce++", "history-gae"):
        workbench.write_credit(folder / f"{name}.parquet", workbench.score(space, name).scored())
    table = workbench.score(space, "grpo").scored().table
    workbench.write_credit(folder / "unknown.parquet", ScoredCredit(table))
    return folder


def files(place: Path, *names: str) -> dict[str, Path]:
    return {name: place / f"{name}.parquet" for name in names}


def whole(place: Path, *names: str, **asked: Any) -> Audit:
    rows = workbench.import_log([place / "log.parquet"])
    credits = {name: read_credit(path) for name, path in files(place, *names).items()}
    opened = OpenedLog.of_import(rows, place / "vectors")
    return audit_opened(opened, credits, draws=FEW, **asked)


def parted(place: Path, *names: str, engine: Any = None, **asked: Any) -> Audit:
    found, rows = workbench.audit_files(
        [place / "log.parquet"],
        files(place, *names),
        engine=engine,
        cache=place / "vectors",
        draws=FEW,
        **asked,
    )
    assert "observation" not in rows.columns
    return found


@pytest.mark.parametrize("engine", [Here(), Elsewhere(times=2)])
@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("proxmo", "unknown", "reinforce++"), {}),
        (("history-gae",), {"controls": (), "seed": 3, "label": "reward"}),
        (("proxmo",), {"controls": ("random",)}),
    ],
)
def test_an_audit_credit_by_credit_is_that_of_the_whole(
    names: tuple[str, ...], asked: dict[str, Any], engine: Any, place: Path
):
    expected = whole(place, *names, **asked)
    found = parted(place, *names, engine=engine, **asked)
    assert found.to_dict() == expected.to_dict()
    assert found.intervals.equals(expected.intervals)


def test_the_method_behind_the_trainers_numbers_is_found_in_parts_too(place: Path):
    for names, method in ((("proxmo",), "proxmo"), (("history-gae",), None)):
        rows = parted(place, *names, controls=()).frame
        closest = rows.filter(pl.col("measure") == "closest_to_logged").row(0, named=True)
        # Texts are compared only where a credit of the audit compares them.
        assert (closest["where"] == "proxmo") == (method == "proxmo")
        assert (closest["value"] == 1.0) == (method == "proxmo")


def test_of_a_log_with_more_steps_whole_groups_are_drawn_and_said(place: Path):
    found = parted(place, "proxmo", steps=700)
    assert found.to_dict() == whole(place, "proxmo", steps=700).to_dict()
    drawn = found.sampling["drawn"]
    assert (drawn["of_groups"], drawn["unit"], drawn["seed"]) == (10, "group", 0)
    assert 0 < drawn["groups"] < 10
    assert drawn["steps"] <= 700 < drawn["of_steps"]
    assert f"Drawn: {drawn['steps']:,} of {drawn['of_steps']:,} steps" in found.title
    counts = found.frame.filter(pl.col("measure") == "zero_signal_rate")["count"]
    assert set(counts.to_list()) == {drawn["steps"]}


def test_batches_are_drawn_whole_for_a_credit_that_compares_their_groups(place: Path):
    found = parted(place, "reinforce++", "proxmo", steps=700, controls=())
    assert found.sampling["drawn"]["unit"] == "batch"
    assert found.sampling["drawn"]["groups"] % 2 == 0  # two groups an update
    # Its method gives the same numbers on the batches that were drawn.
    reasons = found.left_out.filter(pl.col("credit") == "reinforce++")["reason"].to_list()
    assert not [reason for reason in reasons if "other numbers" in reason]


def test_batches_are_drawn_whole_for_a_credit_whose_embedder_is_fitted_on_them(place: Path):
    log = place / "log.parquet"
    space = workbench.open_log(log, embedder="tfidf-proxmo", cache=place / "vectors")
    workbench.write_credit(place / "fitted.parquet", workbench.score(space, "proxmo").scored())
    found = parted(place, "fitted", steps=700, controls=())
    assert found.sampling["drawn"]["unit"] == "batch"
    reasons = found.left_out.filter(pl.col("credit") == "fitted")["reason"].to_list()
    assert not [reason for reason in reasons if "other numbers" in reason]


def test_a_credit_that_learns_from_batches_not_drawn_is_audited_by_its_table(place: Path):
    found = parted(place, "history-gae", steps=400, controls=())
    (reason,) = found.left_out.filter(pl.col("credit") == "history-gae")["reason"]
    assert "gives other numbers here" in reason


@pytest.mark.parametrize("batches", [False, True])
def test_drawn_groups_are_as_many_as_fit_and_at_least_one_unit(batches: bool, place: Path):
    steps = Steps.from_log(workbench.import_log([place / "log.parquet"]).validated.log)
    size = np.diff(steps.group_start)
    for most in (1, 500, 900, len(steps)):
        groups = drawn_groups(steps, most, seed=1, batches=batches)
        assert size[groups].sum() <= max(most, size.max() * (1 + batches))
        if batches:
            assert (np.bincount(groups // 2, minlength=5) % 2 == 0).all()
    assert drawn_groups(steps, len(steps), seed=1).tolist() == list(range(10))
    once, again, other = (drawn_groups(steps, 900, seed=seed).tolist() for seed in (1, 1, 2))
    assert once == again != other


def test_groups_are_drawn_one_by_one_where_no_method_is_known(place: Path):
    found = parted(place, "unknown", steps=700, controls=())
    assert found.sampling["drawn"]["unit"] == "group"


@pytest.mark.parametrize("steps", [700, 10_000])
def test_a_table_that_is_no_credits_is_refused(steps: int, place: Path, tmp_path: Path):
    table = read_credit(place / "unknown.parquet").table.drop("group_id")
    workbench.write_credit(tmp_path / "table.parquet", ScoredCredit(table))
    with pytest.raises(ParameterError, match=r"not a credit table: missing columns \['group_id'\]"):
        workbench.audit_files(
            [place / "log.parquet"], {"table": tmp_path / "table.parquet"}, steps=steps
        )


def test_what_cannot_be_audited_is_refused(place: Path, tmp_path: Path):
    with pytest.raises(ParameterError, match="at least one credit"):
        workbench.audit_files([place / "log.parquet"], {})
    with pytest.raises(ParameterError, match="at least 1 step, got 0"):
        parted(place, "proxmo", steps=0)
    log({"g": {"a": [("room", "go", 1.0)], "b": [("room", "stay", 0.0)]}}).write_parquet(
        tmp_path / "other.parquet"
    )
    with pytest.raises(WorkbenchError, match="no finite advantage") as refused:
        workbench.audit_files([tmp_path / "other.parquet"], files(place, "proxmo"))
    assert "while working on proxmo" in "".join(refused.value.__notes__)


def test_nothing_is_left_behind(place: Path, tmp_path: Path):
    parted(place, "proxmo", folder=tmp_path, controls=())
    assert list(tmp_path.iterdir()) == []
    assert opened_for.cache_info().currsize == 0  # the log and its vectors
