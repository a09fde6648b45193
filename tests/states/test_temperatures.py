"""Temperatures to choose from."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.states.temperatures import STOPS, octaves, temperature_stops


def test_stops_are_eighths_of_an_octave_and_short():
    assert tuple(sorted(STOPS)) == STOPS
    assert 0.1 in STOPS
    assert 0.01 < STOPS[0] < 0.011
    assert 9.0 < STOPS[-1] < 10.0
    ratio = np.diff(np.log2(STOPS))
    assert ratio == pytest.approx(1 / 8, abs=1e-3)
    # Whole octaves are exact, so ten chains of squares make the grid; an address has six digits.
    assert [len(chain) for chain in octaves(STOPS)] == [len(STOPS) // 8] * 8
    assert all(float(f"{stop:.6g}") == stop for stop in STOPS)
    assert temperature_stops(0.05, 0.05) == (0.05,)
