"""C3 by hand, and as RLOO."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import plans

from workbench.errors import MissingInputError
from workbench.log.nodes import with_prefix_nodes


def test_c3_leaves_the_action_out_and_weights_by_returns():
    # Plan 1 has two rollouts, plan 2 one: 1/2 - 0 and 0 - 1/2; answers to plan 1: 1 - 0.
    found = advantage(plans(), "c3")
    assert found == near(0.5, 1.0, 0.5, -1.0, -0.5, 0.0)


def test_c3_takes_replays_where_they_are():
    # Plan 1 was replayed with 1, 1, 0 and plan 2 with 1: 2/3 - 1. Both rollouts of plan 1 hold its
    # replays.
    replays = [[1.0, 1.0, 0.0], [], [1.0, 1.0, 0.0], [], [1.0], []]
    frame = plans(replay_returns=pl.Series(replays, dtype=pl.List(pl.Float64)))
    found = credit(frame, "c3")
    assert found.advantage[0] == pytest.approx(2 / 3 - 1)
    assert found.explain(0).facts["step"]["returns"] == 3


def test_c3_weights_the_other_actions():
    # Three actions at one context with 2, 1, 1 rollouts worth 1/2, 1, 0; of the last one the others
    # are (2 · 1/2 + 1) / 3 by returns, (1/2 + 1) / 2 by actions.
    described: Described = {
        "g": {
            "a": [("x", "1", 1.0)],
            "b": [("x", "1", 0.0)],
            "c": [("x", "2", 1.0)],
            "d": [("x", "3", 0.0)],
        }
    }
    frame = with_prefix_nodes(log(described))
    assert advantage(frame, "c3")[3] == pytest.approx(-2 / 3)
    assert advantage(frame, "c3", weight="actions")[3] == pytest.approx(-3 / 4)


@pytest.mark.parametrize("baseline", ["others", "all"])
def test_c3_compares_an_action_outside_the_statistics_with_those_inside(baseline: str):
    # c counts nowhere: its 0 is compared with the 1 of the actions that do, equal as they are.
    described: Described = {
        "g": {"a": [("x", "1", 1.0)], "b": [("x", "2", 1.0)], "c": [("x", "3", 0.0)]}
    }
    frame = with_prefix_nodes(log(described, in_group_statistics=[True, True, False]))
    assert advantage(frame, "c3", baseline=baseline).tolist() == [0.0, 0.0, -1.0]
    assert advantage(frame, "c3", baseline=baseline, norm="std").tolist() == [0.0, 0.0, 0.0]


def test_c3_contexts_differ_where_the_observation_does():
    described: Described = {"g": {"a": [("x", "1", 1.0)], "b": [("y", "2", 0.0)]}}
    assert advantage(with_prefix_nodes(log(described)), "c3").tolist() == [0.0, 0.0]


@given(described_logs(max_length=1, texts="a"))
def test_c3_with_one_action_a_rollout_is_rloo(described: Described):
    frame = log(described).with_columns(node_id=pl.col("trajectory_id"))
    assert advantage(frame, "c3") == near(*advantage(frame, "rloo"))


@given(described_logs(max_length=1, texts="a"))
def test_in_c3_s_released_form_leaving_out_changes_nothing(described: Described):
    # A_loo is n/(n-1) of the advantage over the mean, and so is its deviation; but for eps.
    frame = log(described).with_columns(node_id=pl.col("trajectory_id"))
    left_out = advantage(frame, "c3:reference", eps=0.0)
    full = advantage(frame, "c3:reference", eps=0.0, baseline="all")
    assert left_out == pytest.approx(full, abs=1e-9)


def test_c3_compares_with_a_critics_values_of_the_other_actions():
    # Plans: 1/2 - 1/4 and 0 - 3/4; answers to plan 1: 1 - 1/8 and 0 - 1/2; plan 2 has one answer.
    frame = plans(critic_value_action=[0.75, 0.5, 0.75, 0.125, 0.25, 0.0])
    plain = {"weight": "actions", "signal": "assisted"}
    found = credit(frame, "c3", **plain)
    assert found.advantage.tolist() == near(0.25, 0.875, 0.25, -0.5, -0.75, 0.0)
    # With α = 1/2 plan 1 is compared with (0 + 1/4)/2, and with values it is 3/4 - 1/4.
    assert advantage(frame, "c3", **plain, value_share=0.5)[0] == pytest.approx(0.375)
    by_value = advantage(frame, "c3", weight="actions", signal="value")
    assert by_value.tolist() == near(0.5, 0.375, 0.5, -0.375, -0.5, 0.0)
    # Of the plans' 1/4 and -3/4 the mean is -1/4 and the deviation 1/2.
    shipped = advantage(frame, "c3:value-assisted", eps=0.0)
    assert shipped.tolist() == near(1.0, 1.0, 1.0, -1.0, -1.0, 0.0)
    with pytest.raises(MissingInputError, match="c3 needs `critic_value_action`"):
        credit(plans(), "c3:value-assisted")


def test_c3_scales_a_critics_values_around_their_mean():
    # Values 1, 1/2, 0 of actions with 2, 1, 1 returns, less the others': 1 - 1/4,
    # 1/2 - (2 · 1 + 0)/3 and 0 - (2 · 1 + 1/2)/3: 9/12, -2/12, -10/12, on average -1/12.
    described: Described = {
        "g": {
            "a": [("x", "1", 1.0)],
            "b": [("x", "1", 0.0)],
            "c": [("x", "2", 1.0)],
            "d": [("x", "3", 0.0)],
        }
    }
    frame = with_prefix_nodes(log(described, critic_value_action=[1.0, 1.0, 0.5, 0.0]))
    plain = np.array([9.0, 9.0, -2.0, -10.0]) / 12
    assert advantage(frame, "c3", signal="value") == pytest.approx(plain)
    deviation = np.sqrt(np.mean((plain[1:] + 1 / 12) ** 2))
    found = credit(frame, "c3", signal="value", norm="std", eps=0.0)
    assert found.advantage == pytest.approx((plain + 1 / 12) / deviation)
    # Of outcomes, 1/2, 1 and 0, nothing is taken: they are compared with the others alone, 0, 2/3
    # and -2/3.
    outcomes = np.array([0.0, 0.0, 2 / 3, -2 / 3])
    scale = np.sqrt(np.mean(outcomes[1:] ** 2))
    assert advantage(frame, "c3", norm="std", eps=0.0) == pytest.approx(outcomes / scale)


def test_c3_says_how_many_steps_have_a_counterfactual():
    # All but the answer to plan 2; with equal outcomes none has credit.
    found = credit(plans(), "c3")
    assert found.outputs["other_actions"].tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert "5 of 6 steps have a counterfactual" in found.notes[0]
    assert "and 5 of them credit" in found.notes[0]
    level = credit(plans(reward=0.0), "c3")
    assert "5 of 6 steps have a counterfactual" in level.notes[0]
    assert "and 0 of them credit" in level.notes[0]
