"""Weight of a success or a failure by its rarity."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.methods.parts.success import success_weight


def test_success_weight_at_the_ends_and_in_the_middle():
    # σ(1) − ½ = .2311: hard success 1 + .1·.2311, easy failure 1 − .1·.2311; σ(2⁻⁴) − ½ = .0156.
    rate, success = np.array([0.0, 1.0, 0.5, 1.0, 0.0]), np.array([True, False, True, True, False])
    found = success_weight(rate, success, alpha=4.0, beta=0.1)
    assert found == pytest.approx([1.02311, 0.97689, 1.00156, 1.0, 1.0], abs=1e-5)
