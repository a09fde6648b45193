"""REINFORCE++ by hand, and as GRPO on one group."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import advantage
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, steps
from worked_logs import LIVE_AND_DEAD, outcomes


def test_reinforce_is_against_the_whole_log():
    # Rewards 1, 0, 0 | 0, 0: mean 1/5, deviation sqrt(1/5).
    found = advantage(steps(LIVE_AND_DEAD), "reinforce++", batch_eps=0.0)
    assert found == pytest.approx([4 / np.sqrt(5), *[-1 / np.sqrt(5)] * 4])


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_reinforce_on_one_group_is_grpo(rewards: list[float]):
    of = outcomes(*rewards)
    np.testing.assert_allclose(
        advantage(of, "reinforce++"), advantage(of, "grpo"), rtol=1e-12, atol=1e-12
    )


def test_reinforce_over_tokens_counts_each_of_them():
    # 1 once and 0 three times: mean 1/4, squares 9/16 + 3/16 = 3/4 over 3: deviation 1/2.
    of = outcomes(1.0, 0.0, response_tokens=[1, 3])
    found = advantage(of, "reinforce++", batch_weight="tokens", batch_eps=0.0)
    assert found == pytest.approx([1.5, -0.5])
    # As in verl, with 0.75 under the root: sqrt(1/4 + 3/4) = 1.
    under = {"batch_eps": 0.75, "batch_eps_on": "variance"}
    assert advantage(of, "reinforce++:verl", **under) == pytest.approx([0.75, -0.25])
