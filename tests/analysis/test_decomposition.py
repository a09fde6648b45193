"""Credit by role and round: shares of variance, the map, and the mask of the lowest blocks."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import cli
from workbench.analysis.decomposition import decompose, lowest, masked
from workbench.errors import MissingInputError, ParameterError, UnknownNameError
from workbench.log.schema import validate
from workbench.plots.decomposition import role_round_map

Row = tuple[str, int, float]


def given_credit(rows: Sequence[Row]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A log of one-step trajectories with role and round, and a credit of it."""
    count = len(rows)
    frame = pl.DataFrame(
        {
            "group_id": ["g"] * count,
            "trajectory_id": [f"t{number:03}" for number in range(count)],
            "step_index": [0] * count,
            "observation": ["x"] * count,
            "action": ["act"] * count,
            "reward": [0.0] * count,
            "role": [role for role, _, _ in rows],
            "round": [round_ for _, round_, _ in rows],
        }
    )
    log = validate(frame).log
    credit = log.select(
        "group_id",
        "trajectory_id",
        "step_index",
        advantage=pl.Series([value for *_, value in rows], dtype=pl.Float64),
    )
    return log, credit


def shares(rows: Sequence[Row]) -> list[float]:
    found = decompose(*given_credit(rows))
    return [found.role, found.round, found.interaction, found.within]


# Role a is worth 1 more than b, round 1 is worth 2 more than round 0.
ADDITIVE: list[Row] = [("a", 0, 1.0), ("b", 0, 0.0), ("a", 1, 3.0), ("b", 1, 2.0)]


def test_a_balanced_additive_credit_splits_into_its_two_factors():
    # Around the mean 1.5: roles ±0.5, so 4 · 0.25 = 1; rounds ±1, so 4; together all of 5.
    found = decompose(*given_credit(ADDITIVE))
    assert [found.role, found.round] == pytest.approx([0.2, 0.8])
    assert found.residual == pytest.approx(0.0)
    assert found.variance == pytest.approx(5 / 4)


def test_what_only_a_role_in_a_round_explains_is_interaction():
    # Role and round means are all 1/2; the cells are 1, 0, 0, 1.
    crossed: list[Row] = [("a", 0, 1.0), ("b", 0, 0.0), ("a", 1, 0.0), ("b", 1, 1.0)]
    assert shares(crossed) == pytest.approx([0.0, 0.0, 1.0, 0.0])


def test_what_differs_inside_a_cell_is_within():
    # Cell means 1 and 3 around 2: 4 · 1; inside, 1 each: 4.
    rows: list[Row] = [("a", 0, 0.0), ("a", 0, 2.0), ("b", 0, 2.0), ("b", 0, 4.0)]
    assert shares(rows) == pytest.approx([0.5, 0.0, 0.0, 0.5])


def test_where_role_and_round_go_together_they_share_what_they_explain():
    assert shares([("a", 0, 1.0), ("b", 1, 0.0)]) == pytest.approx([0.5, 0.5, 0.0, 0.0])


def test_a_mean_that_rounding_leaves_of_zero_is_zero():
    # 0.1 + 0.2 - 0.3 is 5.6e-17 in floating point.
    rows: list[Row] = [("a", 0, 0.1), ("a", 0, 0.2), ("a", 0, -0.3), ("b", 0, 1e-9)]
    assert decompose(*given_credit(rows)).roles["mean"].to_list() == [0.0, 1e-9]


def test_unbalanced_cells_are_fitted_by_least_squares():
    # a/0 twice 1, b/0 0, a/1 3 and no b/1: three free means, so both factors fit all of it.
    # μ 5/4; total 2/16 + 25/16 + 49/16 = 76/16. Roles: a 5/3, b 0: 3 · (5/12)² + 25/16 = 2.0833.
    # Rounds: 2/3 and 3: 3 · (7/12)² + 49/16 = 4.0833. Roles' share: (2.0833 + 4.75 - 4.0833) / 2.
    rows: list[Row] = [("a", 0, 1.0), ("a", 0, 1.0), ("b", 0, 0.0), ("a", 1, 3.0)]
    assert shares(rows) == pytest.approx([1.375 / 4.75, 3.375 / 4.75, 0.0, 0.0])


def test_equal_credit_has_nothing_to_share_out():
    found = decompose(*given_credit([("a", 0, 0.1), ("b", 1, 0.1), ("a", 1, 0.1)]))
    assert found.variance == 0.0
    assert [found.role, found.round, found.interaction, found.within] == [0.0] * 4


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(-4, 4).map(float)),
        min_size=1,
        max_size=30,
    )
)
def test_shares_are_shares(rows: list[Row]):
    found = shares(rows)
    assert min(found) >= 0.0
    assert sum(found) == pytest.approx(1.0) or sum(found) == 0.0


