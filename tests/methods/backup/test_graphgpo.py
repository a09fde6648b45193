"""GraphGPO by hand."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import credit, term
from logs import Described, steps
from worked_logs import HALL

from workbench.methods import create


def test_graphgpo_counts_hops_to_a_success():
    # door is 1 hop away, hall 2; b's end is out of reach: 3. Progress γ ½: a: ½^(1−2+1) = 1;
    # b: ½^(2−2+1) = ½, then ½^(3−2+1) = ¼. Mean 7/12, deviation sqrt(Σ(x − 7/12)²/2).
    found = credit(steps(HALL), "graphgpo", gamma=0.5, eps=0.0).terms["step"]
    paths = np.array([1.0, 0.5, 0.25])
    z = (paths - paths.mean()) / paths.std(ddof=1)
    assert found.value == pytest.approx([z[0], 0.0, z[1], z[2]])
    assert found.facts(0)["hops_before"] == 2.0
    assert found.facts(3)["hops_after"] == 3.0


@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_graphgpo_gains_one_hop_at_most_outside_the_statistics_too(gamma: float):
    # b counts nowhere, so x is three hops away by a's way; b's leap gains a hop, x = γ^0, not γ^-2.
    way = [("x", "go", 0.0), ("y", "go", 0.0), ("z", "go", 1.0)]
    rollouts: Described = {"g": {"a": way, "b": [("x", "leap", 1.0)], "c": [("x", "stay", 0.0)]}}
    found = credit(
        steps(rollouts, in_group_statistics=[True, True, True, False, True]),
        "graphgpo",
        gamma=gamma,
    )
    assert found.outputs["path_reward"] == pytest.approx([1.0, 1.0, 1.0, 1.0, gamma**2])


def test_graphgpo_without_a_success_has_no_step_term():
    lost = steps(HALL, reward=0.0)
    assert (term(lost, "graphgpo", "step") == 0.0).all()


def test_graphgpo_asks_for_the_next_observation_where_that_names_the_ends():
    for ends, asked in (("outcome", False), ("next_observation", True)):
        assert ("next_observation" in create("graphgpo", {"ends": ends}).needs()) is asked
