"""GRPO by hand, against the others, over the log, and with penalties."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, steps
from worked_logs import FOUR, LIVE_AND_DEAD, outcomes, two_updates


def test_grpo_standardises_over_trajectories():
    # Rewards 1, 0, 0, 0: mean 1/4, deviation 1/2, so 0.75/0.5 for a's two steps and -0.25/0.5.
    expected = [1.5, 1.5, -0.5, -0.5, -0.5]
    assert advantage(FOUR, "grpo", eps=0.0) == pytest.approx(expected)


def test_grpo_with_the_population_deviation():
    # With ddof 0 the deviation is sqrt(3)/4, so 0.75 over it is sqrt(3).
    assert advantage(FOUR, "grpo", eps=0.0, ddof=0)[0] == pytest.approx(math.sqrt(3))


def test_grpo_without_deviation_is_reward_minus_mean():
    assert advantage(FOUR, "grpo", norm="mean").tolist() == [0.75, 0.75, -0.25, -0.25, -0.25]


def test_grpo_adds_eps_to_the_deviation():
    # 0.75 / (0.5 + 0.25)
    assert advantage(FOUR, "grpo", eps=0.25)[0] == pytest.approx(1.0)


def test_grpo_over_step_rows_counts_a_twice():
    # Over five rows the mean is 2/5.
    expected = [0.6, 0.6, -0.4, -0.4, -0.4]
    assert advantage(FOUR, "grpo:verl-agent", norm="mean") == pytest.approx(expected)


def test_a_penalty_hits_its_step_and_no_statistics_of_trajectories():
    frame = FOUR.with_columns(valid_action=pl.Series([False, True, True, True, True]))
    expected = [0.65, 0.75, -0.25, -0.25, -0.25]
    assert advantage(frame, "grpo", norm="mean", invalid_penalty=0.1) == pytest.approx(expected)


def test_over_step_rows_a_penalty_moves_the_mean():
    # Scores .9, 1, 0, 0, 0: mean .38.
    frame = FOUR.with_columns(valid_action=pl.Series([False, True, True, True, True]))
    found = advantage(frame, "grpo:verl-agent", norm="mean", invalid_penalty=0.1)
    assert found == pytest.approx([0.52, 0.62, -0.38, -0.38, -0.38])


def test_grpo_against_the_others_is_over_the_deviation_of_the_others():
    # 4 against 0, 1, 2: mean 1, deviation 1; 0 against 4, 1, 2: mean 7/3, squares
    # 25/9 + 16/9 + 1/9 = 14/3, deviation sqrt(7/3).
    found = advantage(outcomes(4.0, 0.0, 1.0, 2.0), "grpo", baseline="others", eps=0.0)
    assert found[:2] == pytest.approx([3.0, -np.sqrt(7 / 3)])


def test_the_deviation_of_the_others_with_the_population_denominator():
    # 0, 1, 2 about 1: squares 2 over 3.
    found = advantage(outcomes(4.0, 0.0, 1.0, 2.0), "grpo", baseline="others", eps=0.0, ddof=0)
    assert found[0] == pytest.approx(3 / np.sqrt(2 / 3))


def test_others_that_are_equal_divide_by_nothing():
    # The success is against 0, 0, 0; a failure against 1, 0, 0: mean 1/3, deviation sqrt(1/3).
    found = advantage(outcomes(1.0, 0.0, 0.0, 0.0), "grpo", baseline="others", eps=0.0)
    assert found == pytest.approx([1.0, *[-np.sqrt(1 / 3)] * 3])
    # Also where 0.1 + 0.2 and 0.3 are the equal ones, whose deviation is 2e-17.
    found = advantage(outcomes(1.0, 0.3, 0.1 + 0.2, 0.3), "grpo", baseline="others", eps=0.0)
    assert found[0] == pytest.approx(0.7)


@given(st.lists(QUARTERS, min_size=3, max_size=7))
def test_statistics_of_the_others_are_those_of_the_group_without_the_trajectory(
    rewards: list[float],
):
    found = credit(outcomes(*rewards), "grpo", baseline="others", eps=0.0).terms["episode"]
    for k, reward in enumerate(rewards):
        others = np.delete(rewards, k)
        assert found.baseline[k] == pytest.approx(others.mean(), abs=1e-12)
        deviation = others.std(ddof=1) if np.ptp(others) else 1.0
        expected = (reward - others.mean()) / deviation
        assert found.value[k] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_grpo_over_the_deviation_of_the_whole_log():
    # Rewards 1, 0, 0 | 0, 0: mean 1/5, squares 4/5 over 4: deviation sqrt(1/5). A dead group is 0.
    found = advantage(steps(LIVE_AND_DEAD), "grpo", norm="batch", eps=0.0)
    third = np.sqrt(5) / 3
    assert found == pytest.approx([2 * third, -third, -third, 0.0, 0.0])


def test_grpo_over_the_batch_keeps_two_updates_apart():
    # Update 1 as above: c = 2/3, -1/3, -1/3, 0, 0 over sqrt(1/5). In update 2 rewards 4, 0 | 2, 2
    # have the deviation sqrt(8/3), and 2 over that is sqrt(3/2). Over all nine it would be sqrt(2).
    found = credit(two_updates(), "grpo:trl-batch", eps=0.0)
    third = np.sqrt(5) / 3
    first = [2 * third, -third, -third, 0.0, 0.0]
    assert found.advantage == pytest.approx([*first, np.sqrt(1.5), -np.sqrt(1.5), 0.0, 0.0])
    facts = found.explain("i0:0").facts["episode"]
    assert facts["batch"] == "run r, update 2"
    assert facts["batch_std"] == pytest.approx(np.sqrt(8 / 3))


def test_grpo_says_that_a_log_is_one_batch_only_where_that_matters():
    for params, count in (({}, 0), ({"norm": "batch"}, 1)):
        assert len(credit(steps(LIVE_AND_DEAD), "grpo", **params).notes) == count
