"""Dialects reproduce the numbers of the original implementations.

`golden/` holds inputs and outputs of the original functions, one table a case. Some cases are
about a defect; what is done instead is tested here:

- i1: the originals read the order of the rows as the order of the steps; we read step_index, so a
  shuffled log gives what the sorted one gives.
- n2: rows of n1 in reverse; the originals' similarity clusters depend on it, exact keys do not.
- l: HGPO takes a row that was duplicated for a further step of the history; we never do. Its
  trainer duplicates rows only after the advantage, so no training run has met this.
- p: one NaN reward spreads to the group or the batch; we exclude its trajectory.

Where an original gave no number, or one that comes of a defect, `LACKS`, `NAN_ALONE`,
`NAN_SPREADS` and `NAN_COUNTED` say what we give instead.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import polars as pl
import pytest
from narrow import number
from places import GOLDEN

from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import METHODS, create
from workbench.parameters import fields
from workbench.states.space import Space

CASES: dict[str, Any] = json.loads((GOLDEN / "cases.json").read_text())
IDS = ["group_id", "trajectory_id", "step_index"]
# Float32 rounding noise over 1e-6 in the originals, or, for IGPO, differences of single steps over
# the 1e-6 of rollouts that begin with equal returns; ours must be exactly 0 there.
NOISE = {
    "gigpo_std",
    "gigpo_std__step",
    "graphgpo_std",
    "hgpo_k0_std",
    "hgpo_k2_std",
    "hgpo_k2_std_alpha0",
    "hgpo_k2_std_base",
    "hgpo_k4_std",
    "igpo_discounted_g05_std",
    "proxmo_std_psc",
    "proxmo_std_psc__step",
    "roll_gigpo_std",
    "roll_gigpo_std__step",
}
# Outcome methods, step methods, methods of trees and turns.
WANTED = (
    *("grpo_", "rloo_", "rfpp_", "passk_", "opo_", "gpg_", "remax_", "gdpo_", "skyrl_", "rllm_"),
    *("nemo_", "trl_", "openrlhf_", "swift_", "areal_", "ragen_"),
    *("gigpo_", "hgpo_", "roll_", "proxmo_", "psa_", "graphgpo_", "g2po_"),
    *("tree_", "igpo_"),
)
# Case -> the columns that it lacks: Pass@k refused a group of one; the others of case s reshape a
# batch into groups of one size, which it does not have. G2PO is in the one case that pays 10.
LACKS = {
    "d_group_of_one": ("passk_",),
    "l_duplicated_rows": ("roll_",),
    "p_nan_reward": ("graphgpo_",),
    "s_constant_returns_noise": ("trl_", "openrlhf_", "swift_", "areal_"),
}
PAYS_TEN = "r_zero_variance_scale10"
# NaN for a group of one in the original; ours is 0.
NAN_ALONE = {"openrlhf_group_norm", "openrlhf_rloo"}
PASSK = {"passk_traj_std", "passk_traj_nostd", "passk_steps_std", "passk_dedup_std"}
# In case p the original gives no number outside the group of the NaN either: statistics over the
# whole log, or 0 · NaN. Ours is what the log gives without the trajectory.
NAN_SPREADS = re.compile(r"(rfpp|rllm_rfpp|gdpo|psa)_|proxmo_soft(?!.*__episode)")
# In case p the original counts the NaN into a number that all groups share. Ours does not.
NAN_COUNTED = {
    "gpg_traj": "among the trajectories and among the rewards other than 0",
    "swift_rfpp_batch": "as a reward of 0 in the deviation",
    "trl_gdpo": "as a z of 0 in the deviation",
}
# Of the order of rows: the tables' greedy reward is that of the group's first row; Pass@k over
# first rows gives credit to the first row alone.
ROW_ORDER = {"remax_traj", "passk_dedup_std"}

COLUMNS = {
    column: (f"{method.name}:{dialect.name}", golden)
    for method in METHODS.values()
    for dialect in method.dialects.values()
    for column, golden in dialect.golden.items()
    if golden.table == "steps"
}


LABELS = {name for name, (_, golden) in COLUMNS.items() if golden.output == "anchor_group"}
# With a history a duplicated row is a further step in the original: see the docstring, case l.
ROWS_AS_STEPS = {name for name in COLUMNS if name.startswith("hgpo_") and name != "hgpo_k0_std"}


def lacks(case: str, column: str) -> bool:
    """True if a case was made without a column."""
    lacking = column.startswith(LACKS.get(case, ()))
    return lacking or (column.startswith("g2po_") and case != PAYS_TEN)


def table(case: str) -> pl.DataFrame:
    frame = pl.read_parquet(GOLDEN / f"{case}.parquet")
    return frame.with_columns(pl.col("group_id", "trajectory_id").cast(pl.String))


def credit_of(frame: pl.DataFrame, column: str, case: str) -> pl.DataFrame:
    """Our number for a golden column at every step of a frame, as column `ours`."""
    name, golden = COLUMNS[column]
    inputs = frame.select(
        *IDS,
        *("observation", "next_observation", "reward", "action_valid", "n_tokens", "tree_id"),
        action=pl.lit(""),
        source_row="row",
        aux_reward_second="aux_reward",
        greedy_reward=pl.col("episode_return").sort_by("row").first().over("group_id"),
    )
    steps = Steps.from_log(validate(inputs).log)
    params = dict(golden.params)
    if "invalid_penalty" in fields(METHODS[name.partition(":")[0]].cls):
        params = {"invalid_penalty": CASES[case]["options"].get("invalid_coef", 0.0)} | params
    method = create(name, params)
    credit = method(steps, Space(steps, embedder="tfidf")).table()
    ours = golden.output or (f"term_{golden.term}" if golden.term else "advantage")
    return credit.select(*IDS, pl.col(ours).alias("ours"))


def differences(frame: pl.DataFrame, column: str, credit: pl.DataFrame) -> pl.DataFrame:
    """Rows where ours is further from the original's than the golden tolerance."""
    joined = frame.join(credit, on=IDS, how="left")
    if column in LABELS:
        joined = joined.with_columns(_numbered_by_row(joined, name) for name in (column, "ours"))
    scale = pl.col("step_return").abs() + pl.col("episode_return").abs()
    tolerance = 2e-5 + 2e-5 * pl.max_horizontal(pl.col(column).abs(), scale)
    near = (pl.col(column) - pl.col("ours")).abs() <= tolerance
    return joined.filter(~near.fill_null(value=False))


