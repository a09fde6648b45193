"""Weight of a success or a failure by its rarity."""

from __future__ import annotations

import numpy as np
import pytest
from logs import steps
from worked_logs import group

from workbench.methods.parts.success import success_weight, worth_of_success


def test_success_weight_at_the_ends_and_in_the_middle():
    # σ(1) − ½ = .2311: hard success 1 + .1·.2311, easy failure 1 − .1·.2311; σ(2⁻⁴) − ½ = .0156.
    rate, success = np.array([0.0, 1.0, 0.5, 1.0, 0.0]), np.array([True, False, True, True, False])
    found = success_weight(rate, success, alpha=4.0, beta=0.1)
    assert found == pytest.approx([1.02311, 0.97689, 1.00156, 1.0, 1.0], abs=1e-5)


@pytest.mark.parametrize(
    ("rewards", "success", "worth"),
    [
        ((10.0, 0.0, 10.0), (True, False, True), 10.0),
        ((10.0, 0.0, 9.0), (True, False, True), None),  # successes are paid differently
        ((10.0, 0.0, 1.0), (True, False, False), None),  # a failure is paid
        ((0.0, 0.0, 0.0), (True, False, False), None),  # no success is paid
        ((0.0, 0.0, 0.0), (False, False, False), None),  # there is none
    ],
)
def test_the_worth_of_a_success_is_what_each_is_paid(
    rewards: tuple[float, ...], success: tuple[bool, ...], worth: float | None
):
    assert worth_of_success(steps(group("g", *rewards), success=list(success))) == worth
