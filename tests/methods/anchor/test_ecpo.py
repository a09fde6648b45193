"""ECPO by hand, and its gate around other credits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from crediting import advantage, credit, near, term
from hypothesis import given, settings
from logs import Described, described_logs, random_log, steps
from worked_logs import one_step

from workbench.errors import ParameterError
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.anchor.ecpo import action_values
from workbench.states.space import Space


def test_ecpo_by_hand():
    # κ = 2, mean 2/3. u: 1, 1: (2 + 4/3)/4 = 5/6; v: 0: (0 + 4/3)/3 = 4/9.
    of = one_step(("s", "u", 1.0), ("s", "u", 1.0), ("s", "v", 0.0))
    # Over steps: mean 19/27, deviations 7, 7, -14 in 54ths, sum of squares 294: std sqrt(147)/54.
    # B = 2/9 and W = 0, so the gate is tanh(3/4).
    z = np.array([7, 7, -14]) / math.sqrt(147)
    gate = math.tanh(3 / 4)
    assert term(of, "ecpo", "step", eps=0.0) == pytest.approx(gate * z)
    assert credit(of, "ecpo").terms["step"].score == pytest.approx([5 / 6, 5 / 6, 4 / 9])
    # Without a prior the means themselves.
    assert credit(of, "ecpo", kappa=0.0).terms["step"].score == pytest.approx([1.0, 1.0, 0.0])
    # Over the two actions: ±1/sqrt(2), whatever κ.
    found = term(of, "ecpo", "step", eps=0.0, over="actions")
    assert found == pytest.approx(gate * np.array([1, 1, -1]) / math.sqrt(2))
    assert term(of, "ecpo", "episode").tolist() == advantage(of, "grpo").tolist()


def test_the_gate_is_the_share_of_variance_between_actions_times_evidence():
    # u: 1, 0; v: 0. Mean 1/3: B = (2/36 + 4/36)/3 = 1/18, W = 1/6: a quarter.
    of = one_step(("s", "u", 1.0), ("s", "u", 0.0), ("s", "v", 0.0))
    facts = credit(of, "ecpo", eps=0.0).explain(0).facts["step"]
    assert facts["reliability"] == pytest.approx(math.tanh(3 / 4) / 4)
    assert facts["action_mean"] == 0.5
    assert facts["action_visits"] == 2.0


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="ab"))
def test_variances_between_and_within_actions_are_the_variance_of_the_state(described: Described):
    of = steps(described)
    space, ones = Space(of, embedder="tfidf"), np.ones(len(of))
    state = space.state_key()
    found = action_values(of, state, space.action_key(), of.reward, ones)
    for label in np.unique(state):
        here = state == label
        total = found.between[here] + found.within[here]
        np.testing.assert_allclose(total, of.reward[here].var(), atol=1e-12)


@pytest.mark.parametrize("over", ["steps", "actions"])
def test_an_action_that_no_counted_rollout_took_is_worth_its_state(over: str):
    of = steps(
        {"g": {"a": [("s", "u", 1.0)], "b": [("s", "w", 0.0)], "c": [("s", "v", 5.0)]}},
        in_group_statistics=[True, True, False],
    )
    # The mean of 1 and 0, as no visit of v counts.
    found = credit(of, "ecpo", kappa=0.0, over=over, eps=0.0).terms["step"]
    assert found.score == near(1.0, 0.0, 0.5)
    # One standard deviation is sqrt(1/2); B is all there is, so the gate is tanh(2/4).
    z = math.tanh(0.5) * math.sqrt(0.5)
    assert found.value == near(z, -z, 0.0)


def test_where_one_action_was_tried_or_all_are_worth_the_same_ecpo_says_nothing():
    one = one_step(("s", "u", 1.0), ("s", "u", 0.0))
    assert term(one, "ecpo", "step").tolist() == [0.0, 0.0]
    # 0.15 and the mean of 0.1 and 0.2 differ in the last bit.
    same = one_step(("s", "u", 0.1), ("s", "u", 0.2), ("s", "v", 0.15))
    assert (0.1 + 0.2) / 2 != 0.15
    assert term(same, "ecpo", "step").tolist() == [0.0, 0.0, 0.0]
    assert term(same, "ecpo-gate", "step").tolist() == [0.0, 0.0, 0.0]


def test_the_gate_goes_around_the_step_terms_of_any_credit():
    of = Steps.from_log(random_log(np.random.default_rng(3), texts=2))
    for name in ("gigpo", "proxmo", "bipace-q"):
        plain, gated = credit(of, name), credit(of, "ecpo-gate", of=name)
        assert gated.terms["episode"].value.tolist() == plain.terms["episode"].value.tolist()
        gate = [gated.explain(step).facts["step"]["reliability"] for step in range(len(of))]
        np.testing.assert_allclose(gated.terms["step"].value, gate * plain.terms["step"].value)
    assert 0.0 < max(gate) < 1.0
    assert advantage(of, "ecpo-gate", of="grpo").tolist() == advantage(of, "grpo").tolist()
    with pytest.raises(ParameterError, match="of: unknown method 'gipgo'"):
        create("ecpo-gate", {"of": "gipgo"})
