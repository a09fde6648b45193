"""MT-GRPO by hand, and as GRPO."""

from __future__ import annotations

import math

import polars as pl
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log


def test_mt_grpo_gives_the_turn_s_reward_to_the_steps_that_led_to_it():
    # Outcomes 1, 0: mean 1/2, deviation sqrt(1/2), z = ±s with s = 0.5/sqrt(0.5). Turn rewards 0.4
    # at a's first step and 0 for b's: z = ±s. b has its own in the last step.
    described: Described = {
        "g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0), ("y", "q", 0.0)]}
    }
    s = 0.5 / math.sqrt(0.5)
    frame = log(described, turn_reward=[0.4, None, None, 0.0])
    found = advantage(frame, "mt-grpo", eps=0.0)
    assert found == near(2 * s, s, -2 * s, -2 * s)
    assert advantage(frame, "mt-grpo", eps=0.0, turn_weight=0.0) == near(s, s, -s, -s)


def test_mt_grpo_combines_where_no_turn_was_paid():
    # b has no turn reward: it gets z(R + T) = z(0) among 1.4 and 0.
    described: Described = {"g": {"a": [("x", "p", 1.0)], "b": [("x", "r", 0.0)]}}
    s = 0.5 / math.sqrt(0.5)
    found = credit(log(described, turn_reward=[0.4, None]), "mt-grpo", eps=0.0)
    assert found.advantage.tolist() == near(2 * s, -s)
    assert found.terms["combined"].value.tolist() == near(0.0, -s)


def test_mt_grpo_finds_the_turn_by_the_text_of_the_answer():
    described: Described = {
        "g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0), ("y", "q", 0.0)]}
    }
    s = 0.5 / math.sqrt(0.5)
    frame = log(
        described,
        turn_reward=[None, 0.4, None, 0.0],
        next_observation=["<result>", "end", "<result>", "<result>"],
    )
    found = advantage(frame, "mt-grpo", eps=0.0, result_text="<result>")
    assert found == near(2 * s, s, -2 * s, -s)


def test_mt_grpo_takes_the_text_of_the_answer_for_no_pattern():
    # As a pattern, [result] is any of its letters and would be found in a's first answer.
    described: Described = {
        "g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0), ("y", "q", 0.0)]}
    }
    frame = log(
        described,
        turn_reward=[None, 0.4, 0.0, None],
        next_observation=["else", "[result]", "[result]", "[result]"],
    )
    # a's turn reward is at its second step: both steps led to it.
    s = 0.5 / math.sqrt(0.5)
    found = advantage(frame, "mt-grpo", eps=0.0, result_text="[result]")
    assert found == near(2 * s, 2 * s, -2 * s, -s)


@given(described_logs())
def test_mt_grpo_with_weight_zero_is_grpo(described: Described):
    frame = log(described).with_columns(turn_reward=pl.col("reward"))
    assert advantage(frame, "mt-grpo", turn_weight=0.0) == near(*advantage(frame, "grpo"))
