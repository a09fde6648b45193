from __future__ import annotations

import polars as pl
import pytest
from logs import Described, log

from workbench.log.remarks import moments, of_credit, of_log, of_outcomes, unscaled


def table(frame: pl.DataFrame, advantage: list[float], **terms: list[float]) -> pl.DataFrame:
    return frame.select("group_id", "trajectory_id", "step_index").with_columns(
        advantage=pl.Series(advantage, dtype=pl.Float64),
        **{name: pl.Series(values, dtype=pl.Float64) for name, values in terms.items()},
    )


def two_groups(win: float) -> Described:
    """A live group of one step each, and one whose rollouts both win, one of them a step later."""
    return {
        "live": {"a": [("x", "go", win)], "b": [("x", "go", 0.0)]},
        "equal": {"c": [("x", "go", win)], "d": [("x", "go", 0.0), ("y", "go", win)]},
    }


def test_moments_have_the_share_of_zeros():
    # Mean of 0, 0, 3 is 1, its std √((1 + 1 + 4) / 2) = √3.
    found = pl.DataFrame({"a": [0.0, 0.0, 3.0]}).select(moments(pl.col("a"))).row(0, named=True)
    assert found == {
        "mean": 1.0,
        "std": pytest.approx(3**0.5),
        "minimum": 0.0,
        "maximum": 3.0,
        "zero_share": pytest.approx(2 / 3),
    }


def test_a_single_advantage_has_no_deviation():
    assert pl.DataFrame({"a": [1.0]}).select(moments(pl.col("a")))["std"].to_list() == [None]


def test_groups_of_one_are_counted():
    alone = log({"g": {"a": [("x", "go", 1.0)]}, "h": {"b": [("x", "go", 0.0)]}})
    (every,) = of_log(alone)
    assert "Every group has a single scored rollout (2 groups)" in str(every)
    assert "sample at least two rollouts of each task" in every.action
    mixed = log({"g": {"z": [("x", "go", 1.0)]}} | {"live": two_groups(1.0)["live"]})
    (some,) = of_log(mixed)
    assert "1 of 2 groups has a single scored rollout" in some.text


def test_a_log_without_a_live_group_is_said():
    (found,) = of_log(log({"g": {k: [("x", "go", 0.0)] for k in "ab"}}))
    assert "No group is live (1 all fail)" in found.text
    assert not list(of_log(log(two_groups(1.0))))


def test_a_credit_of_zeros_is_said():
    frame = log(two_groups(1.0))
    (found,) = of_credit(frame, table(frame, [0.0] * 5), {})
    assert "Every advantage is 0" in found.text


def test_a_credit_that_rewards_speed_in_a_group_of_equal_outcome_is_said():
    # Rows in order: equal c0, d0, d1, live a0, b0. In "equal" the credit differs by 1/4.
    frame = log(two_groups(1.0))
    credit = table(frame, [0.25, 0.0, 0.25, 1.0, -1.0])
    (found,) = of_credit(frame, credit, {"gamma": 0.95, "step_weight": 1.0})
    assert "In 1 of 1 group with one outcome alone" in found.text
    assert "±0.25" in found.text
    assert "-p gamma=1 or -p step_weight=0 gives 0" in found.action
    # Without a discount it is something else that tells the steps apart.
    assert not list(of_credit(frame, credit, {"gamma": 1.0}))
    # The same for all of the group is a comparison with other groups.
    same = table(frame, [0.25, 0.25, 0.25, 1.0, -1.0])
    assert not list(of_credit(frame, same, {"gamma": 0.95}))


def test_advantages_in_the_unit_of_rewards_are_said():
    frame = log(two_groups(100.0))
    found = unscaled(frame, table(frame, [0.0, 0.0, 0.0, 50.0, -50.0]), {"norm": "mean"})
    assert found is not None
    assert "Rewards span 100" in found.text
    assert "advantages reach ±50" in found.text
    assert "-p norm=std" in found.action
    assert unscaled(frame, table(frame, [0.0, 0.0, 0.0, 0.7, -0.7]), {}) is None


def test_a_step_term_that_drowns_the_outcome_is_said():
    # Deviations of ±2, 0, 0, 0 and of ±.5, 0, 0, 0 are 4 to 1, so the step term has 80 % of both.
    frame = log(two_groups(2.0))
    step, episode = [0.0, 0.0, 0.0, 2.0, -2.0], [0.0, 0.0, 0.0, 0.5, -0.5]
    credit = table(frame, [0.0, 0.0, 0.0, 2.5, -2.5], term_step=step, term_episode=episode)
    found = unscaled(frame, credit, {"reward_scale": None})
    assert found is not None
    assert found.evidence["step_share"] == pytest.approx(0.8)
    assert "-p reward_scale=2" in found.action
    assert unscaled(frame, credit, {"step_norm": "std"}) is None
    assert unscaled(log(two_groups(1.0)), credit, {}) is None


def test_groups_of_one_outcome_beside_live_ones_are_said_of_the_log():
    found = of_outcomes(log(two_groups(1.0)))
    assert found is not None
    assert "In 1 of 2 groups there is one outcome alone (1 all pass)" in found.text
    assert of_outcomes(log({"live": two_groups(1.0)["live"]})) is None
