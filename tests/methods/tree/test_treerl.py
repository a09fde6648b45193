"""TreeRL by hand, and as RLOO twice."""

from __future__ import annotations

import math

import polars as pl
import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import plans

from workbench.log.nodes import with_prefix_nodes


def test_treerl_adds_a_global_and_a_local_term():
    # n = 3: V'(v) - V'(root) = 3/2 (V(v) - 1/3). Plan 1: 1/4 twice; right: 1 and 3/2 · 1/2.
    found = credit(plans(), "treerl")
    assert found.terms["global"].value.tolist() == near(0.25, 1.0, 0.25, -0.5, -0.5, -0.5)
    assert found.terms["local"].value.tolist() == near(0.25, 0.75, 0.25, -0.75, -0.5, 0.0)


# In the order of the rollouts: a forks into two that both win, b loses after two steps.
WON_TWICE: Described = {
    "g": {
        "a1": [("q", "a", 0.0), ("a", "one", 1.0)],
        "a2": [("q", "a", 0.0), ("a", "two", 1.0)],
        "b": [("q", "b", 0.0), ("b", "end", 0.0)],
    }
}


def test_treerl_as_shipped_takes_zeros_from_the_node_before():
    # n = 3: R' = 1/2, 1/2, -1, so V(a) = V(a1) = 1/2, V(b) = V(its end) = -1. The plain sum is 1
    # at a, 1/2 at a1, where the local part is 0; as shipped it is that of a, 1/2, and the sum 1.
    tree = with_prefix_nodes(log(WON_TWICE))
    assert advantage(tree, "treerl") == near(1.0, 0.5, 1.0, 0.5, -2.0, -1.0)
    found = credit(tree, "treerl:reference", node_weight="none")
    assert found.advantage == near(1.0, 1.0, 1.0, 1.0, -2.0, -2.0)
    assert [found.explain(step).facts["local"]["nodes_back"] for step in range(2)] == [0.0, 1.0]


def test_treerl_as_shipped_weighs_nodes_by_the_root_of_their_rollouts():
    # V(a) = 1/2 / sqrt(2), V(a1) = 1/2: twice V(a) at a, then 1/2 + 1/2 - V(a). Below b there is
    # one rollout at both nodes, so its end has a local part of 0 and takes that of b.
    found = credit(with_prefix_nodes(log(WON_TWICE)), "treerl:reference")
    first, second = 1 / math.sqrt(2), 1 - 1 / math.sqrt(8)
    assert found.advantage == near(first, second, first, second, -2.0, -2.0)
    facts = found.explain(0).facts["global"]
    assert facts["node_weight"] == pytest.approx(1 / math.sqrt(2))
    uniform = advantage(
        with_prefix_nodes(log(WON_TWICE)), "treerl:reference", node_weight="uniform"
    )
    # V(a) = 1/4: 1/2 at a, 1/2 + 1/4 at a1.
    assert uniform == near(0.5, 0.75, 0.5, 0.75, -2.0, -2.0)


def test_treerl_keeps_a_zero_at_the_first_decision_of_a_tree():
    # Both first decisions have one win and one loss below them: V = 0 and local 0, which the
    # prompt has none to give for. n/(n - 1) = 4/3 on 1/2 each.
    described = {
        "g": {
            f"{plan}{number}": [("q", plan, 0.0), (plan, str(number), float(number))]
            for plan in "ab"
            for number in (0, 1)
        }
    }
    tree = with_prefix_nodes(log(described))
    found = advantage(tree, "treerl:reference", node_weight="none")
    assert found == near(*[0.0, -4 / 3, 0.0, 4 / 3] * 2)


@given(described_logs(max_length=1, texts="a"))
def test_treerl_on_rollouts_of_one_step_is_rloo_twice(described: Described):
    frame = log(described).with_columns(node_id=pl.col("trajectory_id"))
    assert advantage(frame, "treerl") == near(*(2 * advantage(frame, "rloo")))
