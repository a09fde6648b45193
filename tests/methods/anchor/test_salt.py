"""SALT by hand, and what it leaves of the credit that it takes."""

from __future__ import annotations

import pytest
from crediting import advantage, credit
from hypothesis import given, settings
from logs import Described, described_logs, steps
from worked_logs import seen

SHARED: Described = {
    "g": {
        "t0": [("x", "go", 0.0), ("y", "up", 1.0)],
        "t1": [("x", "go", 0.0), ("y", "down", 0.0)],
        "t2": [("x", "stay", 0.0)],
    }
}


def test_salt_by_hand():
    # RLOO: 1, -1/2, -1/2. Going from x to y is shared by t0 and t1: 1/4 each.
    found = credit(steps(SHARED), "salt", of="rloo", history=1)
    assert found.advantage == pytest.approx([0.25, 1.0, 0.25, -0.5, -0.5])
    assert found.outputs["edge_size"].tolist() == [2.0, 1.0, 2.0, 1.0, 1.0]
    # What the other credit says of itself stays in the table.
    assert "step_score" in credit(steps(SHARED), "salt", of="gigpo").table().columns
    # The pasts are cut off alike at the start.
    assert advantage(steps(SHARED), "salt", of="rloo") == pytest.approx(found.advantage)


def test_salt_tells_edges_apart_by_what_came_before_and_comes_next():
    described: Described = {
        "g": {
            "t0": [("a", "go", 0.0), ("y", "up", 0.0), ("z", "stop", 1.0)],
            "t1": [("b", "go", 0.0), ("y", "up", 0.0), ("z", "stop", 0.0)],
            "t2": [("a", "go", 0.0), ("y", "up", 0.0), ("w", "stop", 0.0)],
        }
    }
    # One pair: t0 and t1 share y to z and the stop at z; t0 and t2 share a to y.
    found = credit(steps(described), "salt", of="rloo", history=1)
    assert found.outputs["edge_size"].tolist() == [2, 2, 2, 1, 2, 2, 2, 1, 1]
    # Two: only the steps that nothing came before.
    found = credit(steps(described), "salt", of="rloo", history=2)
    assert found.outputs["edge_size"].tolist() == [2, 1, 2, 1, 1, 2, 2, 1, 1]


def test_salt_where_nothing_is_shared_is_the_credit_it_takes():
    of = seen(("abc", 1.0), ("def", 0.0), ("ghi", 0.0))
    for name in ("grpo", "rloo"):
        assert advantage(of, "salt", of=name).tolist() == advantage(of, name).tolist()


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="ab"))
def test_salt_moves_credit_and_makes_none(described: Described):
    of = steps(described)
    totals = [advantage(of, name).sum() for name in ("salt", "grpo")]
    assert totals[0] == pytest.approx(totals[1], abs=1e-9)
