"""Each method on a log small enough to be worked by hand, and reduced to simpler ones."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import MissingInputError, ParameterError
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.parts.success import success_weight
from workbench.states.space import Space


def log(trajectories: dict[str, list[tuple[str, float]]], **columns: object) -> pl.DataFrame:
    """One group: trajectory -> its steps as (observation, reward)."""
    rows = [
        {
            "group_id": "g",
            "trajectory_id": name,
            "step_index": index,
            "observation": text,
            "action": "act",
            "reward": reward,
            **columns,
        }
        for name, steps in trajectories.items()
        for index, (text, reward) in enumerate(steps)
    ]
    return pl.DataFrame(rows)


def credit(frame: pl.DataFrame, name: str, **params: object):
    steps = Steps.from_log(validate(frame).log)
    return create(name, params)(steps, Space(steps, embedder="tfidf"))


def advantage(frame: pl.DataFrame, name: str, **params: object) -> list[float]:
    return credit(frame, name, **params).advantage.tolist()


def term(frame: pl.DataFrame, name: str, which: str, **params: object) -> list[float]:
    return credit(frame, name, **params).terms[which].value.tolist()


# Trajectory a wins in two steps; b, c and d lose in one.
FOUR = log({"a": [("x", 0.0), ("y", 1.0)], "b": [("x", 0.0)], "c": [("y", 0.0)], "d": [("z", 0.0)]})


def test_grpo_standardises_over_trajectories():
    # Rewards 1, 0, 0, 0: mean 1/4, deviation 1/2, so 0.75/0.5 for a's two steps and -0.25/0.5.
    expected = [1.5, 1.5, -0.5, -0.5, -0.5]
    assert advantage(FOUR, "grpo", eps=0.0) == pytest.approx(expected)


def test_grpo_with_the_population_deviation():
    # With ddof 0 the deviation is sqrt(3)/4, so 0.75 over it is sqrt(3).
    assert advantage(FOUR, "grpo", eps=0.0, ddof=0)[0] == pytest.approx(math.sqrt(3))


def test_grpo_without_deviation_is_reward_minus_mean():
    assert advantage(FOUR, "grpo", norm="mean") == [0.75, 0.75, -0.25, -0.25, -0.25]


def test_grpo_adds_eps_to_the_deviation():
    # 0.75 / (0.5 + 0.25)
    assert advantage(FOUR, "grpo", eps=0.25)[0] == pytest.approx(1.0)


def test_grpo_over_step_rows_counts_a_twice():
    # Over five rows the mean is 2/5.
    expected = [0.6, 0.6, -0.4, -0.4, -0.4]
    assert advantage(FOUR, "grpo:verl-agent", norm="mean") == pytest.approx(expected)


def test_a_penalty_hits_its_own_step_and_leaves_the_statistics_of_trajectories_alone():
    frame = FOUR.with_columns(valid_action=pl.Series([False, True, True, True, True]))
    expected = [0.65, 0.75, -0.25, -0.25, -0.25]
    assert advantage(frame, "grpo", norm="mean", invalid_penalty=0.1) == pytest.approx(expected)


def test_over_step_rows_a_penalty_moves_the_mean():
    # Scores .9, 1, 0, 0, 0: mean .38.
    frame = FOUR.with_columns(valid_action=pl.Series([False, True, True, True, True]))
    found = advantage(frame, "grpo:verl-agent", norm="mean", invalid_penalty=0.1)
    assert found == pytest.approx([0.52, 0.62, -0.38, -0.38, -0.38])


def test_rloo_compares_with_the_mean_of_the_others():
    # a: 1 - 0; the others: 0 - 1/3.
    assert advantage(FOUR, "rloo") == pytest.approx([1.0, 1.0, -1 / 3, -1 / 3, -1 / 3])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8))
def test_rloo_is_n_over_n_minus_1_times_mean_only_grpo(rewards: list[float]):
    frame = log({f"t{k}": [("x", reward)] for k, reward in enumerate(rewards)})
    n = len(rewards)
    expected = np.array(advantage(frame, "grpo", norm="mean")) * n / (n - 1)
    np.testing.assert_allclose(advantage(frame, "rloo"), expected, atol=1e-11)


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
    frame = log({f"t{k}": [(f"state {k}", reward)] for k, reward in enumerate(rewards)})
    assert advantage(frame, "gigpo") == advantage(frame, "grpo")


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


# Two texts without a common word: similarity 1 within, 0 across.
TWO = log({"a": [("red", 1.0)], "b": [("red", 0.0)], "c": [("blue", 1.0)], "d": [("blue", 1.0)]})


def test_proxmo_baseline_by_hand():
    # τ = 1: weights e for the two of the same text, 1 for the others, over 2e + 2.
    e = math.e
    red, blue = (e * 1 + 2) / (2 * e + 2), (2 * e + 1) / (2 * e + 2)
    found = term(TWO, "proxmo", "step", temperature=1.0)
    assert found == pytest.approx([1 - red, -red, 1 - blue, 1 - blue])


def test_proxmo_with_other_steps_leaves_only_the_step_itself_out():
    # a: b weighs e, c and d weigh 1: (0·e + 2)/(e + 2).
    found = term(TWO, "proxmo", "step", temperature=1.0, peers="other_steps")
    assert found[0] == pytest.approx(1 - 2 / (math.e + 2))


def test_proxmo_with_other_trajectories_leaves_the_own_one_out():
    # a0 and a1 have only b0 as a peer.
    frame = log({"a": [("red", 0.0), ("red", 1.0)], "b": [("blue", 0.0)]})
    found = term(frame, "proxmo", "step", gamma=0.5, peers="other_trajectories")
    assert found[:2] == pytest.approx([0.5, 1.0])
    # b0's peers a0, a1 have the same text: mean of 1/2 and 1.
    assert found[2] == pytest.approx(-0.75)


def test_proxmo_at_the_same_step_averages_over_one_depth():
    frame = log({"a": [("red", 0.0), ("red", 1.0)], "b": [("red", 0.0), ("red", 0.0)]})
    # Depth 0: returns 1/2 and 0; depth 1: 1 and 0.
    found = term(frame, "proxmo", "step", gamma=0.5, peers="same_step")
    assert found == pytest.approx([0.25, 0.5, -0.25, -0.5])


@pytest.mark.parametrize("peers", ["other_steps", "other_trajectories"])
def test_a_step_without_peers_has_a_step_term_of_zero(peers: str):
    frame = log({"a": [("red", 1.0)]})
    assert advantage(frame, "proxmo", peers=peers) == [0.0]


def test_proxmo_as_temperature_falls_is_gigpo_mean_norm():
    found = term(FOUR, "proxmo", "step", temperature=1e-3)
    np.testing.assert_allclose(found, term(FOUR, "gigpo", "step", norm="mean"), atol=1e-12)


def test_proxmo_with_same_state_peers_is_gigpo():
    for norm, step_norm in (("mean", "none"), ("std", "std")):
        found = term(FOUR, "proxmo", "step", peers="same_state", step_norm=step_norm)
        assert found == term(FOUR, "gigpo", "step", norm=norm)


def test_proxmo_as_temperature_rises_is_return_minus_the_mean():
    # γ = 1/2: returns 1/2, 1, 0, 0, 0 have the mean 0.3.
    found = term(FOUR, "proxmo", "step", temperature=1e9, gamma=0.5)
    np.testing.assert_allclose(found, [0.2, 0.7, -0.3, -0.3, -0.3], atol=1e-8)


def test_proxmo_step_term_over_the_deviation_of_returns():
    plain = np.array(term(TWO, "proxmo", "step"))
    # Returns 1, 0, 1, 1: deviation 1/2.
    found = term(TWO, "proxmo", "step", step_norm="std", eps=0.0)
    np.testing.assert_allclose(found, plain / 0.5)


def test_success_weight_at_the_ends_and_in_the_middle():
    # σ(1) − ½ = .2311: hard success 1 + .1·.2311, easy failure 1 − .1·.2311; σ(2⁻⁴) − ½ = .0156.
    rate, success = np.array([0.0, 1.0, 0.5, 1.0, 0.0]), np.array([True, False, True, True, False])
    found = success_weight(rate, success, alpha=4.0, beta=0.1)
    assert found == pytest.approx([1.02311, 0.97689, 1.00156, 1.0, 1.0], abs=1e-5)


def test_proxmo_weights_the_episode_term_by_success_and_rate():
    # Success rate of FOUR is 1/4: w = 1 + .1(σ(.75⁴) − ½) for a, 1 + .1(σ(−.25⁴) − ½) for others.
    plain = advantage(FOUR, "grpo")
    win = 1 + 0.1 * (1 / (1 + math.exp(-(0.75**4))) - 0.5)
    loss = 1 + 0.1 * (1 / (1 + math.exp(0.25**4)) - 0.5)
    expected = [plain[0] * win, plain[1] * win, *(value * loss for value in plain[2:])]
    assert term(FOUR, "proxmo", "episode") == pytest.approx(expected)
    assert credit(FOUR, "proxmo").outputs["success_rate"].tolist() == [0.25] * 5


def test_proxmo_divides_rewards_by_what_one_success_is_worth():
    # 10 for a success, scaled: the same credit as with 1.
    ten = FOUR.with_columns(pl.col("reward") * 10)
    scaled = ten.with_columns(reward_scale=pl.lit(10.0))
    assert advantage(scaled, "proxmo") == pytest.approx(advantage(FOUR, "proxmo"))
    assert advantage(ten, "proxmo", reward_scale=10) == pytest.approx(advantage(FOUR, "proxmo"))


def test_outside_the_statistics_equal_returns_are_not_divided_by_eps():
    # Of three equal texts the two that count have equal returns, so there is no deviation.
    frame = log({"a": [("red", 0.0)], "b": [("red", 0.0)], "c": [("red", 1.0)]})
    frame = frame.with_columns(in_group_statistics=pl.col("trajectory_id") != "c")
    for peers in ("all", "other_steps", "other_trajectories", "same_step", "same_state"):
        assert term(frame, "proxmo", "step", step_norm="std", peers=peers) == [0.0, 0.0, 0.0]
    # Without the division c is one above the others.
    assert term(frame, "proxmo", "step") == pytest.approx([0.0, 0.0, 1.0])


def test_an_anchor_group_outside_the_statistics_has_a_step_term_of_zero():
    frame = log({"a": [("red", 1.0)], "b": [("blue", 0.0)]})
    frame = frame.with_columns(in_group_statistics=pl.col("trajectory_id") != "a")
    assert term(frame, "gigpo", "step", norm="mean") == [0.0, 0.0]


def test_n_peers_of_equal_text_are_n_effective_peers():
    frame = log({f"t{k}": [("red", float(k))] for k in range(5)})
    facts = credit(frame, "proxmo").explain(0).facts["step"]
    assert facts["effective_peers"] == pytest.approx(5)
    assert facts["self_weight"] == pytest.approx(0.2)


def test_leaving_out_a_first_row_says_what_its_own_penalty_adds():
    # a's rows score 1 and 1 - .1; b scores 0. At a's second row the sum still holds the first's 1.
    frame = log({"a": [("x", 0.0), ("y", 1.0)], "b": [("x", 0.0)]})
    frame = frame.with_columns(valid_action=pl.Series([True, False, True]))
    explained = credit(frame, "rloo:verl-agent-first-row", invalid_penalty=0.1).explain(1)
    facts = explained.facts["episode"]
    peers = (explained.peers["weight"] * explained.peers["value"]).sum()
    assert facts["baseline"] == pytest.approx(0.1)
    assert peers + facts["own_first_row_share"] == pytest.approx(facts["baseline"])


def test_rewards_that_would_overflow_are_refused_or_excluded():
    assert validate(FOUR.with_columns(reward=pl.lit(1e308))).log["excluded"].is_not_null().all()
    assert validate(FOUR.with_columns(reward=pl.lit(1e90))).log["excluded"].is_null().all()
    with pytest.raises(ParameterError, match="advantages are not finite"):
        credit(FOUR, "proxmo", reward_scale=1e-320)


def test_proxmo_says_where_rewards_want_a_scale():
    ten = FOUR.with_columns(pl.col("reward") * 10, success=pl.col("trajectory_id") == "a")
    assert "set reward_scale=10" in credit(ten, "proxmo").notes[0]
    assert credit(ten, "proxmo", reward_scale=10).notes == ()
    assert credit(ten.with_columns(reward_scale=pl.lit(10.0)), "proxmo").notes == ()
    assert credit(FOUR, "proxmo").notes == ()


def test_proxmo_auto_leaves_the_weight_at_one_where_success_is_not_defined_and_says_so():
    graded = FOUR.with_columns(pl.col("reward") * 0.7)
    found = credit(graded, "proxmo")
    assert found.terms["episode"].value.tolist() == advantage(graded, "grpo")
    assert "success is not defined in 1 of 1 groups" in found.notes[0]
    assert np.isnan(found.outputs["success_rate"]).all()
    with pytest.raises(MissingInputError, match=r"group 'g' has neither.*success_threshold"):
        credit(graded, "proxmo", psc="on")
    weighted = credit(graded, "proxmo", psc="on", success_threshold=0.5)
    assert weighted.outputs["success_rate"].tolist() == [0.25] * 5


def test_proxmo_takes_the_success_column_before_the_reward():
    # All rewards are 0, but b is said to have succeeded.
    frame = FOUR.with_columns(reward=pl.lit(0.0), success=pl.col("trajectory_id") == "b")
    assert credit(frame, "proxmo").outputs["success_rate"].tolist() == [0.25] * 5


def test_proxmo_psc_off_leaves_the_episode_term_alone():
    assert term(FOUR, "proxmo", "episode", psc="off") == advantage(FOUR, "grpo")


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["red", "blue", "red blue"]), min_size=3, max_size=8), st.data())
def test_self_included_is_one_minus_self_weight_times_self_left_out(
    texts: list[str], data: st.DataObject
):
    rewards = data.draw(st.lists(st.floats(0, 1), min_size=len(texts), max_size=len(texts)))
    frame = log({f"t{k}": [pair] for k, pair in enumerate(zip(texts, rewards, strict=True))})
    included = credit(frame, "proxmo", temperature=0.3)
    left_out = term(frame, "proxmo", "step", temperature=0.3, peers="other_steps")
    own = [included.explain(k).facts["step"]["self_weight"] for k in range(len(texts))]
    expected = (1 - np.array(own)) * left_out
    np.testing.assert_allclose(included.terms["step"].value, expected, atol=1e-12)
