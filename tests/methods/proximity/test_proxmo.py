"""ProxMO by hand, and as GiGPO and GRPO at the ends of its fields."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit, term
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import random_log
from worked_logs import FOUR, one_group

from workbench.errors import MissingInputError, ParameterError
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create

# Two texts without a common word: similarity 1 within, 0 across.
TWO = one_group(
    {"a": [("red", 1.0)], "b": [("red", 0.0)], "c": [("blue", 1.0)], "d": [("blue", 1.0)]}
)


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
    frame = one_group({"a": [("red", 0.0), ("red", 1.0)], "b": [("blue", 0.0)]})
    found = term(frame, "proxmo", "step", gamma=0.5, peers="other_trajectories")
    assert found[:2] == pytest.approx([0.5, 1.0])
    # b0's peers a0, a1 have the same text: mean of 1/2 and 1.
    assert found[2] == pytest.approx(-0.75)


def test_proxmo_at_the_same_step_averages_over_one_depth():
    frame = one_group({"a": [("red", 0.0), ("red", 1.0)], "b": [("red", 0.0), ("red", 0.0)]})
    # Depth 0: returns 1/2 and 0; depth 1: 1 and 0.
    found = term(frame, "proxmo", "step", gamma=0.5, peers="same_step")
    assert found == pytest.approx([0.25, 0.5, -0.25, -0.5])


@pytest.mark.parametrize("peers", ["other_steps", "other_trajectories"])
def test_a_step_without_peers_has_a_step_term_of_zero(peers: str):
    frame = one_group({"a": [("red", 1.0)]})
    assert advantage(frame, "proxmo", peers=peers).tolist() == [0.0]


def test_proxmo_as_temperature_falls_is_gigpo_mean_norm():
    found = term(FOUR, "proxmo", "step", temperature=1e-3)
    np.testing.assert_allclose(found, term(FOUR, "gigpo", "step", norm="mean"), atol=1e-12)


def test_proxmo_with_same_state_peers_is_gigpo():
    for norm, step_norm in (("mean", "none"), ("std", "std")):
        found = term(FOUR, "proxmo", "step", peers="same_state", step_norm=step_norm)
        assert found.tolist() == term(FOUR, "gigpo", "step", norm=norm).tolist()


def test_proxmo_with_same_state_peers_takes_any_state_key():
    of = Steps.from_log(random_log(np.random.default_rng(0)))
    for key in ("history:length=2", "similar:threshold=0.4"):
        found = term(of, "proxmo", "step", peers="same_state", state_key=key)
        assert found.tolist() == term(of, "gigpo", "step", norm="mean", state_key=key).tolist()
    assert create("proxmo", {"state_key": "similar"}).needs() == ("similarity",)
    same = create("proxmo", {"peers": "same_state", "state_key": "similar"})
    assert same.needs() == ("keys", "similarity")
    assert create("gigpo").needs() == ("keys",)


def test_proxmo_as_temperature_rises_is_return_minus_the_mean():
    # γ = 1/2: returns 1/2, 1, 0, 0, 0 have the mean 0.3.
    found = term(FOUR, "proxmo", "step", temperature=1e9, gamma=0.5)
    np.testing.assert_allclose(found, [0.2, 0.7, -0.3, -0.3, -0.3], atol=1e-8)


def test_proxmo_step_term_over_the_deviation_of_returns():
    plain = term(TWO, "proxmo", "step")
    # Returns 1, 0, 1, 1: deviation 1/2.
    found = term(TWO, "proxmo", "step", step_norm="std", eps=0.0)
    np.testing.assert_allclose(found, plain / 0.5)


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
    frame = one_group({"a": [("red", 0.0)], "b": [("red", 0.0)], "c": [("red", 1.0)]})
    frame = frame.with_columns(in_group_statistics=pl.col("trajectory_id") != "c")
    for peers in ("all", "other_steps", "other_trajectories", "same_step", "same_state"):
        assert term(frame, "proxmo", "step", step_norm="std", peers=peers).tolist() == [
            0.0,
            0.0,
            0.0,
        ]
    # Without the division c is one above the others.
    assert term(frame, "proxmo", "step") == pytest.approx([0.0, 0.0, 1.0])


def test_n_peers_of_equal_text_are_n_effective_peers():
    frame = one_group({f"t{k}": [("red", float(k))] for k in range(5)})
    facts = credit(frame, "proxmo").explain(0).facts["step"]
    assert facts["effective_peers"] == pytest.approx(5)
    assert facts["self_weight"] == pytest.approx(0.2)


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


def test_proxmo_auto_notes_a_weight_of_one_where_success_is_undefined():
    graded = FOUR.with_columns(pl.col("reward") * 0.7)
    found = credit(graded, "proxmo")
    assert found.terms["episode"].value.tolist() == advantage(graded, "grpo").tolist()
    assert "success is not defined in 1 of 1 group" in found.notes[0]
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
    assert term(FOUR, "proxmo", "episode", psc="off").tolist() == advantage(FOUR, "grpo").tolist()


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["red", "blue", "red blue"]), min_size=3, max_size=8), st.data())
def test_self_included_is_one_minus_self_weight_times_self_left_out(
    texts: list[str], data: st.DataObject
):
    rewards = data.draw(st.lists(st.floats(0, 1), min_size=len(texts), max_size=len(texts)))
    frame = one_group({f"t{k}": [pair] for k, pair in enumerate(zip(texts, rewards, strict=True))})
    included = credit(frame, "proxmo", temperature=0.3)
    left_out = term(frame, "proxmo", "step", temperature=0.3, peers="other_steps")
    own = [included.explain(k).facts["step"]["self_weight"] for k in range(len(texts))]
    expected = (1 - np.array(own)) * left_out
    np.testing.assert_allclose(included.terms["step"].value, expected, atol=1e-12)


def test_including_self_shrinks_the_step_term_by_the_own_weight():
    # Texts that are all different and γ = 0, so that nothing else is in it.
    of = Steps.from_log(random_log(np.random.default_rng(5), texts=12, dense=True))
    included = credit(of, "proxmo", temperature=0.2)
    left_out = term(of, "proxmo", "step", temperature=0.2, peers="other_steps")
    own = [included.explain(step).facts["step"]["self_weight"] for step in range(len(of))]
    np.testing.assert_allclose(included.terms["step"].value, (1 - np.array(own)) * left_out)
