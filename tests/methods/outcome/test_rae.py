"""RAE: each agent against the moving average of its own rewards."""

from __future__ import annotations

import polars as pl
import pytest
from crediting import advantage, credit, near
from logs import Described, log, rows

from workbench.errors import ParameterError
from workbench.methods import create


def bandits(*rewards: float) -> Described:
    """Rollouts of one step in one group, a, b, c …"""
    return {"g": {"abcdefgh"[n]: [("x", "p", reward)] for n, reward in enumerate(rewards)}}


def test_rae_by_hand():
    # With d = ½ the averages before b, c, d are ½·1 = ½, ½·½ + ½·0 = ¼ and ½·¼ + ½·1 = 5/8.
    found = credit(log(bandits(1.0, 0.0, 1.0, 0.0)), "rae", decay=0.5)
    assert found.advantage.tolist() == near(1.0, -0.5, 0.75, -0.625)
    facts = found.explain(3).facts["episode"]
    assert (facts["baseline"], facts["rollouts_before"]) == (0.625, 3.0)


def test_each_agent_has_an_average_of_its_own():
    # The first mover always wins: a baseline over both would call that merit, once it is warm.
    frame = log(bandits(1.0, -1.0, 1.0, -1.0), agent_id=["first", "second"] * 2)
    assert advantage(frame, "rae", decay=0.5).tolist() == near(1.0, -1.0, 0.5, -0.5)


def test_every_step_has_the_credit_of_its_agents_rollout():
    # Both agents act in both rollouts; the reward of a rollout moves the average of each once.
    described: Described = {
        "g": {name: [("x", "p", 0.0), ("x", "p", 0.0), ("x", "p", 1.0)] for name in ("a", "b")}
    }
    frame = log(described, agent_id=["one", "two", "one"] * 2)
    assert advantage(frame, "rae", decay=0.5).tolist() == near(1, 1, 1, 0.5, 0.5, 0.5)


def test_the_average_starts_anew_in_each_batch_unless_it_is_carried():
    # Update 2 has the ids that come first.
    described = {name: {f"{name}{n}": [("x", "p", 1.0)] for n in (1, 2)} for name in ("g", "h")}
    frame = log(described, train_step=[2, 2, 1, 1])
    assert advantage(frame, "rae", decay=0.5).tolist() == near(1.0, 0.5, 1.0, 0.5)
    carried = advantage(frame, "rae", decay=0.5, carry=True)
    assert carried.tolist() == near(0.25, 0.125, 1.0, 0.5)


def test_the_order_is_that_of_ids_or_that_of_rows():
    frame = rows(bandits(1.0, 0.0, 1.0)).reverse()
    assert advantage(frame, "rae", decay=0.5).tolist() == near(1.0, -0.5, 0.75)
    # c, b, a: averages before them 0, ½ and ¼.
    assert advantage(frame, "rae", decay=0.5, order="rows").tolist() == near(0.75, -0.5, 1.0)


def test_a_rollout_outside_the_statistics_is_measured_and_moves_nothing():
    frame = log(bandits(1.0, 0.0, 1.0), in_group_statistics=[True, False, True])
    assert advantage(frame, "rae", decay=0.5).tolist() == near(1.0, -0.5, 0.5)


def test_a_decay_of_zero_is_the_reward_less_the_last_one():
    frame = log(bandits(1.0, 0.25, 0.5))
    assert advantage(frame, "rae", decay=0.0).tolist() == near(1.0, -0.75, 0.25)
    with pytest.raises(ParameterError, match="decay must be in"):
        create("rae", {"decay": 1.5})


def test_agents_that_are_not_named_are_one():
    frame = rows(bandits(1.0, 0.0)).with_columns(agent_id=pl.lit(None, dtype=pl.String))
    assert advantage(frame, "rae").tolist() == advantage(log(bandits(1.0, 0.0)), "rae").tolist()
