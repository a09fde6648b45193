"""Monte Carlo Q by hand."""

from __future__ import annotations

import pytest
from crediting import advantage
from logs import steps
from worked_logs import HALL


def test_mc_q_compares_the_mean_return_of_an_action_with_its_state():
    # γ ½: G = ½, 1, 0, 0. Hall: V = 1/6, Q(open) = ½, Q(wait) = 0. Door: one action.
    found = advantage(steps(HALL), "mc-q", gamma=0.5)
    assert found == pytest.approx([1 / 3, 0.0, -1 / 6, -1 / 6])


def test_mc_q_leaves_rare_states_alone():
    assert advantage(steps(HALL), "mc-q", gamma=0.5, minimum_visits=4) == pytest.approx([0.0] * 4)
