import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.analysis.compare import compare, sign_table, why_unranked
from workbench.errors import ParameterError

STEP = ["group_id", "trajectory_id", "step_index"]


def credit(advantages: Sequence[float | None], groups: Sequence[str] | None = None) -> pl.DataFrame:
    """One trajectory of one step for each advantage; all in group "g" unless told otherwise."""
    count = len(advantages)
    return pl.DataFrame(
        {
            "group_id": groups or ["g"] * count,
            "trajectory_id": [f"t{i:03d}" for i in range(count)],
            "step_index": pl.Series([0] * count, dtype=pl.Int32),
            "advantage": pl.Series(advantages, dtype=pl.Float64),
            "excluded": ["no reward" if a is None else None for a in advantages],
        },
        schema_overrides={"excluded": pl.String},
    )


def pair(left: Sequence[float], right: Sequence[float], **options: Any) -> dict[str, Any]:
    return compare({"a": credit(left), "b": credit(right)}, **options).pairs.row(0, named=True)


def test_by_hand() -> None:
    # Ranks of a: 1, 2, 3, 4. Ranks of b: 2, 1, 3, 4. Spearman 1 - 6·(1+1)/(4·15) = 0.8.
    # Signs: only the first step has a < 0 < b.
    row = pair([-1.0, 0.5, 1.0, 2.0], [0.2, 0.1, 1.0, 3.0])
    assert row["spearman"] == pytest.approx(0.8)
    assert row["sign_flips"] == 1
    assert row["sign_flip_share"] == 0.25
    # Mean (-1 + 0.5 + 1 + 2) / 4 = 0.625.
    assert row["left_mean"] == 0.625
    assert row["left_std"] == pytest.approx(np.std([-1.0, 0.5, 1.0, 2.0], ddof=1))


def test_ties_are_averaged() -> None:
    left, right = [1.0, 1.0, 2.0, 3.0, 3.0], [5.0, 4.0, 4.0, 1.0, 2.0]
    assert pair(left, right)["spearman"] == pytest.approx(stats.spearmanr(left, right).statistic)


def test_rounding_errors_break_no_tie() -> None:
    # 0.1 + 0.2 is 0.30000000000000004: the same advantage as 0.3.
    row = pair([0.1 + 0.2, 0.3, 1.0], [2.0, 2.0, 5.0])
    assert row["spearman"] == pytest.approx(1.0)


@pytest.mark.parametrize("constant", [[0.0, 0.0, 0.0], [2.5, 2.5, 2.5], [1e-17, 0.0, -1e-17]])
def test_a_constant_side_has_no_correlation(constant: Sequence[float]) -> None:
    row = pair(constant, [1.0, 2.0, 3.0])
    assert row["spearman"] is None
    assert row["pearson"] is None


def test_a_single_step_has_no_correlation_and_no_deviation() -> None:
    row = pair([1.0], [2.0])
    assert (row["spearman"], row["pearson"], row["left_std"]) == (None, None, None)


def test_zeros_are_no_sign_flips_and_are_counted_apart() -> None:
    row = pair([0.0, 1e-13, 1.0, -1.0, 0.0], [1.0, -1.0, 0.0, 1.0, 0.0])
    assert row["sign_flips"] == 1
    assert row["zero_left_only"] == 2
    assert row["zero_right_only"] == 1
    assert row["zero_both"] == 1


def test_steps_that_one_credit_does_not_score_are_left_out_of_every_pair() -> None:
    three = compare(
        {"a": credit([1.0, 2.0, 3.0]), "b": credit([1.0, None, 3.0]), "c": credit([1.0, 2.0, 3.0])}
    )
    assert three.steps == 3
    assert three.compared == 2
    assert three.pairs["steps"].to_list() == [2, 2, 2]
    assert three.credits["scored"].to_list() == [3, 2, 3]
    assert three.pairs.select("left", "right").rows() == [("a", "b"), ("a", "c"), ("b", "c")]


