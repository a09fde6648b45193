"""Shares of a step and of its rollout in its baseline."""

from __future__ import annotations

import numpy as np
from logs import steps

from workbench.analysis.shares import SAMPLE, shares
from workbench.methods import create
from workbench.states.space import Space


def test_shares_by_hand():
    # State p: t0 twice and t1 once, so 1/3 is the step and 2/3 its rollout; q: the step alone.
    found = steps(
        {"g": {"t0": [("p", "x", 0.0), ("p", "x", 1.0)], "t1": [("p", "x", 0.0), ("q", "x", 0.0)]}}
    )
    credit = create("gigpo")(found, Space(found))
    seen = shares(found, credit.terms["step"], np.random.default_rng(0))
    assert seen is not None
    assert seen.own_step.tolist() == [1 / 3, 1 / 3, 1 / 3, 1.0]
    assert seen.own_trajectory.tolist() == [2 / 3, 2 / 3, 1 / 3, 1.0]
    assert np.allclose(seen.effective, [3, 3, 3, 1])
    assert not seen.by_similarity
    assert len(seen.chosen) <= SAMPLE


def test_a_baseline_of_whole_trajectories_has_no_shares():
    found = steps({"g": {"t0": [("p", "x", 1.0)], "t1": [("p", "x", 0.0)]}})
    credit = create("grpo")(found, Space(found))
    assert shares(found, credit.terms["episode"], np.random.default_rng(0)) is None