def test_steps_without_role_or_round_are_left_out_and_counted():
    log, credit = given_credit([*ADDITIVE, ("a", 0, 100.0)])
    log = log.with_columns(role=pl.when(pl.col("trajectory_id") != "t004").then("role"))
    found = decompose(log, credit)
    assert (found.steps, found.left_out) == (4, 1)
    assert found.role == pytest.approx(0.2)


def test_a_log_without_rounds_is_refused():
    log, credit = given_credit(ADDITIVE)
    with pytest.raises(MissingInputError, match=r"no round. Hint: .*--map"):
        decompose(log.drop("round"), credit)


def test_a_credit_of_other_steps_is_refused():
    log, credit = given_credit(ADDITIVE)
    with pytest.raises(ParameterError, match="same steps"):
        decompose(log, credit.head(3))


def test_the_mask_leaves_the_lowest_blocks_and_what_was_masked_stays_so():
    log, credit = given_credit(ADDITIVE)
    found = decompose(log, credit)
    assert lowest(found, "round", 1)["round"].to_list() == [0]
    assert lowest(found, "role-round", 2).select("role", "round").rows() == [("b", 0), ("a", 0)]
    kept = masked(log, lowest(found, "round", 1))
    assert kept["gradient_mask"].to_list() == [True, True, False, False]
    before = log.with_columns(gradient_mask=pl.col("role") == "b")
    again = masked(before, lowest(found, "round", 1))
    assert again["gradient_mask"].to_list() == [False, True, False, False]


def test_a_mask_that_masks_nothing_or_unknown_blocks_are_refused():
    found = decompose(*given_credit(ADDITIVE))
    with pytest.raises(ParameterError, match="from 1 to 1 of 2 blocks, got 2"):
        lowest(found, "role", 2)
    with pytest.raises(UnknownNameError, match="unknown kind of block 'agent'"):
        lowest(found, "agent", 1)


def test_shares_of_the_squares_say_where_the_credit_is():
    # Squares 1, 0, 9, 4 of 14.
    found = decompose(*given_credit(ADDITIVE))
    assert found.cells["share"].to_list() == pytest.approx([1 / 14, 9 / 14, 0.0, 4 / 14])
    assert found.rounds["share"].to_list() == pytest.approx([1 / 14, 13 / 14])


def test_the_map_has_a_cell_for_each_role_in_each_round():
    rows: list[Row] = [*ADDITIVE[:3], ("a", 1, 5.0)]
    figure = role_round_map(decompose(*given_credit(rows)).cells)
    (map_,) = figure.data
    assert list(map_.y) == ["a", "b"]
    assert list(map_.x) == ["0", "1"]
    # b does not act in round 1.
    np.testing.assert_array_equal(map_.z, np.array([[1.0, 4.0], [0.0, np.nan]], dtype=np.float32))
    assert (map_.zmin, map_.zmax) == (-4.0, 4.0)
    assert map_.text[0][1] == "▲ +4"
    assert list(map_.text[1]) == ["= 0", ""]


def test_the_command_prints_shares_and_writes_the_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    log, _ = given_credit(ADDITIVE)
    log.with_columns(reward=pl.Series([1.0, 0.0, 3.0, 2.0])).write_parquet("log.parquet")

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["workbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0
        return capsys.readouterr().out

    run("score", "log.parquet", "-m", "grpo", "-p", "norm=mean", "-o", "credit.parquet")
    out = run("decompose", "log.parquet", "--credit", "credit.parquet")
    assert "role 20.0%, round 80.0%, residual 0.0%" in out
    run("decompose", "log.parquet", "--credit", "credit.parquet", "--figure", "map.html")
    page = Path("map.html").read_text(encoding="utf-8")
    run("decompose", "log.parquet", "--credit", "credit.parquet", "--figure", "map.html")
    assert "heatmap" in page
    assert Path("map.html").read_text(encoding="utf-8") == page
    found = json.loads(
        run(
            "decompose",
            "log.parquet",
            "--credit",
            "credit.parquet",
            "--json",
            "--mask",
            "m.parquet",
        )
    )
    assert found["round"] == pytest.approx(0.8)
    assert pl.read_parquet("m.parquet")["gradient_mask"].to_list() == [False, True, False, False]


def test_a_credit_that_is_the_same_for_all_roles_on_average_is_level():
    # Each role has −1 and 1, as GRPO's number has that every message of a rollout shares.
    rows: list[Row] = [(role, 0, value) for role in "ab" for value in (-1.0, 1.0)]
    assert decompose(*given_credit(rows)).level
    assert not decompose(*given_credit(ADDITIVE)).level
    assert not decompose(*given_credit([("a", 0, 0.0), ("b", 1, 0.0)])).level
