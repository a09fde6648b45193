"""Dr. MAS by hand, and as GRPO of one agent."""

from __future__ import annotations

import math

import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import PLANS

from workbench.errors import MissingInputError


def test_dr_mas_measures_an_agent_by_the_rollouts_that_it_acts_in():
    # The solver acts in a and b only: rewards 1, 0, mean 1/2, deviation sqrt(1/2). The planner acts
    # in all three: rewards 1, 0, 0, mean 1/3, deviation sqrt(1/3).
    agents = ["planner", "solver", "planner", "solver", "planner", "planner"]
    found = advantage(log(PLANS, agent_id=agents), "dr-mas", eps=0.0)
    planner, solver = math.sqrt(3), math.sqrt(2)
    expected = [2 / 3 * planner, 0.5 * solver, -planner / 3, -0.5 * solver]
    assert found == near(*expected, -planner / 3, -planner / 3)


def test_dr_mas_over_steps_counts_a_rollout_as_often_as_the_agent_acts():
    # The planner's rows: 1, 0, 0, 0 with mean 1/4.
    agents = ["planner", "solver", "planner", "solver", "planner", "planner"]
    found = advantage(log(PLANS, agent_id=agents), "dr-mas", population="steps", norm="mean")
    assert found == near(0.75, 0.5, -0.25, -0.5, -0.25, -0.25)


@given(described_logs())
def test_dr_mas_with_one_agent_is_grpo(described: Described):
    frame = log(described, agent_id="only")
    assert advantage(frame, "dr-mas") == near(*advantage(frame, "grpo"))


def test_solvers_of_a_tree_are_compared_with_each_other_alone():
    # Two problems in one group, each a tree: proposers over the group, solvers inside the tree.
    described: Described = {
        "g": {
            name: [("x", "p", reward)]
            for name, reward in zip("abcdef", (1.0, 0.0, 1.0, 0.0, 4.0, 4.0), strict=True)
        }
    }
    frame = log(
        described,
        agent_id=["proposer", "solver", "solver"] * 2,
        tree_id=["t", "t", "t", "u", "u", "u"],
    )
    found = advantage(frame, "dr-mas", norm="mean", within_tree="solver, judge")
    assert found.tolist() == near(0.5, -0.5, 0.5, -0.5, 0.0, 0.0)
    with pytest.raises(MissingInputError, match="dr-mas needs `tree_id`"):
        credit(frame.drop("tree_id"), "dr-mas", within_tree="solver")
