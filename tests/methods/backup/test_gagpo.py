"""GAGPO by hand, and as GiGPO with a full trace."""

from __future__ import annotations

import pytest
from crediting import advantage, credit
from hypothesis import given, settings
from logs import described_logs, steps
from worked_logs import HALL


def test_gagpo_adds_up_differences():
    # γ ½: V(hall) = (½ + 0 + 0)/3 = 1/6, V(door) = 1.
    # a: δ = ½·1 − 1/6 = 1/3, then 1 − 1 = 0.   b: δ = ½/6 − 1/6 = −1/12, then −1/6.
    # λ ½, γλ ¼: A = 1/3, 0, −1/12 − 1/24 = −1/8, −1/6.
    found = advantage(steps(HALL), "gagpo", gamma=0.5, trace=0.5, norm="none")
    assert found == pytest.approx([1 / 3, 0.0, -1 / 8, -1 / 6])


def test_gagpo_standardises_over_the_steps_of_the_group():
    raw = advantage(steps(HALL), "gagpo", norm="none")
    found = advantage(steps(HALL), "gagpo", eps=0.0)
    assert found == pytest.approx((raw - raw.mean()) / raw.std(ddof=1))


@given(described_logs(max_length=5))
@settings(max_examples=60)
def test_gagpo_with_a_full_trace_is_the_return_against_its_state(described):
    # Σ γ^k δ telescopes to G − V̂(s).
    of = steps(described)
    found = credit(of, "gagpo", trace=1.0, norm="none").terms["step"]
    step = credit(of, "gigpo", norm="mean").terms["step"]
    assert found.value == pytest.approx(step.value, abs=1e-9)


def test_gagpo_values_a_state_that_no_counted_rollout_met_by_its_own_return():
    # c is outside the statistics and alone in the attic, so V̂(attic) = G = ½·1. V̂(door) = 1 by a
    # alone. γ ½: δ = ½·1 − ½ = 0, then 1 − 1 = 0.
    described = {"g": {**HALL["g"], "c": [("attic", "jump", 0.0), ("door", "go", 1.0)]}}
    of = steps(described, in_group_statistics=[True] * 4 + [False] * 2)
    found = advantage(of, "gagpo", gamma=0.5, trace=0.5, norm="none")
    assert found == pytest.approx([1 / 3, 0.0, -1 / 8, -1 / 6, 0.0, 0.0])
