"""GRAFT: temporal differences on the graph of a group."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import credit
from logs import rows

GROUP = {
    "g": {
        "a": [("s", "x", 0.0), ("m", "x", 1.0)],
        "b": [("s", "y", 0.0), ("n", "x", 0.0), ("m", "y", 0.0)],
        "c": [("s", "z", 1.0)],
    }
}


def test_a_case_worked_by_hand():
    # γ = 1/2: V(m) = ½ · (1 + 0)/2 = 1/4, V(n) = 1/8, V(s) = (1/8 + 1/16 + 1/2)/3 = 11/48.
    found = credit(rows(GROUP), "graft", gamma=0.5)
    values = found.outputs["state_value"].tolist()
    assert values == pytest.approx([11 / 48, 1 / 4, 11 / 48, 1 / 8, 1 / 4, 11 / 48])
    # In s: δ = 6/48 − 11/48, 3/48 − 11/48, 24/48 − 11/48; they sum to 0.
    deltas = np.array([-5.0, -8.0, 13.0]) / 48
    expected = deltas / (deltas.std(ddof=1) + 1e-6)
    assert found.advantage[[0, 2, 5]].tolist() == pytest.approx(expected.tolist())
    # In m: 1/2 − 1/4 and 0 − 1/4.
    assert found.advantage[[1, 4]].tolist() == pytest.approx([1 / 2**0.5, -1 / 2**0.5], abs=1e-5)


def test_a_step_alone_in_its_state_gains_nothing():
    # Nobody else is in n: δ = ½ · 1/4 − 1/8 = 0 there. Where V is what follows, δ is 0.
    assert credit(rows(GROUP), "graft", gamma=0.5).advantage[3] == 0.0
    # With a reward on the way nothing changes, since the end has the whole of it.
    fork = {"g": {"a": [("s", "x", 0.5), ("m", "x", 0.5)], "b": [("s", "y", 0.0)]}}
    found = credit(rows(fork), "graft", gamma=0.5)
    # V(m) = 1/2; V(s) = (1/4 + 0)/2 = 1/8; δ in s ±1/8, in m ½ · 1 − 1/2 = 0.
    assert found.advantage.tolist() == pytest.approx([1 / 2**0.5, 0.0, -1 / 2**0.5], abs=1e-5)


def test_residuals_of_a_state_sum_to_nothing_so_that_those_hops_away_do():
    found = credit(rows(GROUP), "graft", gamma=0.9)
    score = found.terms["step"].score
    state = np.array([0, 1, 0, 2, 1, 0])
    assert np.bincount(state, weights=score).tolist() == pytest.approx([0.0, 0.0, 0.0])
