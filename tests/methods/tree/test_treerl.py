"""TreeRL by hand, and as RLOO twice."""

from __future__ import annotations

import polars as pl
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import plans


def test_treerl_adds_a_global_and_a_local_term():
    # n = 3: V'(v) - V'(root) = 3/2 (V(v) - 1/3). Plan 1: 1/4 twice; right: 1 and 3/2 · 1/2.
    found = credit(plans(), "treerl")
    assert found.terms["global"].value.tolist() == near(0.25, 1.0, 0.25, -0.5, -0.5, -0.5)
    assert found.terms["local"].value.tolist() == near(0.25, 0.75, 0.25, -0.75, -0.5, 0.0)


@given(described_logs(max_length=1, texts="a"))
def test_treerl_on_rollouts_of_one_step_is_rloo_twice(described: Described):
    frame = log(described).with_columns(node_id=pl.col("trajectory_id"))
    assert advantage(frame, "treerl") == near(*(2 * advantage(frame, "rloo")))
