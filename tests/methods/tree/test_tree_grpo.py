"""Tree-GRPO by hand, and as twice GRPO in one tree."""

from __future__ import annotations

import math

from crediting import advantage, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import PLANS


def test_tree_grpo_adds_the_comparison_inside_the_tree():
    # Group: 1, 0, 0: mean 1/3, deviation sqrt(1/3). Tree of a and b: mean 1/2, deviation sqrt(1/2).
    # c is alone in its tree.
    frame = log(PLANS, tree_id=["1"] * 4 + ["2"] * 2)
    inter, inner = 1 / math.sqrt(1 / 3), 0.5 / math.sqrt(0.5)
    found = advantage(frame, "tree-grpo", eps=0.0)
    assert found[::2] == near(2 / 3 * inter + inner, -inter / 3 - inner, -inter / 3)
    raw = advantage(frame, "tree-grpo:reference", eps=0.0)
    assert raw == near(*found)  # c's raw reward is 0


def test_tree_grpo_nested_standardises_again():
    # z is affine, so the nested one is z inside the tree: ±0.5 / sqrt(0.5).
    frame = log(PLANS, tree_id=["1"] * 4 + ["2"] * 2)
    found = advantage(frame, "tree-grpo", eps=0.0, combine="nested")
    assert found[::2] == near(math.sqrt(0.5), -math.sqrt(0.5), 0.0)
    # The only rollout of a tree passes what the group gave it: (0 - 1/3) / sqrt(1/3).
    raw = advantage(frame, "tree-grpo:reference", eps=0.0, combine="nested")
    assert raw[::2] == near(math.sqrt(0.5), -math.sqrt(0.5), -1 / 3 / math.sqrt(1 / 3))


@given(described_logs())
def test_tree_grpo_with_one_tree_is_twice_grpo(described: Described):
    frame = log(described, tree_id="one")
    assert advantage(frame, "tree-grpo") == near(*(2 * advantage(frame, "grpo")))
