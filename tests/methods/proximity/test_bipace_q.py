"""BiPACE-Q by hand, and as GRPO, RLOO and GiGPO."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import advantage, credit, term
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, steps
from worked_logs import one_step, seen

EXACT = {"state_key": "exact"}


def test_bipace_q_by_hand():
    # x: go 1 and 0, mean 1/2; stay 0; all 1/3. y is alone: 1 less the mean of the others.
    of = one_step(("x", "go", 1.0), ("x", "go", 0.0), ("x", "stay", 0.0), ("y", "go", 1.0))
    found = term(of, "bipace-q", "step", **EXACT)
    assert found == pytest.approx([1 / 6, 1 / 6, -1 / 3, 2 / 3])
    zero = term(of, "bipace-q", "step", without_peer="zero", **EXACT)
    assert zero == pytest.approx([1 / 6, 1 / 6, -1 / 3, 0.0])
    assert term(of, "bipace-q", "step", step_weight=2.0, **EXACT) == pytest.approx(2 * found)
    facts = [credit(of, "bipace-q", **EXACT).explain(step).facts["step"] for step in (0, 3)]
    assert [fact["has_peers"] for fact in facts] == [True, False]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6))
def test_bipace_q_without_peers_is_grpo_plus_rloo(rewards: list[float]):
    of = one_step(*((f"state {k}", "go", reward) for k, reward in enumerate(rewards)))
    both = advantage(of, "grpo") + advantage(of, "rloo")
    np.testing.assert_allclose(advantage(of, "bipace-q", **EXACT), both, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="abc"))
def test_bipace_q_where_no_action_repeats_is_gigpos_step_term(described: Described):
    size = len(steps(described))
    of = steps(described, action=[f"act {step}" for step in range(size)])
    expected = term(of, "gigpo", "step", norm="mean")
    found = term(of, "bipace-q", "step", without_peer="zero", **EXACT)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bipace_q_where_one_action_is_all_there_is_says_nothing_of_it():
    of = seen(("aab", 1.0), ("abb", 0.0))
    assert term(of, "bipace-q", "step", without_peer="zero", **EXACT).tolist() == [0.0] * 6
