"""OPO by hand, and as mean-only GRPO."""

from __future__ import annotations

import numpy as np
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, steps
from worked_logs import outcomes

from workbench.analysis.rollouts import sentence


def test_opo_weighs_the_mean_by_tokens():
    # 1 with one token, 0 with three: mean 1/4.
    of = outcomes(1.0, 0.0, response_tokens=[1, 3])
    assert advantage(of, "opo").tolist() == [0.75, -0.25]
    assert sentence("episode", credit(of, "opo").explain(0).facts["episode"]) == (
        "reward 1 against the group's mean over tokens 0.25"
    )


def test_opo_adds_the_tokens_of_a_trajectory():
    # 1 with 1 + 1 tokens, 0 with 2: mean 1/2.
    described = {"g": {"a": [("s", "go", 0.0), ("s", "go", 1.0)], "b": [("s", "go", 0.0)]}}
    assert advantage(steps(described, response_tokens=[1, 1, 2]), "opo").tolist() == [
        0.5,
        0.5,
        -0.5,
    ]


def test_opo_without_any_token_is_zero():
    assert advantage(outcomes(1.0, 0.0, response_tokens=[0, 0]), "opo").tolist() == [0.0, 0.0]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_opo_with_equal_lengths_is_mean_only_grpo(rewards: list[float]):
    of = outcomes(*rewards, response_tokens=7)
    np.testing.assert_allclose(advantage(of, "opo"), advantage(of, "grpo", norm="mean"), atol=1e-12)