def test_nothing_in_common_gives_nulls() -> None:
    nothing = compare({"a": credit([None, 1.0]), "b": credit([1.0, None])})
    row = nothing.pairs.row(0, named=True)
    assert nothing.compared == 0
    assert (row["steps"], row["spearman"], row["sign_flip_share"]) == (0, None, None)
    assert nothing.disagreements.is_empty()
    assert nothing.groups.is_empty()


def test_groups_are_ranked_within_themselves() -> None:
    groups = ["g", "g", "g", "h", "h", "h"]
    left, right = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0], [1.0, 2.0, 3.0, 3.0, 2.0, 1.0]
    found = compare({"a": credit(left, groups), "b": credit(right, groups)}).groups
    assert found["group_id"].to_list() == ["g", "h"]
    assert found["spearman"].to_list() == pytest.approx([1.0, -1.0])
    assert found["steps"].to_list() == [3, 3]


def test_largest_disagreements_are_by_standardised_difference() -> None:
    # The last step is the largest of a and the smallest of b.
    table = compare(
        {"a": credit([0.0, 0.0, 0.0, 9.0]), "b": credit([10.0, 10.0, 10.0, 0.0])}, top=2
    ).disagreements
    assert table["trajectory_id"].to_list() == ["t003", "t000"]
    assert table["rank"].to_list() == [1, 2]
    # a standardised: (9 - 2.25) / 4.5 = 1.5; b: (0 - 7.5) / 5 = -1.5.
    assert table["standardised_difference"][0] == pytest.approx(-3.0)
    assert table["difference"][0] == -9.0


def test_equal_disagreements_keep_the_order_of_the_log() -> None:
    table = compare({"a": credit([0.0] * 6), "b": credit([1.0, -1.0] * 3)}, top=4).disagreements
    assert table["trajectory_id"].to_list() == ["t000", "t001", "t002", "t003"]


def test_row_order_is_irrelevant() -> None:
    a, b = credit([1.0, -2.0, 3.0, 0.5]), credit([0.3, 2.0, -1.0, 0.0])
    straight = compare({"a": a, "b": b}).to_dict()
    shuffled = b.sample(fraction=1.0, seed=1, shuffle=True)
    assert compare({"a": a.reverse(), "b": shuffled}).to_dict() == straight


def test_other_steps_are_refused_and_named() -> None:
    a, b = credit([1.0, 2.0, 3.0, 4.0, 5.0]), credit([1.0])
    with pytest.raises(ParameterError) as caught:
        compare({"grpo": a, "gigpo": b})
    text = str(caught.value)
    assert "4 steps are only in 'grpo'" in text
    assert "trajectory 't001' step 0" in text
    assert "trajectory 't003' step 0" in text
    assert "t004" not in text


