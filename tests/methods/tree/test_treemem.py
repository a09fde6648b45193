"""TreeMem by hand, and as GRPO without forks."""

from __future__ import annotations

import math

import polars as pl
import pytest
from crediting import advantage, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import PLANS, plans

from workbench.errors import MissingInputError
from workbench.log.nodes import with_prefix_nodes


def test_treemem_compares_plans_with_plans_and_answers_with_answers():
    # Plans: (1 + 0)/2 and 0, mean 1/4. Answers: 1, 0, 0, mean 1/3.
    found = advantage(plans(), "treemem", norm="mean")
    assert found == near(0.25, 2 / 3, 0.25, -1 / 3, -0.25, -1 / 3)


def test_treemem_divides_by_the_deviation_over_nodes():
    # Two plans, 1/2 and 0: deviation sqrt(1/8); three rollouts do not make them three.
    found = advantage(plans(), "treemem", eps=0.0)
    assert found[0] == pytest.approx(0.25 / math.sqrt(1 / 8))


def test_treemem_among_siblings():
    # The answers to plan 1: 1 and 0, mean 1/2; the answer to plan 2 has no sibling.
    found = advantage(plans(), "treemem", norm="mean", peers="siblings")
    assert found == near(0.25, 0.5, 0.25, -0.5, -0.25, 0.0)


def test_treemem_takes_a_cost_off():
    # With half of the lengths 1, 0 and 0 off, plan 1 is worth 1/2 - 1/2: both are 0.
    frame = plans(kept=[1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    found = advantage(frame, "treemem", norm="mean", cost="kept", cost_weight=0.5)
    assert found[0] == found[4] == 0.0
    with pytest.raises(MissingInputError, match=r"'long' is not in the log.*'kept'"):
        advantage(frame, "treemem", cost="long")


@given(described_logs(max_length=1))
def test_treemem_without_forks_is_grpo(described: Described):
    frame = log(described, role="only")
    frame = frame.with_columns(node_id=pl.col("trajectory_id"))
    assert advantage(frame, "treemem") == near(*advantage(frame, "grpo"))


def test_treemem_needs_roles_only_where_it_compares_roles():
    frame = with_prefix_nodes(log(PLANS))
    with pytest.raises(MissingInputError, match="treemem needs `role`"):
        advantage(frame, "treemem")
    # Roles change with depth here.
    by_depth = advantage(frame, "treemem", peers="depth")
    assert by_depth.tolist() == advantage(plans(), "treemem").tolist()
