"""PGPO by hand."""

from __future__ import annotations

import pytest
from crediting import credit
from logs import steps
from worked_logs import HALL


def test_pgpo_adds_progress_where_the_group_fails():
    # γ 1: G = 1 1 0 0; Φ(hall) = 1/3, Φ(door) = 1. δ = 2/3, 0, 0, −1/3 (last: r − Φ).
    # Hall: mean of δ 1/9; p = ½, so β(1 − p)² = ¼. Returns: 1 − 1/3, 0 − 1/3.
    found = credit(steps(HALL), "pgpo", gamma=1.0, norm="mean")
    assert found.terms["return"].value == pytest.approx([2 / 3, 0.0, -1 / 3, -1 / 3])
    expected = [(2 / 3 - 1 / 9) / 4, 0.0, -1 / 9 / 4, (-1 / 3 - 1 / 9) / 4]
    assert found.terms["progress"].value == pytest.approx(expected)
