"""REINFORCE++ with a group baseline by hand, and as GRPO on one group."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, steps
from worked_logs import LIVE_AND_DEAD, group, outcomes


def test_dead_groups_stay_at_zero_under_one_shared_deviation():
    # c = 2/3, -1/3, -1/3 | 0, 0: mean 0, squares 6/9 over 4: deviation sqrt(1/6).
    found = advantage(steps(LIVE_AND_DEAD), "reinforce++-baseline", batch_eps=0.0)
    sixth = np.sqrt(6) / 3
    assert found == pytest.approx([2 * sixth, -sixth, -sixth, 0.0, 0.0])
    assert found[3:].tolist() == [0.0, 0.0]


def test_taking_the_token_mean_off_gives_a_dead_group_credit():
    # c = 1/2, -1/2 | 0, 0 with 3, 1, 2, 2 tokens: mean (3/2 - 1/2)/8 = 1/8; squares over tokens
    # 3 · 9/64 + 25/64 + 4/64 = 56/64 over 7: deviation sqrt(1/8).
    of = steps({**group("g", 1.0, 0.0), **group("h", 0.0, 0.0)}, response_tokens=[3, 1, 2, 2])
    found = credit(of, "reinforce++-baseline:verl", batch_eps=0.0)
    eighth = 1 / np.sqrt(8)
    assert found.advantage == pytest.approx([3 * eighth, -5 * eighth, -eighth, -eighth])
    assert found.terms["batch"].value == pytest.approx([-eighth] * 4)
    peers = found.explain(0).peers.filter(pl.col("term") == "batch")
    assert peers.select("trajectory_id", "weight", "value").rows() == [
        ("g0", 0.375, 0.5),
        ("h0", 0.25, 0.0),
        ("h1", 0.25, 0.0),
        ("g1", 0.125, -0.5),
    ]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_reinforce_with_a_baseline_on_one_group_is_grpo(rewards: list[float]):
    of = outcomes(*rewards)
    np.testing.assert_allclose(
        advantage(of, "reinforce++-baseline"), advantage(of, "grpo"), rtol=1e-12, atol=1e-12
    )


def test_equal_rewards_up_to_rounding_leave_nothing_to_normalise_over_the_log():
    # One group's rewards differ in the last bit. Divided by the deviation of that it would be 1.
    of = steps({**group("g", 0.3, 0.1 + 0.2, 0.3), **group("h", 1.0, 1.0)})
    assert advantage(of, "reinforce++-baseline", batch_eps=0.0).tolist() == [0.0] * 5
