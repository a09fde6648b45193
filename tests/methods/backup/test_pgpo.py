"""PGPO by hand."""

from __future__ import annotations

import pytest
from crediting import credit
from logs import steps
from worked_logs import HALL, one_step


def test_pgpo_adds_progress_where_the_group_fails():
    # γ 1: G = 1 1 0 0; Φ(hall) = 1/3, Φ(door) = 1. δ = 2/3, 0, 0, −1/3 (last: r − Φ).
    # Hall: mean of δ 1/9; p = ½, so β(1 − p)² = ¼. Returns: 1 − 1/3, 0 − 1/3.
    found = credit(steps(HALL), "pgpo", gamma=1.0, norm="mean")
    assert found.terms["return"].value == pytest.approx([2 / 3, 0.0, -1 / 3, -1 / 3])
    expected = [(2 / 3 - 1 / 9) / 4, 0.0, -1 / 9 / 4, (-1 / 3 - 1 / 9) / 4]
    assert found.terms["progress"].value == pytest.approx(expected)


def test_pgpo_takes_a_share_of_a_success_for_one_from_the_threshold_on():
    # 7 and 0 of 10: the one is a success from .7 on, p = ½, and none from .8 on, p = 0.
    of = one_step(("s", "u", 7.0), ("s", "v", 0.0))
    half, none = (
        credit(of, "pgpo", reward_scale=10.0, success_threshold=threshold).terms["progress"].factor
        for threshold in (0.7, 0.8)
    )
    assert half == pytest.approx(none / 4)
    assert none.any()
