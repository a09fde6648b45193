"""CRBC by hand, and between the Monte Carlo gap and the closure."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import advantage, credit, term
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import described_logs, random_log, steps
from worked_logs import HALL

from workbench.errors import ParameterError
from workbench.log.steps import Steps
from workbench.methods import create


def test_crbc_divides_the_gap_by_the_deviation_of_the_state():
    # Q(open) = ½·1 = .5, Q(wait) = (½·.2 + 0)/2 = .05, V(hall) = .2.
    # σ = sqrt((.3² + 2·.15²)/3) = sqrt(.045) = .2121…
    found = term(steps(HALL), "crbc", "step", continuation=0.5, step_weight=1.0)
    sigma = np.sqrt(0.045)
    assert found == pytest.approx([0.3 / sigma, 0.0, -0.15 / sigma, -0.15 / sigma])


def test_crbc_divides_by_a_tenth_at_least():
    # Rewards a tenth: the gaps are .03 and -.015, their deviation .0212 < .1.
    small = steps(HALL, reward=[0.0, 0.1, 0.0, 0.0])
    found = term(small, "crbc", "step", continuation=0.5, step_weight=1.0)
    assert found == pytest.approx([0.3, 0.0, -0.15, -0.15])


def test_crbc_weighs_grpo_and_the_step_term():
    # GRPO: rewards 1 and 0, mean ½, deviation √½: ±.7071.
    found = credit(steps(HALL), "crbc", episode_weight=2.0, eps=0.0)
    assert found.terms["episode"].value == pytest.approx([2**0.5, 2**0.5, -(2**0.5), -(2**0.5)])


@given(described_logs(), st.sampled_from([0.5, 0.9, 1.0]))
@settings(max_examples=60)
def test_crbc_at_depth_0_is_the_monte_carlo_gap(described, discount):
    of = steps(described)
    shallow = advantage(
        of,
        "crbc",
        depth=0,
        continuation=discount,
        episode_weight=0.0,
        step_weight=1.0,
        step_norm="none",
    )
    assert shallow == pytest.approx(advantage(of, "mc-q", gamma=discount), abs=1e-9)


def test_crbc_at_a_great_depth_is_the_closure():
    of = Steps.from_log(random_log(np.random.default_rng(3), rollouts=6))
    deep = advantage(of, "crbc", depth=2000)
    assert deep == pytest.approx(advantage(of, "crbc"), abs=1e-9)
    assert advantage(of, "crbc", depth=1) != pytest.approx(deep, abs=1e-3)


def test_staying_for_ever_needs_a_discount():
    with pytest.raises(ParameterError, match="truncated_as=bootstrap needs a continuation below 1"):
        create("crbc", {"truncated_as": "bootstrap", "continuation": 1.0})


def test_crbc_explains_a_step_by_action_state_and_group():
    # Waiting in the hall, the first of b's two: tried twice, reward 0, next values ½·.2 and 0.
    found = credit(steps(HALL), "crbc", continuation=0.5).explain(2).facts
    assert found["step"] == pytest.approx(
        {
            "score": 0.05,
            "baseline": 0.2,
            "factor": 5.0 / np.sqrt(0.045),
            "state_visits": 3.0,
            "action_visits": 2.0,
            "actions_tried": 2,
            "action_reward": 0.0,
            "next_value": 0.05,
            "state_std": np.sqrt(0.045),
        }
    )
    # GRPO's term: rewards 1 and 0.
    assert {name: found["episode"][name] for name in ("group_mean", "group_size")} == {
        "group_mean": 0.5,
        "group_size": 2,
    }
    assert found["episode"]["group_std"] == pytest.approx(0.5**0.5)