def _numbered_by_row(joined: pl.DataFrame, column: str) -> pl.Series:
    """Labels, numbered as they are first met in the rows: what counts is who is together."""
    label = ["group_id", column]
    first = joined.drop_nulls(column).group_by(label).agg(pl.col("row").min()).sort("row")
    numbered = first.select(*label, pl.int_range(pl.len()).cast(pl.Float64).alias("number"))
    found = joined.join(numbered, on=label, how="left", maintain_order="left")
    return found["number"].alias(column)


def test_every_wanted_golden_column_has_a_dialect():
    inputs_end = table("a_typical").columns.index("step_score_row") + 1
    outputs = table("a_typical").columns[inputs_end:]
    wanted = {name for name in outputs if name.startswith(WANTED)}
    assert len(wanted) == 98
    assert wanted - set(COLUMNS) == set()


@pytest.mark.parametrize(
    "case", [case for case in CASES if case not in ("i1_shuffled", "p_nan_reward")]
)
def test_dialects_agree_with_the_originals(case: str):
    frame = table(case)
    noisy = CASES[case]["options"].get("float_noise", False)
    here = {column for column in COLUMNS if not lacks(case, column)}
    assert here == COLUMNS.keys() & set(frame.columns)
    nan_alone = NAN_ALONE if case == "d_group_of_one" else set()
    misread = ROWS_AS_STEPS if case == "l_duplicated_rows" else set()
    for column in sorted(here - nan_alone - misread - (NOISE if noisy else set())):
        wrong = differences(frame, column, credit_of(frame, column, case))
        assert wrong.is_empty(), f"{column}: {wrong.select(*IDS, column, 'ours')}"


@pytest.mark.parametrize("column", sorted(NAN_ALONE | PASSK))
def test_where_the_originals_have_no_number_for_a_group_of_one_ours_is_zero(column: str):
    frame = table("d_group_of_one")
    raised = CASES["d_group_of_one"]["original_raised"]
    assert column in raised or frame[column].is_nan().all()
    assert (credit_of(frame, column, "d_group_of_one")["ours"] == 0.0).all()


