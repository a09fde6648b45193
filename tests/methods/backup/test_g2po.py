"""G2PO by hand."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import credit
from logs import steps
from worked_logs import HALL


def test_g2po_compares_the_next_value_in_the_state_and_its_gain_in_the_group():
    # γ ½, exponent = steps left: V(hall) = (¼ + 0 + 0)/3 = 1/12, V(door) = ½; ends 1 and 0.
    # next: ½, 1, 1/12, 0. Hall: mean 7/36. gain: 5/12, ½, 0, −1/12; mean 5/24.
    found = credit(steps(HALL), "g2po", gamma=0.5, norm="mean")
    assert found.terms["next"].value == pytest.approx([0.5 - 7 / 36, 0, 1 / 12 - 7 / 36, -7 / 36])
    gain = np.array([5 / 12, 1 / 2, 0.0, -1 / 12])
    assert found.terms["gain"].value == pytest.approx(gain - 5 / 24)
