"""RLOO by hand and as GRPO against the others."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import Described, described_logs, steps
from worked_logs import FOUR, one_group, outcomes


def test_rloo_compares_with_the_mean_of_the_others():
    # a: 1 - 0; the others: 0 - 1/3.
    assert advantage(FOUR, "rloo") == pytest.approx([1.0, 1.0, -1 / 3, -1 / 3, -1 / 3])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8))
def test_rloo_is_n_over_n_minus_1_times_mean_only_grpo(rewards: list[float]):
    frame = one_group({f"t{k}": [("x", reward)] for k, reward in enumerate(rewards)})
    n = len(rewards)
    expected = advantage(frame, "grpo", norm="mean") * n / (n - 1)
    np.testing.assert_allclose(advantage(frame, "rloo"), expected, atol=1e-11)


@given(described_logs())
def test_rloo_is_mean_only_grpo_against_the_others(described: Described):
    of = steps(described)
    assert (
        advantage(of, "rloo").tolist()
        == advantage(of, "grpo", baseline="others", norm="mean").tolist()
    )


def test_a_masked_rollout_stays_in_the_baseline_of_the_others():
    # SkyRL-Agent's recipe. Rewards 1, 0 and 0 of an overlong rollout: 1 − 0, 0 − 1/2, 0 − 1/2.
    masked = outcomes(1.0, 0.0, 0.0, gradient_mask=[True, True, False])
    assert advantage(masked, "rloo:skyrl-agent").tolist() == [1.0, -0.5, -0.5]
    # Left out of the statistics too, the first two are against each other alone.
    out = outcomes(1.0, 0.0, 0.0, in_group_statistics=[True, True, False])
    assert advantage(out, "rloo:skyrl-agent")[:2].tolist() == [1.0, -1.0]


def test_leaving_out_a_first_row_says_what_its_own_penalty_adds():
    # a's rows score 1 and 1 - .1; b and c score 0. At a's second row the sum still holds the
    # first's 1: .1 more than its own, over the two others.
    frame = one_group({"a": [("x", 0.0), ("y", 1.0)], "b": [("x", 0.0)], "c": [("x", 0.0)]})
    frame = frame.with_columns(valid_action=pl.Series([True, False, True, True]))
    explained = credit(frame, "rloo:verl-agent-first-row", invalid_penalty=0.1).explain(1)
    facts = explained.facts["episode"]
    peers = (explained.peers["weight"] * explained.peers["value"]).sum()
    assert facts["baseline"] == pytest.approx(0.1 / 2)
    assert facts["own_first_row_share"] == pytest.approx(0.1 / 2)
    assert peers + facts["own_first_row_share"] == pytest.approx(facts["baseline"])
