from __future__ import annotations

import polars as pl

from workbench.log.facts import GROUP_KINDS
from workbench.plots import log as plots


def test_every_kind_of_group_has_a_label():
    assert list(plots.KIND_LABELS) == list(GROUP_KINDS)


def test_lengths_are_stacked_and_an_outcome_that_no_trajectory_has_is_left_out():
    histogram = pl.DataFrame(
        {
            "shortest": [1, 3],
            "longest": [2, 4],
            "succeeded": [2, 0],
            "failed": [1, 5],
            "unknown": [0, 0],
        }
    )
    figure = plots.lengths(histogram)
    assert [trace.name for trace in figure.data] == ["Succeeded", "Failed"]
    assert figure.layout.barmode == "stack"
    assert list(figure.data[0].x) == [1.5, 3.5]
    assert list(figure.data[1].y) == [1, 5]
    assert list(figure.data[0].customdata) == ["1 to 2", "3 to 4"]
    # Told apart without colour: one of them is hatched.
    assert [trace.marker.pattern.shape for trace in figure.data] == ["", "/"]


def test_a_bin_of_one_step_is_named_by_it():
    one = {"shortest": [7], "longest": [7], "succeeded": [0], "failed": [0], "unknown": [2]}
    trace = plots.lengths(pl.DataFrame(one)).data[0]
    assert trace.name == "Not known or not scored"
    assert list(trace.customdata) == ["7"]


def test_recurrence_is_in_per_cent():
    bar = plots.recurrence({"0": 0.25, "20+": 1.0}).data[0]
    assert list(bar.x) == ["0", "20+"]
    assert list(bar.y) == [25.0, 100.0]
    assert list(bar.text) == ["25 %", "100 %"]


def test_rollouts():
    bar = plots.rollouts({4: 2, 8: 1}).data[0]
    assert list(bar.x) == [4, 8]
    assert list(bar.y) == [2, 1]


def test_few_counts_have_whole_ticks():
    assert plots.rollouts({1: 2}).layout.yaxis.dtick == 1
    assert plots.rollouts({1: 200}).layout.yaxis.dtick is None


def test_no_figure_sets_a_background_or_a_font_colour():
    figure = plots.recurrence({"0": 0.5})
    assert figure.layout.paper_bgcolor is None
    assert figure.layout.plot_bgcolor is None
    assert figure.layout.font.color is None
