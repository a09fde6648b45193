"""RewardFlow by hand."""

from __future__ import annotations

import pytest
from crediting import credit
from logs import steps
from worked_logs import HALL


def test_rewardflow_credits_what_a_step_does_to_the_best_outcome_in_reach():
    # γ ½: V(door) = ½·1 (an end is a step away), V(hall) = ½·½ = ¼.
    # x: ½ − ¼, 1 − ½, ¼ − ¼, 0 − ¼. Hall: mean of ¼, 0, −¼ is 0.
    found = credit(steps(HALL), "rewardflow", gamma=0.5)
    assert found.terms["step"].value == pytest.approx([0.25, 0.0, 0.0, -0.25])
    assert found.terms["episode"].value == pytest.approx([0.5, 0.5, -0.5, -0.5])