@pytest.mark.parametrize(
    ("credits_", "message"),
    [
        ({"a": credit([1.0])}, "at least two"),
        ({"a": credit([1.0]), "b": credit([1.0]).drop("advantage")}, "missing columns"),
        ({"a": credit([1.0]), "b": credit([math.nan])}, "not finite: group 'g' trajectory 't000'"),
        ({"a": credit([1.0]), "b": pl.concat([credit([1.0])] * 2)}, "'b' has 1 step twice"),
    ],
)
def test_what_is_no_pair_of_credits_is_refused(
    credits_: dict[str, pl.DataFrame], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        compare(credits_)


def test_a_negative_top_is_refused() -> None:
    with pytest.raises(ParameterError, match="top must be"):
        compare({"a": credit([1.0]), "b": credit([1.0])}, top=-1)


def test_the_dictionary_is_json_without_nan() -> None:
    found = compare({"a": credit([1.0, 1.0]), "b": credit([1.0, 2.0])})
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["names"] == ["a", "b"]


VALUES = st.integers(-3, 3).map(float)


@given(st.lists(st.tuples(st.sampled_from("gh"), VALUES, VALUES), min_size=1, max_size=12))
def test_agrees_with_brute_force(rows: list[tuple[str, float, float]]) -> None:
    groups, left, right = (list(column) for column in zip(*rows, strict=True))
    found = compare({"a": credit(left, groups), "b": credit(right, groups)})
    # Rows of one group together, as the canonical order has them.
    for name, table in [(None, found.pairs), *((g, found.groups) for g in sorted(set(groups)))]:
        row = (table if name is None else table.filter(group_id=name)).row(0, named=True)
        members = [(x, y) for g, x, y in rows if name in (None, g)]
        xs, ys = (np.array(side) for side in zip(*members, strict=True))
        assert row["sign_flips"] == int((xs * ys < 0).sum())
        if np.ptp(xs) == 0 or np.ptp(ys) == 0:
            assert row["spearman"] is None
        else:
            assert row["spearman"] == pytest.approx(stats.spearmanr(xs, ys).statistic)
            assert row["pearson"] == pytest.approx(stats.pearsonr(xs, ys).statistic)


@given(st.lists(VALUES, min_size=2, max_size=8), st.floats(0.5, 4.0))
def test_a_positive_scale_changes_no_rank_and_no_sign(values: list[float], scale: float) -> None:
    row = pair(values, [scale * value for value in values])
    assert row["sign_flips"] == 0
    expected = None if len(set(values)) == 1 else pytest.approx(1.0)
    assert row["spearman"] == expected


def test_every_pair_is_there_once() -> None:
    names = ["d", "a", "c", "b"]
    found = compare({name: credit([1.0, 2.0]) for name in names})
    assert found.pairs.select("left", "right").rows() == list(itertools.combinations(names, 2))


def test_signs_are_counted_by_both_sides() -> None:
    left = np.array([1.0, 1.0, 0.0, 1e-15, -2.0, -2.0])
    right = np.array([0.5, -0.5, 0.0, 3.0, -1.0, 0.0])
    # Rows + 0 − of left, columns + 0 − of right.
    assert sign_table(left, right).tolist() == [[1, 0, 1], [1, 1, 0], [0, 1, 1]]


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=12))
def test_the_sign_table_agrees_with_the_comparison(rows: list[tuple[float, float]]) -> None:
    left, right = (list(column) for column in zip(*rows, strict=True))
    table, row = sign_table(np.array(left), np.array(right)), pair(left, right)
    assert table.sum() == row["steps"]
    assert table[0, 2] + table[2, 0] == row["sign_flips"]
    assert table[1, 0] + table[1, 2] == row["zero_left_only"]
    assert table[1, 1] == row["zero_both"]


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ([1.0, 2.0], [2.0, 1.0], ""),
        ([1.0], [2.0], "fewer than two steps"),
        ([1.0, 1.0], [2.0, 1.0], "a gives all its steps the same credit"),
        ([1.0, 2.0], [0.0, 0.0], "b gives all its steps the same credit"),
        ([1.0, 1.0], [0.0, 0.0], "each gives all its steps the same credit"),
    ],
)
def test_why_nothing_is_ranked_is_said(left: list[float], right: list[float], reason: str) -> None:
    found = compare({"a": credit(left), "b": credit(right)})
    assert why_unranked(found.pairs).to_list() == [reason]
    assert why_unranked(found.groups).to_list() == [reason]


def test_masked_steps_are_no_disagreement_to_look_at() -> None:
    left, right = credit([0.0, 1.0, 5.0]), credit([1.0, 1.0, -5.0])
    mask = pl.Series("gradient_mask", [True, True, False])
    found = compare({"a": left.with_columns(mask), "b": right.with_columns(mask)}).disagreements
    assert sorted(found["trajectory_id"]) == ["t000", "t001"]
    none = pl.lit(value=False).alias("gradient_mask")
    all_masked = compare({"a": left.with_columns(none), "b": right.with_columns(none)})
    assert all_masked.disagreements.height == 3
