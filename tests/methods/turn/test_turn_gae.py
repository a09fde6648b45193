"""GAE over turns by hand, and as return less value."""

from __future__ import annotations

import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import PLANS

from workbench.errors import MissingInputError, ParameterError
from workbench.methods import create


def test_turn_gae_by_hand():
    # δ_1 = 1 - 0.5; δ_0 = 0 + 0.5·0.5 - 0.2; A_0 = δ_0 + 0.5·0.5·δ_1.
    described: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)]}}
    found = credit(log(described, critic_value=[0.2, 0.5]), "turn-gae", gamma=0.5, lam=0.5)
    assert found.advantage.tolist() == near(0.05 + 0.125, 0.5)
    assert found.outputs["value_target"].tolist() == near(0.375, 1.0)


def test_turn_gae_on_tokens_goes_by_turns_and_then_inside_them():
    # Turns end at tokens 1 and 3. A_3 = 1 - 0.4; A_1 = 1 + 0.5·0.4 - 0.2 + 0.25·0.6, with
    # the target 1.35. Inside: A_2 = 0.4 - 0.3 + 0.5·0.6, A_0 = 0.2 - 0.1 + 0.5·1.15.
    described: Described = {
        "g": {"a": [("", "", 0.0), ("", "", 1.0), ("", "", 0.0), ("", "", 1.0)]}
    }
    frame = log(described, critic_value=[0.1, 0.2, 0.3, 0.4])
    found = advantage(frame, "turn-gae", gamma=0.5, lam=0.5, turns="rewards", token_gamma=1.0)
    assert found == near(0.1 + 0.575, 1.15, 0.1 + 0.3, 0.6)


@given(described_logs())
def test_turn_gae_with_lambda_one_is_return_less_value(described: Described):
    frame = log(described, critic_value=0.25)
    plain = credit(frame, "return-to-go", gamma=0.9).terms["step"].score
    assert advantage(frame, "turn-gae", gamma=0.9, lam=1.0) == near(*(plain - 0.25))


def test_turn_gae_names_a_step_without_a_value():
    frame = log(PLANS, critic_value=[0.1, None, 0.3, 0.4, 0.5, 0.6])
    with pytest.raises(MissingInputError, match=r"not known in 1 of 6 places.*'step_index': 1"):
        advantage(frame, "turn-gae")


def test_a_lambda_above_one_is_refused():
    with pytest.raises(ParameterError, match=r"lam must be in \[0.0, 1.0\]"):
        create("turn-gae", {"lam": 2.0})
