"""Values of a tree's nodes."""

from __future__ import annotations

import pytest
from logs import Described, log
from worked_logs import FORKED

from workbench.log.nodes import with_prefix_nodes
from workbench.log.steps import Steps
from workbench.states.tree import Over, Tree


def test_the_value_of_a_node_is_the_mean_of_the_rollouts_below_it():
    tree = Tree.of(Steps.from_log(with_prefix_nodes(log(FORKED))))
    # a:0 has a and b below it: (1 + 0) / 2; the root all three: 1/3.
    assert tree.value()[tree.node].tolist() == [0.5, 1.0, 0.5, 0.0, 0.0, 0.0]
    assert tree.value()[tree.root[tree.node[0]]] == pytest.approx(1 / 3)
    # Over children the root is the mean of 1/2 and 0.
    assert tree.value("children")[tree.root[tree.node[0]]] == 0.25


def test_a_branch_inherits_what_was_paid_before_it():
    # b is forked off behind a's first step, which paid 2: its outcome is 2 + 3.
    described: Described = {"g": {"a": [("x", "p", 2.0), ("y", "q", 1.0)], "b": [("z", "r", 3.0)]}}
    frame = log(described, node_id=["1", "2", "3"], parent_id=[None, "1", "1"])
    tree = Tree.of(Steps.from_log(frame))
    assert tree.outcome.tolist() == [3.0, 5.0]
    assert tree.value()[tree.node].tolist() == [4.0, 3.0, 5.0]


def test_a_rollout_outside_the_statistics_is_in_no_value_but_its_own():
    tree = Tree.of(
        Steps.from_log(
            with_prefix_nodes(
                log(FORKED, in_group_statistics=[True, True, False, False, True, True])
            )
        )
    )
    assert tree.value()[tree.node].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_trees_of_one_group_have_roots_of_their_own():
    frame = log(FORKED, tree_id=["1", "1", "1", "1", "2", "2"])
    tree = Tree.of(Steps.from_log(with_prefix_nodes(frame)))
    roots = tree.value()[tree.root[tree.node]]
    assert roots.tolist() == [0.5, 0.5, 0.5, 0.5, 0.0, 0.0]


def test_rollouts_below_a_node_have_the_weights_of_its_mean():
    tree = Tree.of(Steps.from_log(with_prefix_nodes(log(FORKED))))
    root = int(tree.root[tree.node[0]])
    # a and b share a child of the root, c has the other.
    expected: dict[Over, list[float]] = {
        "rollouts": [1 / 3, 1 / 3, 1 / 3],
        "children": [1 / 4, 1 / 4, 1 / 2],
    }
    for over, weights in expected.items():
        members, share = tree.below(root, over)
        assert members.tolist() == [0, 1, 2]
        assert share.tolist() == pytest.approx(weights)
        assert (share * tree.outcome).sum() == pytest.approx(tree.value(over)[root])
