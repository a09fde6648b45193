"""Payload of a map's canvas."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from workbench.ui.viewer import plane
from workbench.ui.viewer.plane import Coloured, plane_payload

PLACES = np.array([[0, 0], [9999, 5000], [10, 20]], dtype=np.uint16)


def unpacked(text: str, dtype: str = "u1") -> list[int]:
    return np.frombuffer(base64.b64decode(text), dtype).tolist()


def credit(values: list[float]) -> Coloured:
    return Coloured(name="advantage", values=np.array(values), palette="credit")


def test_places_and_values_are_packed():
    made = plane_payload(PLACES, credit([-2.0, np.nan, 0.0]), np.array([True, False, True]))
    assert unpacked(made["x"], "<u2") == [0, 9999, 10]
    assert unpacked(made["y"], "<u2") == [0, 5000, 20]
    # The 98th percentile of 2 and 0 is 1.96: -2 is the lowest byte, 0 the middle one of 254.
    assert unpacked(made["value"]) == [0, 255, 127]
    assert made["limits"] == [-1.96, 1.96]
    assert unpacked(made["kept"]) == [0b101]
    assert (made["count"], made["left"], made["filtered"]) == (3, 2, True)


def test_another_filter_or_colour_is_another_map():
    one = plane_payload(PLACES, credit([1.0, 2.0, 3.0]), None)
    assert one["key"] == plane_payload(PLACES, credit([1.0, 2.0, 3.0]), None)["key"]
    assert one["key"] != plane_payload(PLACES, credit([1.0, 2.0, -3.0]), None)["key"]
    left = np.array([True, True, False])
    assert one["key"] != plane_payload(PLACES, credit([1.0, 2.0, 3.0]), left)["key"]


def test_a_hundred_thousand_steps_are_some_seven_hundred_kilobytes():
    rng = np.random.default_rng(0)
    many = rng.integers(0, 9999, (100_000, 2)).astype(np.uint16)
    made = plane_payload(many, credit(rng.normal(size=100_000).tolist()), None)
    # 2 + 2 + 1 bytes and a bit for each, 4/3 of that in base64.
    size = sum(len(made[name]) for name in ("x", "y", "value", "kept"))
    assert size == pytest.approx(100_000 * 5.125 * 4 / 3, rel=0.001)


def test_above_the_limit_cells_are_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plane, "MOST_POINTS", 2)
    left = np.array([True, False, True])
    made = plane_payload(PLACES, credit([1.0, 1.0, 3.0]), left)
    assert "x" not in made
    density = np.array(unpacked(made["density"])).reshape(plane.CELLS, plane.CELLS)
    # Two steps in the first cell; the third at x 399, y 200.
    assert np.argwhere(density).tolist() == [[0, 0], [200, 399]]
    assert density[0, 0] == 255
    kept = np.unpackbits(np.array(unpacked(made["kept"]), np.uint8), bitorder="little")
    assert np.flatnonzero(kept).tolist() == [0]
    # The mean of 1 and 3 between the limits ±2.92, the 98th percentile of 1, 1 and 3.
    assert unpacked(made["value"])[0] == round(254 * (2 + 2.92) / (2 * 2.92))
