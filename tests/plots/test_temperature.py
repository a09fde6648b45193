"""Figures of the page Tune."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analysis.tuning.held_out import HeldOut
from workbench.plots.scale import ABOVE, BELOW
from workbench.plots.temperature import held_out_error, spread, success_weights

EDGES = np.linspace(-3.0, 3.0, 4)
HELD = HeldOut(
    field="temperature",
    symbol="τ",
    values=(0.1, 0.2, 0.4),
    settings=(0.1, 0.2, 0.4),
    error=np.array([3.0, 1.0, 2.0]),
    plain=2.5,
    steps=12,
    groups=2,
    few=0,
    equal=0,
    as_good=np.array([True, True, False]),
    finest=None,
)


def test_bars_say_their_sign_by_place_and_colour():
    figure = spread(EDGES, np.array([5, 2, 7]), None, "")
    (bars,) = figure.data
    assert bars.y.tolist() == [5, 2, 7]
    assert bars.x.tolist() == [-2.0, 0.0, 2.0]
    assert bars.x.dtype == np.float32
    assert bars.marker.color[0] == BELOW
    assert bars.marker.color[2] == ABOVE
    assert bars.marker.color[1] not in {BELOW, ABOVE}
    title = figure.layout.xaxis.title.text
    assert "▼" in title
    assert "▲" in title
    assert tuple(figure.layout.xaxis.range) == (-3.0, 3.0)


def test_a_pinned_temperature_is_an_outline():
    figure = spread(EDGES, np.array([5, 2, 7]), np.array([6, 2, 6]), "pinned τ 0.1")
    outline = figure.data[1]
    assert outline.y.tolist() == [6, 2, 6]
    assert outline.name == "pinned τ 0.1"
    assert figure.layout.showlegend


def test_the_error_curve_marks_its_minimum_the_slider_and_the_plain_mean():
    figure = held_out_error(HELD, 0.4)
    curve, least, now = figure.data
    assert figure.layout.xaxis.type == "log"
    assert curve.y.tolist() == [3.0, 1.0, 2.0]
    assert (least.x[0], least.y[0], least.marker.symbol) == (0.2, 1.0, "diamond")
    assert (now.x[0], now.y[0]) == (0.4, 2.0)
    heights = {shape.y0 for shape in figure.layout.shapes if shape.y0 == shape.y1}
    assert heights == {2.5}
    assert any((shape.x0, shape.x1) == (0.1, 0.2) for shape in figure.layout.shapes)
    assert figure.layout.annotations[0].text == "plain mean of the other rollouts"
    # Both the curve and the plain mean are inside the limits.
    low, high = figure.layout.yaxis.range
    assert low < 1.0
    assert high > 3.0


def test_a_temperature_between_the_stops_stands_on_the_curve():
    now = held_out_error(HELD, float(np.sqrt(0.2 * 0.4))).data[-1]
    assert now.y[0] == pytest.approx(1.5)


def test_an_error_without_a_minimum_has_no_mark():
    flat = HeldOut(**{**vars(HELD), "error": np.full(3, 2.0), "plain": 2.0})
    assert flat.best is None
    assert [trace.name for trace in held_out_error(flat, 0.2).data[1:]] == ["slider at τ 0.2"]


def test_groups_stand_on_the_curves_at_their_success_rates():
    rate, groups = np.array([0.0, 0.5, 1.0]), np.array([4, 1, 2])
    success, succeeded, failure, failed = success_weights(rate, groups, 4.0, 0.1).data
    # Nobody succeeded at p 0, and nobody failed at p 1.
    assert succeeded.x.tolist() == [0.5, 1.0]
    assert failed.x.tolist() == [0.0, 0.5]
    assert succeeded.customdata.tolist() == [1, 2]
    assert failed.marker.size[0] > failed.marker.size[1]
    # σ(1) = .7311: w = 1 + .1 · (.7311 − .5) for a success where nobody else has one.
    assert success.y[0] == pytest.approx(1.0231, abs=1e-4)
    assert failure.y[-1] == pytest.approx(0.9769, abs=1e-4)
    assert succeeded.marker.symbol != failed.marker.symbol


def test_figures_leave_backgrounds_and_fonts_to_the_theme():
    for figure in (
        spread(EDGES, np.array([1, 1, 1]), None, ""),
        held_out_error(HELD, 0.2),
        success_weights(np.array([0.5]), np.array([1]), 4.0, 0.1),
    ):
        assert figure.layout.paper_bgcolor is None
        assert figure.layout.plot_bgcolor is None
        assert figure.layout.font.color is None
