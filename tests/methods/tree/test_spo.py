"""SPO by hand, and as the outcome less the mean."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import PLANS, plans

from workbench.errors import MissingInputError, ParameterError
from workbench.log.nodes import with_prefix_nodes
from workbench.methods import create
from workbench.states.space import Space


def test_spo_is_the_value_gained_along_an_edge():
    # The root is worth 1/3, plan 1 one half, plan 2 nothing.
    found = advantage(plans(), "spo")
    assert found == near(1 / 2 - 1 / 3, 1 / 2, 1 / 2 - 1 / 3, -1 / 2, -1 / 3, 0.0)


def test_spo_over_children():
    # The root is worth (1/2 + 0) / 2.
    assert advantage(plans(), "spo", over="children")[::2] == near(0.25, 0.25, -0.25)


def test_spo_over_the_siblings_deviation():
    # Plans 1/2 and 0: deviation (ddof 0) 1/4; answers 1 and 0: 1/2; plan 2's answer is alone.
    found = advantage(plans(), "spo", norm="std", eps=0.0)
    assert found == near(2 / 3, 1.0, 2 / 3, -1.0, -4 / 3, 0.0)


def test_a_sibling_of_rollouts_that_do_not_count_is_in_no_deviation():
    # c, which alone follows plan 2, does not count: plan 1 is alone and has nothing to divide by.
    frame = plans(in_group_statistics=[True] * 4 + [False] * 2)
    found = advantage(frame, "spo", norm="std", eps=0.0)
    assert found[::2] == near(0.0, 0.0, 0.0)
    assert found[1:4:2] == near(1.0, -1.0)


def test_spo_with_the_best_of_two():
    # 1 - (1 - V)^2: root 1 - 4/9, plan 1 3/4, right 1.
    found = advantage(plans(), "spo", best_of=2)
    assert found[:2] == near(3 / 4 - 5 / 9, 1 / 4)


@given(described_logs())
def test_spo_along_a_rollout_sums_to_its_outcome_less_the_mean(described: Described):
    frame = with_prefix_nodes(log(described))
    found = credit(frame, "spo")
    sums = np.add.reduceat(found.advantage, found.steps.trajectory_start[:-1])
    first = found.steps.trajectory_start[:-1]
    expected = credit(frame, "grpo", norm="mean").advantage[first]
    # A rollout that is a prefix of another one ends inside the tree, below its own outcome.
    tree = Space(found.steps).tree
    leaf = ~np.isin(tree.end, tree.parent) & (np.bincount(tree.end)[tree.end] == 1)
    np.testing.assert_allclose(sums[leaf], expected[leaf], atol=1e-9)


def test_tree_methods_on_a_flat_log_say_which_command_makes_nodes():
    with pytest.raises(MissingInputError, match=r"spo needs `node_id`.*workbench import.*--tree"):
        advantage(log(PLANS), "spo")


def test_the_best_of_no_try_is_refused():
    with pytest.raises(ParameterError, match="best_of must be in"):
        create("spo", {"best_of": 0})
