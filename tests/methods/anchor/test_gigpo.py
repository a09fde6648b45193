"""GiGPO by hand, and as GRPO where no state repeats."""

from __future__ import annotations

import math

import polars as pl
import pytest
from crediting import advantage, credit, term
from hypothesis import given
from hypothesis import strategies as st
from logs import steps
from worked_logs import FOUR, one_group, one_step


def test_gigpo_by_hand():
    # γ = 1/2: returns a0 = 1/2, a1 = 1, the others 0.
    # Anchors: x = {a0, b}: mean 1/4; y = {a1, c}: mean 1/2; z alone.
    frame, fields = FOUR, {"gamma": 0.5, "norm": "mean"}
    expected = [0.25, 0.5, -0.25, -0.5, 0.0]
    assert term(frame, "gigpo", "step", **fields) == pytest.approx(expected)
    # Two values, deviation |difference|/sqrt(2): every step is ±1/sqrt(2) from its mean.
    half = 1 / math.sqrt(2)
    standardised = term(frame, "gigpo", "step", gamma=0.5, norm="std", eps=0.0)
    assert standardised == pytest.approx([half, half, -half, -half, 0.0])
    doubled = term(frame, "gigpo", "step", step_weight=2.0, **fields)
    assert doubled == pytest.approx([0.5, 1.0, -0.5, -1.0, 0.0])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6))
def test_gigpo_is_grpo_where_no_observation_repeats(rewards: list[float]):
    frame = one_group({f"t{k}": [(f"state {k}", reward)] for k, reward in enumerate(rewards)})
    assert advantage(frame, "gigpo").tolist() == advantage(frame, "grpo").tolist()


def test_gigpo_step_scores_lose_the_penalty_of_their_own_step_only():
    frame = FOUR.with_columns(valid_action=pl.Series([True, False, True, True, True]))
    # y = {a1: 1 - .1, c: 0}: mean .45; a0 keeps γ · 1 without the penalty.
    found = term(frame, "gigpo", "step", gamma=0.5, norm="mean", invalid_penalty=0.1)
    assert found == pytest.approx([0.25, 0.45, -0.25, -0.45, 0.0])


def test_gigpo_takes_a_logged_state_key_before_the_text():
    # With one key for all, the anchor group is the whole group: returns 1/2, 1, 0, 0, 0.
    frame = FOUR.with_columns(state_key=pl.lit("same"))
    found = term(frame, "gigpo", "step", gamma=0.5, norm="mean")
    assert found == pytest.approx([0.2, 0.7, -0.3, -0.3, -0.3])


def test_an_anchor_group_outside_the_statistics_has_a_step_term_of_zero():
    frame = one_group({"a": [("red", 1.0)], "b": [("blue", 0.0)]})
    frame = frame.with_columns(in_group_statistics=pl.col("trajectory_id") != "a")
    assert term(frame, "gigpo", "step", norm="mean").tolist() == [0.0, 0.0]


def test_gigpo_with_a_coarser_key_compares_more_steps():
    of = one_step(("Door 1", "x", 1.0), ("door 1", "x", 0.0), ("door 2", "x", 0.0))
    assert term(of, "gigpo", "step", norm="mean").tolist() == [0.0, 0.0, 0.0]
    found = term(of, "gigpo", "step", norm="mean", state_key="normalised")
    assert found == pytest.approx([0.5, -0.5, 0.0])
    found = term(of, "gigpo", "step", norm="mean", state_key="normalised:numbers=true")
    assert found == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def test_gigpo_across_groups_compares_with_the_same_state_of_another_task():
    of = steps({"g": {"t": [("a", "x", 1.0)]}, "h": {"u": [("a", "x", 0.0)]}})
    assert term(of, "gigpo", "step", norm="mean").tolist() == [0.0, 0.0]
    found = credit(of, "gigpo", norm="mean", across_groups=True)
    assert found.terms["step"].value.tolist() == [0.5, -0.5]
    assert found.outputs["anchor_group"].tolist() == [0.0, 0.0]
    assert found.explain(0).peers["group_id"].to_list()[-2:] == ["g", "h"]


@pytest.mark.parametrize("state_key", ["exact", "similar:threshold=0.9"])
def test_gigpo_across_groups_stays_in_its_update(state_key: str):
    # The groups of two updates alternate. In update 1 state a has 1 and 0, in update 2 4 and 2.
    rewards = {"g": 1.0, "h": 4.0, "i": 0.0, "j": 2.0}
    described = {name: {name: [("apple", "x", reward)]} for name, reward in rewards.items()}
    found = credit(
        steps(described, train_step=[1, 2, 1, 2]),
        "gigpo",
        norm="mean",
        across_groups=True,
        state_key=state_key,
    )
    assert found.terms["step"].value.tolist() == [0.5, 1.0, -0.5, -1.0]
    explanation = found.explain("h:0")
    of_step = explanation.peers.filter(pl.col("term") == "step")
    assert sorted(of_step["group_id"]) == ["h", "j"]
    assert explanation.facts["step"]["batch"] == "update 2"