@pytest.mark.parametrize("column", [name for name in COLUMNS if not lacks("p_nan_reward", name)])
def test_a_nan_stays_in_its_group_unless_groups_share_a_number(
    column: str,
):
    frame = table("p_nan_reward")
    has_nan = (~pl.col("reward").is_finite()).any().over("group_id")
    credit = credit_of(frame, column, "p_nan_reward")
    whole = frame.filter(~has_nan)
    spreads = NAN_SPREADS.match(column) is not None
    assert whole[column].is_nan().all() == spreads
    agrees = differences(whole, column, credit).is_empty()
    assert agrees == (not spreads and column not in NAN_COUNTED)


def test_where_the_originals_divide_rounding_noise_by_eps_ours_is_exactly_zero():
    # Every step return of an anchor group of case s is the same number up to float32 rounding.
    frame = table("s_constant_returns_noise")
    columns = {
        name for name in NOISE if name.endswith("__step") or name.startswith(("hgpo_", "igpo_"))
    }
    # That column has the episode advantage beside the noise.
    for column in sorted(columns - {"hgpo_k2_std_base"}):
        ours = credit_of(frame, column, "s_constant_returns_noise")["ours"]
        assert (ours == 0.0).all()
        assert number(frame[column].abs().max()) > 1e-3


def test_a_shuffled_log_gives_the_credit_of_the_sorted_one():
    shuffled, ordered = table("i1_shuffled"), table("i0_sorted")
    columns = COLUMNS.keys() & set(ordered.columns)
    of_rows = {column for column in columns if column.startswith("gigpo_sim")}
    for column in sorted(columns - of_rows):
        ours = credit_of(shuffled, column, "i1_shuffled")
        if column in ROW_ORDER:
            assert differences(shuffled, column, ours).is_empty()
        else:
            assert ours.equals(credit_of(ordered, column, "i0_sorted"))
            assert differences(ordered, column, ours).is_empty()


@pytest.mark.parametrize("column", ["gigpo_sim80_group", "gigpo_sim95_group"])
def test_clusters_that_follow_the_rows_follow_those_of_a_shuffled_log(column: str):
    shuffled = table("i1_shuffled")
    assert differences(shuffled, column, credit_of(shuffled, column, "i1_shuffled")).is_empty()


def test_hgpo_agrees_with_the_original_once_duplicated_rows_are_further_steps():
    frame = table("l_duplicated_rows").sort("row")
    as_steps = frame.with_columns(
        step_index=pl.int_range(pl.len()).over("trajectory_id").cast(pl.Int32),
        reward=pl.col("step_return").cast(pl.Float64),
        action=pl.lit(""),
    )
    steps = Steps.from_log(validate(as_steps.select(*IDS, "observation", "action", "reward")).log)
    for column in sorted(ROWS_AS_STEPS):
        name, golden = COLUMNS[column]
        if "base_group" not in golden.params:
            method = create(name, {**golden.params, "gamma": 0.0})
            ours = method(steps, Space(steps, embedder="tfidf")).table()
            ours = ours.select(*IDS, pl.col("advantage").alias("ours"))
            assert differences(as_steps, column, ours).is_empty(), column
        misread = credit_of(frame, column, "l_duplicated_rows")
        assert not differences(frame, column, misread).is_empty()


def test_the_original_gets_shuffled_rows_wrong():
    frame = table("i1_shuffled").join(
        table("i0_sorted").select(*IDS, pl.col("gigpo_mean").alias("ordered")), on=IDS
    )
    assert number((frame["gigpo_mean"] - frame["ordered"]).abs().max()) > 0.5


@pytest.mark.parametrize("column", COLUMNS)
def test_a_nan_reward_excludes_its_trajectory_and_nothing_else(column: str):
    frame = table("p_nan_reward")
    broken = frame.filter(~pl.col("reward").is_finite())["trajectory_id"].unique()
    credit = credit_of(frame, column, "p_nan_reward")
    of_broken = pl.col("trajectory_id").is_in(broken.implode())
    assert credit.filter(of_broken)["ours"].is_null().all()
    assert credit.filter(~of_broken)["ours"].is_finite().all()
    alone = credit_of(frame.filter(~of_broken), column, "p_nan_reward")
    np.testing.assert_array_equal(credit.filter(~of_broken)["ours"], alone["ours"])


def test_the_comparison_can_fail():
    # A formula that is off by one part in a thousand must not pass.
    frame = table("a_typical")
    credit = credit_of(frame, "proxmo_soft", "a_typical").with_columns(pl.col("ours") * 1.001)
    assert not differences(frame, "proxmo_soft", credit).is_empty()
