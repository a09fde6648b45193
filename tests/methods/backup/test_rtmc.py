"""RTMC by hand, and as Monte Carlo Q."""

from __future__ import annotations

import pytest
from crediting import advantage, credit
from hypothesis import given, settings
from logs import described_logs, steps
from worked_logs import HALL


def test_rtmc_smooths_first_visits_towards_the_group():
    # γ 1: G = 1 1 0 0, ḡ = ½. First visits of hall: a's and b's first step, mean of 1 and 0.
    # n₀ 2: V′(hall) = (1 + 2·½)/(2 + 2) = ½, V′(door) = (1 + 1)/(1 + 2) = 2/3.
    found = advantage(steps(HALL), "rtmc", gamma=1.0, prior=2.0)
    assert found == pytest.approx([0.5, 1 / 3, -0.5, -0.5])


@given(described_logs(max_length=1, max_rollouts=6))
@settings(max_examples=40)
def test_rtmc_without_a_prior_on_single_steps_is_mc_q(described):
    of = steps(described)
    assert advantage(of, "rtmc", prior=0.0) == pytest.approx(advantage(of, "mc-q"), abs=1e-9)


def test_rtmc_explains_a_step_by_its_first_visits_and_its_group():
    # Two first visits of the hall, a's and b's first steps, have ¼ of V′(hall) each; the group's
    # mean return, ½, has the other half, so each of its four steps has ⅛ more.
    found = credit(steps(HALL), "rtmc", gamma=1.0, prior=2.0).explain(0)
    facts = found.facts["step"]
    assert (facts["state_visits"], facts["group_mean"]) == (2.0, 0.5)
    peers = found.peers.sort("trajectory_id", "step_index")
    assert peers["weight"].to_list() == [0.375, 0.125, 0.375, 0.125]
    assert peers["value"].to_list() == [1.0, 1.0, 0.0, 0.0]


def test_rtmc_explains_a_step_by_its_group_with_any_prior():
    # n₀ ½: V′(hall) has 2½ visits: .4 for each first visit, .2 for the group's four steps.
    peers = credit(steps(HALL), "rtmc", gamma=1.0, prior=0.5).explain(0).peers
    weight = peers.sort("trajectory_id", "step_index")["weight"]
    assert weight.to_list() == pytest.approx([0.45, 0.05, 0.45, 0.05])
