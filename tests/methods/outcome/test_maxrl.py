"""MaxRL by hand, and as mean-only GRPO."""

from __future__ import annotations

import numpy as np
from crediting import advantage
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS
from worked_logs import outcomes


def test_maxrl_is_in_units_of_the_mean():
    # One of four succeeds, mean 1/4: (1 - 1/4)/(1/4) = 3 and -1.
    assert advantage(outcomes(1.0, 0.0, 0.0, 0.0), "maxrl", eps=0.0).tolist() == [
        3.0,
        -1.0,
        -1.0,
        -1.0,
    ]
    # 0.25/(0.25 + 0.25)
    assert advantage(outcomes(1.0, 0.0, 0.0, 0.0), "maxrl", eps=0.25)[1] == -0.5


def test_maxrl_has_no_credit_where_the_mean_is_not_above_zero():
    assert advantage(outcomes(1.0, -1.0), "maxrl").tolist() == [0.0, 0.0]
    assert advantage(outcomes(0.0, -1.0), "maxrl").tolist() == [0.0, 0.0]
    # Divided by -1/2 all the same, the better of the two is blamed.
    assert advantage(outcomes(0.0, -1.0), "maxrl:skyrl", eps=0.0).tolist() == [-1.0, 1.0]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_maxrl_is_mean_only_grpo_over_the_mean(rewards: list[float]):
    of = outcomes(*rewards, 20.0)
    mean = np.mean([*rewards, 20.0])
    expected = advantage(of, "grpo", norm="mean") / mean
    np.testing.assert_allclose(advantage(of, "maxrl", eps=0.0), expected, atol=1e-12)
