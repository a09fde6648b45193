"""ReMax by hand, and as mean-only GRPO."""

from __future__ import annotations

import numpy as np
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS
from worked_logs import outcomes

from workbench.analysis.rollouts import sentence


def test_remax_is_against_the_greedy_reward_of_the_log():
    of = outcomes(1.0, 0.0, greedy_reward=0.75)
    assert advantage(of, "remax").tolist() == [0.25, -0.75]
    facts = credit(of, "remax").explain(0).facts["greedy"]
    assert sentence("greedy", facts) == "reward 1 against the greedy rollout's reward 0.75"


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_remax_with_the_group_mean_as_greedy_reward_is_mean_only_grpo(rewards: list[float]):
    of = outcomes(*rewards, greedy_reward=float(np.mean(rewards)))
    expected = advantage(of, "grpo", norm="mean")
    np.testing.assert_allclose(advantage(of, "remax"), expected, atol=1e-12)
