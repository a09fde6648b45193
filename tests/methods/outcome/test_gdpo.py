"""GDPO by hand, and as GRPO of one reward."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, steps
from worked_logs import LIVE_AND_DEAD, group, outcomes

from workbench.errors import MissingInputError, ParameterError
from workbench.methods import create
from workbench.methods.outcome.gdpo import parse_weights


def test_gdpo_adds_standardised_rewards():
    # R = 1, 0: z = ±1/sqrt(2). Style 0, 10: z = ∓1/sqrt(2). Weighted 3 to 1 the sum is ±sqrt(2),
    # its deviation 2: 1/sqrt(2).
    of = outcomes(1.0, 0.0, aux_reward_style=[0.0, 10.0])
    exact = {"eps": 0.0, "batch_eps": 0.0}
    found = credit(of, "gdpo", weights="reward=3, aux_reward_style=1", **exact)
    half = 1 / np.sqrt(2)
    assert found.advantage == pytest.approx([half, -half])
    assert found.terms["episode"].value == pytest.approx([1.5 * half, -1.5 * half])
    assert found.terms["aux_reward_style"].value == pytest.approx([-0.5 * half, 0.5 * half])
    # With equal weights they cancel: nothing is left to be divided.
    assert advantage(of, "gdpo", **exact).tolist() == [0.0, 0.0]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_gdpo_of_one_reward_and_one_group_is_grpo(rewards: list[float]):
    of = outcomes(*rewards, aux_reward_style=0.5)
    # What is standardised already has the deviation 1.
    np.testing.assert_allclose(
        advantage(of, "gdpo", eps=0.0, batch_eps=0.0),
        advantage(of, "grpo", eps=0.0),
        rtol=1e-9,
        atol=1e-9,
    )


def test_gdpo_of_a_group_of_one_is_zero_in_every_term():
    found = credit(
        steps({**LIVE_AND_DEAD, **group("one", 1.0)}, aux_reward_style=[1.0, 0, 0, 0, 1, 5]), "gdpo"
    )
    assert [term.value[-1] for term in found.terms.values()] == [0.0, 0.0]


def test_gdpo_refuses_weights_that_name_no_reward():
    for wrong in ("reward", "reward=much", "style=1"):
        with pytest.raises(ParameterError, match="weights: "):
            create("gdpo", {"weights": wrong})
    assert parse_weights(" ") == {}
    of = outcomes(1.0, 0.0, aux_reward_style=[0.0, 10.0])
    with pytest.raises(MissingInputError, match="`aux_reward_length` is not known in 2 of 2"):
        credit(of, "gdpo", weights="aux_reward_length=1")
