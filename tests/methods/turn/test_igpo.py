"""IGPO by hand, and as GRPO on single turns."""

from __future__ import annotations

import math

import pytest
from crediting import advantage, near
from hypothesis import given
from logs import Described, described_logs, log


def test_igpo_standardises_turns_and_sums_them():
    # Turn rewards of a: 1, 0 and of b: 0, 0, 3 (with outcomes): mean 4/5; sums with γ = 1/2:
    # a: 0.2 + (-0.8)/2, -0.8.
    described: Described = {
        "g": {
            "a": [("x", "p", 0.0), ("y", "q", 0.0)],
            "b": [("x", "r", 0.0)] * 2 + [("z", "", 2.0)],
        }
    }
    frame = log(described, turn_reward=[1.0, None, None, 0.0, 1.0])
    found = advantage(frame, "igpo", gamma=0.5, norm="mean")
    assert found == near(-0.2, -0.8, -0.8 - 0.4 + 0.55, -0.8 + 1.1, 2.2)
    # Deviation of 1, 0, 0, 0, 3 with ddof 1: sum of squares 10 - 16/5 = 6.8, over 4.
    whole = advantage(frame, "igpo", gamma=0.5, eps=0.0)
    assert whole == near(*(found / math.sqrt(1.7)))


def test_igpo_at_a_position_counts_ended_rollouts_as_zero():
    # Returns of a: 1, 1 and of b: 0. Second turn: (1 + 0)/2 although b has ended.
    described: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0)]}}
    found = advantage(log(described), "igpo", baseline="position", norm="mean")
    assert found.tolist() == [0.5, 0.5, -0.5]
    # Returns 1 and 0 at either turn: deviation sqrt(1/2).
    z = advantage(log(described), "igpo", baseline="position", eps=0.0)
    assert z == near(*(found / math.sqrt(0.5)))


def test_igpo_against_the_first_turn():
    # With γ 1/2 returns begin with 1/2 and 0, mean 1/4; a's second is 1.
    described: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0)]}}
    found = advantage(log(described), "igpo", gamma=0.5, baseline="start", norm="mean")
    assert found.tolist() == [0.25, 0.75, -0.25]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # Returns 1 and 1 against the mean of a turn, 1/2, for two turns and for one.
        ({"group_of_one": "raw", "norm": "mean"}, [0.0, 0.5]),
        # A deviation of one rollout counts as 1: over 1 + eps.
        ({"group_of_one": "raw", "eps": 1.0}, [0.0, 0.25]),
        ({"norm": "mean"}, [0.0, 0.0]),
        ({"eps": 1.0}, [0.0, 0.0]),
    ],
)
def test_igpo_gives_an_only_rollout_nothing_unless_it_is_asked_to(fields, expected):
    described: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)]}}
    assert advantage(log(described), "igpo", **fields) == near(*expected)


@given(described_logs(max_length=1))
def test_igpo_on_single_turns_is_grpo(described: Described):
    frame = log(described)
    assert advantage(frame, "igpo") == near(*advantage(frame, "grpo"))
