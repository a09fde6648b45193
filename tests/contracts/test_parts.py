"""The contract of scoring in parts: the credit of every method is that of the whole log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from engine_tasks import Elsewhere
from method_contract import NAMES, frame

from workbench.engines import Engine, Here
from workbench.log.credit import ScoredCredit
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.scoring import scored
from workbench.states.space import Space
from workbench.workspace.in_parts import score_in_parts
from workbench.workspace.partitions import narrow, partition, unit_of

GROUP = pl.col("group_id").str.slice(1).cast(pl.Int64)


def updates() -> dict[str, pl.DataFrame]:
    """Logs of six groups, by how their batches lie; of g4 no trajectory has a reward."""
    reward = pl.when(pl.col("group_id") != "g4").then("reward")
    log = frame(groups=6).with_columns(reward)
    run = pl.concat_str(pl.lit("run "), (GROUP % 2).cast(pl.String))
    return {
        "none": log,
        "by turns": log.with_columns(train_step=GROUP % 2),
        "two runs": log.with_columns(train_step=GROUP // 3, run_id=run),
        "some unnamed": log.with_columns(train_step=pl.when(GROUP > 2).then(GROUP % 2), run_id=run),
    }


def space(log: pl.DataFrame) -> Space:
    return Space(
        Steps.from_log(log), embedder="tfidf", log_sha256=lambda: "of the log", allow_unchained=True
    )


def written(given: pl.DataFrame, name: str, path: Path) -> tuple[Path, ScoredCredit, Space]:
    """A log in a file, its credit under a method, and its space without the texts."""
    log, method = validate(given).log, create(name)
    log.write_parquet(path)
    whole = scored(space(log), name, method).scored()
    return path, whole, space(narrow(path, method.needs()))


@pytest.mark.parametrize("name", NAMES)
def test_every_method_gives_in_parts_what_it_gives_of_the_whole(name: str, tmp_path: Path):
    method = create(name)
    for case, given in updates().items():
        path, whole, without_texts = written(given, name, tmp_path / f"{case}.parquet")
        assert "observation" not in without_texts.steps.log.columns
        (found,) = score_in_parts(
            path, without_texts, {name: method}, engine=Here(), folder=tmp_path, rows=1
        ).values()
        assert found.table.equals(whole.table, null_equal=True), case
        assert found.provenance == whole.provenance, case


# Of six groups g4 has no scored step and is of no batch. By turns: g0 g2, and g1 g3 g5. Two runs,
# of even and of odd groups: g0 g2, g1, and g3 g5 of the second update. Some unnamed: the same.
@pytest.mark.parametrize(
    ("case", "name", "parts"),
    [
        ("none", "grpo", 6),
        ("none", "reinforce++", 1),
        ("by turns", "grpo", 6),
        ("by turns", "reinforce++", 2),
        ("two runs", "reinforce++", 3),
        ("two runs", "history-gae", 2),
        ("some unnamed", "reinforce++", 3),
    ],
)
def test_a_part_holds_no_more_than_a_method_must_see_together(
    case: str, name: str, parts: int, tmp_path: Path
):
    log, path = validate(updates()[case]).log, tmp_path / "log.parquet"
    log.write_parquet(path)
    opened = space(log)
    unit = unit_of(create(name), opened)
    found = partition(path, opened.steps, unit, tmp_path, rows=1)
    assert len(found.parts) == parts
    rows = pl.concat([part.read() for part in found.parts])
    assert found.in_order(rows).equals(log, null_equal=True)
    assert len(partition(path, opened.steps, unit, tmp_path, rows=10**9).parts) <= 3


POOLING = [name for name in NAMES if create(name).pools_batches]


def test_of_the_methods_that_compare_groups_these_may_divide_a_batch():
    opened = space(validate(updates()["none"]).log)
    coupled = {name for name in NAMES if create(name).couples(opened)}
    # The others carry an average on, fit values on earlier batches, meet states of other groups, or
    # fit a representation on a batch.
    whole = {"rae", "rae:prime-rl", "history-gae", "gigpo:roll", "proxmo:reference"}
    assert coupled - set(POOLING) == whole
    assert set(POOLING) & coupled == coupled - whole


@pytest.mark.parametrize("name", POOLING)
def test_a_batch_that_is_divided_has_the_moments_of_the_whole(name: str, tmp_path: Path):
    method = create(name)
    for case, given in updates().items():
        path, whole, without_texts = written(given, name, tmp_path / f"{case}.parquet")

        engines: tuple[Engine, ...] = (Here(), Elsewhere(times=2))
        found, again = (
            score_in_parts(
                path,
                without_texts,
                {name: method},
                engine=engine,
                folder=tmp_path / f"{case} {number}",
                rows=1,
                batch_rows=1,
            )[name]
            for number, engine in enumerate(engines)
        )
        assert again.table.equals(found.table, null_equal=True)
        numbers = [column for column, kind in whole.table.schema.items() if kind == pl.Float64]
        assert found.table.drop(numbers).equals(whole.table.drop(numbers), null_equal=True)
        for column in numbers:
            one, other = found.table[column].to_numpy(), whole.table[column].to_numpy()
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12, err_msg=column)
        coupled = method.couples(without_texts)
        said = [note for note in found.provenance.notes if "merged from" in note]
        assert len(said) == coupled, case
        assert [n for n in found.provenance.notes if n not in said] == whole.provenance.notes


def whole_and_divided(
    given: pl.DataFrame, name: str, folder: Path
) -> tuple[ScoredCredit, ScoredCredit]:
    """The credit of a log as a whole, and with its batches divided as far as they can be."""
    path, whole, narrowed = written(given, name, folder / "log.parquet")
    methods = {name: create(name)}
    asked: dict[str, Any] = {"engine": Here(), "folder": folder, "rows": 1, "batch_rows": 1}
    return whole, score_in_parts(path, narrowed, methods, **asked)[name]


def test_a_batch_of_one_group_is_not_divided(tmp_path: Path):
    whole, found = whole_and_divided(frame(groups=1), "reinforce++", tmp_path)
    assert found.table.equals(whole.table, null_equal=True)
    assert found.provenance == whole.provenance


def test_pieces_whose_moments_overflow_warn_no_more_than_the_whole(tmp_path: Path):
    log = frame().with_columns(critic_value=pl.col("critic_value") * 1e200)
    whole, found = whole_and_divided(log, "turn-gae:hiper", tmp_path)
    assert found.table.equals(whole.table, null_equal=True)


def test_numbers_of_a_piece_are_not_taken_up_where_the_batch_is_divided_otherwise(tmp_path: Path):
    log, path = validate(frame(groups=6)).log, tmp_path / "log.parquet"
    log.write_parquet(path)
    name = "reinforce++"
    # The last group is a piece by itself both ways: of six pieces, and of two.
    last = log.filter(pl.col("group_id") == "g5").height
    found = []
    for rows in (1, log.height - last):
        score_in_parts(
            path,
            space(narrow(path)),
            {name: create(name)},
            engine=Here(),
            folder=tmp_path / str(rows),
            rows=rows,
            batch_rows=1,
        )
        found.append({file.name for file in (tmp_path / str(rows) / "scored").iterdir()})
    assert [len(files) for files in found] == [6, 2]
    assert not found[0] & found[1]
