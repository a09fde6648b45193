"""GraphHCA: gains of the log-likelihood of a success."""

from __future__ import annotations

from math import log

import polars as pl
import pytest
from crediting import credit
from logs import rows

# a wins by s → m → end, b goes s → n → m and fails, c wins at once.
GROUP = {
    "g": {
        "a": [("s", "x", 0.0), ("m", "x", 1.0)],
        "b": [("s", "y", 0.0), ("n", "x", 0.0), ("m", "y", 0.0)],
        "c": [("s", "z", 1.0)],
    }
}


def test_a_case_worked_by_hand():
    # γ̄ = 1/2: Φ(m) = ½ · (1 + 0)/2 = 1/4, Φ(n) = ½ · 1/4 = 1/8,
    # Φ(s) = ½ · (Φ(m) + Φ(n) + 1)/3 = 11/48.
    found = credit(rows(GROUP), "graphhca", gamma=0.5, step_weight=2.0)
    chance = found.outputs["success_chance"].tolist()
    assert chance == pytest.approx([11 / 48, 1 / 4, 11 / 48, 1 / 8, 1 / 4, 11 / 48])
    step = found.terms["step"].value
    # In s the gains are the logs of 12/11, 6/11 and 48/11, their mean without the common 1/11.
    gains = [log(12), log(6), log(48)]
    mean = sum(gains) / 3
    std = (sum((gain - mean) ** 2 for gain in gains) / 2) ** 0.5
    expected = [2.0 * (gain - mean) / (std + 1e-6) for gain in gains]
    assert [step[0], step[2], step[5]] == pytest.approx(expected)
    assert step[3] == 0.0  # alone in n
    # In m one ends in a success and one in a failure, whose chance is the floor: ±1/√2.
    assert [step[1], step[4]] == pytest.approx([2 / 2**0.5, -2 / 2**0.5], abs=1e-5)


def test_a_group_without_a_success_has_no_step_term():
    log_of_failures = rows(GROUP).with_columns(reward=pl.lit(0.0))
    assert (credit(log_of_failures, "graphhca").advantage == 0.0).all()


def test_without_a_step_term_it_is_grpo():
    found = credit(rows(GROUP), "graphhca", step_weight=0.0).advantage
    assert found.tolist() == credit(rows(GROUP), "grpo").advantage.tolist()
