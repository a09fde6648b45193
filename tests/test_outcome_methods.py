"""Methods that compare outcomes: worked by hand, and reduced to simpler ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, Described, described_logs, steps

from workbench.analysis.rollouts import sentence
from workbench.errors import MissingInputError, ParameterError
from workbench.log.credit import Credit
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.outcome.gdpo import parse_weights
from workbench.states.space import Space


def credit(of: Steps, name: str, /, **params: object) -> Credit:
    return create(name, params)(of, Space(of, embedder="tfidf"))


def advantage(of: Steps, name: str, /, **params: object) -> list[float]:
    return credit(of, name, **params).advantage.tolist()


def group(name: str, *rewards: float) -> Described:
    """Trajectories of one step."""
    return {name: {f"{name}{k}": [("s", "go", reward)] for k, reward in enumerate(rewards)}}


def outcomes(*rewards: float, **columns: object) -> Steps:
    """One group of trajectories of one step."""
    return steps(group("g", *rewards), **columns)


# One group in three steps, and a dead one in two.
TWO = {**group("g", 1.0, 0.0, 0.0), **group("h", 0.0, 0.0)}


def test_grpo_against_the_others_is_over_the_deviation_of_the_others():
    # 4 against 0, 1, 2: mean 1, deviation 1; 0 against 4, 1, 2: mean 7/3, squares
    # 25/9 + 16/9 + 1/9 = 14/3, deviation sqrt(7/3).
    found = advantage(outcomes(4.0, 0.0, 1.0, 2.0), "grpo", baseline="others", eps=0.0)
    assert found[:2] == pytest.approx([3.0, -np.sqrt(7 / 3)])


def test_the_deviation_of_the_others_with_the_population_denominator():
    # 0, 1, 2 about 1: squares 2 over 3.
    found = advantage(outcomes(4.0, 0.0, 1.0, 2.0), "grpo", baseline="others", eps=0.0, ddof=0)
    assert found[0] == pytest.approx(3 / np.sqrt(2 / 3))


def test_others_that_are_equal_divide_by_nothing():
    # The success is against 0, 0, 0; a failure against 1, 0, 0: mean 1/3, deviation sqrt(1/3).
    found = advantage(outcomes(1.0, 0.0, 0.0, 0.0), "grpo", baseline="others", eps=0.0)
    assert found == pytest.approx([1.0, *[-np.sqrt(1 / 3)] * 3])
    # Also where 0.1 + 0.2 and 0.3 are the equal ones, whose deviation is 2e-17.
    found = advantage(outcomes(1.0, 0.3, 0.1 + 0.2, 0.3), "grpo", baseline="others", eps=0.0)
    assert found[0] == pytest.approx(0.7)


@given(st.lists(QUARTERS, min_size=3, max_size=7))
def test_statistics_of_the_others_are_those_of_the_group_without_the_trajectory(
    rewards: list[float],
):
    found = credit(outcomes(*rewards), "grpo", baseline="others", eps=0.0).terms["episode"]
    for k, reward in enumerate(rewards):
        others = np.delete(rewards, k)
        assert found.baseline[k] == pytest.approx(others.mean(), abs=1e-12)
        deviation = others.std(ddof=1) if np.ptp(others) else 1.0
        expected = (reward - others.mean()) / deviation
        assert found.value[k] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(described_logs())
def test_rloo_is_mean_only_grpo_against_the_others(described: Described):
    of = steps(described)
    assert advantage(of, "rloo") == advantage(of, "grpo", baseline="others", norm="mean")


def test_grpo_over_the_deviation_of_the_whole_log():
    # Rewards 1, 0, 0 | 0, 0: mean 1/5, squares 4/5 over 4: deviation sqrt(1/5). A dead group is 0.
    found = advantage(steps(TWO), "grpo", norm="batch", eps=0.0)
    third = np.sqrt(5) / 3
    assert found == pytest.approx([2 * third, -third, -third, 0.0, 0.0])


def test_a_masked_rollout_trains_nothing_and_stays_in_the_baseline_of_the_others():
    # SkyRL-Agent's recipe. Rewards 1, 0 and 0 of an overlong rollout: 1 − 0, 0 − 1/2, 0 − 1/2.
    masked = outcomes(1.0, 0.0, 0.0, gradient_mask=[True, True, False])
    assert advantage(masked, "rloo:skyrl-agent") == [1.0, -0.5, -0.5]
    # Left out of the statistics too, the first two are against each other alone.
    out = outcomes(1.0, 0.0, 0.0, in_group_statistics=[True, True, False])
    assert advantage(out, "rloo:skyrl-agent")[:2] == [1.0, -1.0]


def test_reinforce_is_against_the_whole_log():
    # Rewards 1, 0, 0 | 0, 0: mean 1/5, deviation sqrt(1/5).
    found = advantage(steps(TWO), "reinforce++", batch_eps=0.0)
    assert found == pytest.approx([4 / np.sqrt(5), *[-1 / np.sqrt(5)] * 4])


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_reinforce_on_one_group_is_grpo(rewards: list[float]):
    of = outcomes(*rewards)
    np.testing.assert_allclose(
        advantage(of, "reinforce++"), advantage(of, "grpo"), rtol=1e-12, atol=1e-12
    )


def test_reinforce_over_tokens_counts_each_of_them():
    # 1 once and 0 three times: mean 1/4, squares 9/16 + 3/16 = 3/4 over 3: deviation 1/2.
    of = outcomes(1.0, 0.0, response_tokens=[1, 3])
    found = advantage(of, "reinforce++", batch_weight="tokens", batch_eps=0.0)
    assert found == pytest.approx([1.5, -0.5])
    # As in verl, with 0.75 under the root: sqrt(1/4 + 3/4) = 1.
    under = {"batch_eps": 0.75, "batch_eps_on": "variance"}
    assert advantage(of, "reinforce++:verl", **under) == pytest.approx([0.75, -0.25])


def test_reinforce_with_a_baseline_shares_one_deviation_and_leaves_dead_groups_at_zero():
    # c = 2/3, -1/3, -1/3 | 0, 0: mean 0, squares 6/9 over 4: deviation sqrt(1/6).
    found = advantage(steps(TWO), "reinforce++-baseline", batch_eps=0.0)
    sixth = np.sqrt(6) / 3
    assert found == pytest.approx([2 * sixth, -sixth, -sixth, 0.0, 0.0])
    assert found[3:] == [0.0, 0.0]


def test_taking_the_token_mean_off_gives_a_dead_group_credit():
    # c = 1/2, -1/2 | 0, 0 with 3, 1, 2, 2 tokens: mean (3/2 - 1/2)/8 = 1/8; squares over tokens
    # 3 · 9/64 + 25/64 + 4/64 = 56/64 over 7: deviation sqrt(1/8).
    of = steps({**group("g", 1.0, 0.0), **group("h", 0.0, 0.0)}, response_tokens=[3, 1, 2, 2])
    found = credit(of, "reinforce++-baseline:verl", batch_eps=0.0)
    eighth = 1 / np.sqrt(8)
    assert found.advantage == pytest.approx([3 * eighth, -5 * eighth, -eighth, -eighth])
    assert found.terms["batch"].value == pytest.approx([-eighth] * 4)
    peers = found.explain(0).peers.filter(pl.col("term") == "batch")
    assert peers.select("trajectory_id", "weight", "value").rows() == [
        ("g0", 0.375, 0.5),
        ("h0", 0.25, 0.0),
        ("h1", 0.25, 0.0),
        ("g1", 0.125, -0.5),
    ]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_reinforce_with_a_baseline_on_one_group_is_grpo(rewards: list[float]):
    of = outcomes(*rewards)
    np.testing.assert_allclose(
        advantage(of, "reinforce++-baseline"), advantage(of, "grpo"), rtol=1e-12, atol=1e-12
    )


def test_remax_is_against_the_greedy_reward_of_the_log():
    of = outcomes(1.0, 0.0, greedy_reward=0.75)
    assert advantage(of, "remax") == [0.25, -0.75]
    facts = credit(of, "remax").explain(0).facts["greedy"]
    assert sentence("greedy", facts) == "reward 1 against the greedy rollout's reward 0.75"


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_remax_with_the_group_mean_as_greedy_reward_is_mean_only_grpo(rewards: list[float]):
    of = outcomes(*rewards, greedy_reward=float(np.mean(rewards)))
    expected = advantage(of, "grpo", norm="mean")
    np.testing.assert_allclose(advantage(of, "remax"), expected, atol=1e-12)


def test_opo_weighs_the_mean_by_tokens():
    # 1 with one token, 0 with three: mean 1/4.
    of = outcomes(1.0, 0.0, response_tokens=[1, 3])
    assert advantage(of, "opo") == [0.75, -0.25]
    assert sentence("episode", credit(of, "opo").explain(0).facts["episode"]) == (
        "reward 1 against the group's mean over tokens 0.25"
    )


def test_opo_adds_the_tokens_of_a_trajectory():
    # 1 with 1 + 1 tokens, 0 with 2: mean 1/2.
    described = {"g": {"a": [("s", "go", 0.0), ("s", "go", 1.0)], "b": [("s", "go", 0.0)]}}
    assert advantage(steps(described, response_tokens=[1, 1, 2]), "opo") == [0.5, 0.5, -0.5]


def test_opo_without_any_token_is_zero():
    assert advantage(outcomes(1.0, 0.0, response_tokens=[0, 0]), "opo") == [0.0, 0.0]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_opo_with_equal_lengths_is_mean_only_grpo(rewards: list[float]):
    of = outcomes(*rewards, response_tokens=7)
    np.testing.assert_allclose(advantage(of, "opo"), advantage(of, "grpo", norm="mean"), atol=1e-12)


def test_gpg_makes_up_for_dead_groups():
    # 5 trajectories, 3 of them in a live group: α = 5/3 on 2/3, -1/3, -1/3.
    found = credit(steps(TWO), "gpg")
    assert found.advantage == pytest.approx([10 / 9, -5 / 9, -5 / 9, 0.0, 0.0])
    assert found.explain(0).facts["episode"]["alpha"] == pytest.approx(5 / 3)


def test_gpg_of_verl_counts_rewards_other_than_zero():
    # One of five is not 0: α = 5.
    found = advantage(steps(TWO), "gpg:verl")
    assert found == pytest.approx([10 / 3, -5 / 3, -5 / 3, 0.0, 0.0])


def test_gpg_divides_by_f():
    assert advantage(steps(TWO), "gpg", f_norm=5.0)[0] == pytest.approx(2 / 9)


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_gpg_without_dead_groups_is_mean_only_grpo(rewards: list[float]):
    of = outcomes(*rewards, 9.0)
    assert advantage(of, "gpg") == advantage(of, "grpo", norm="mean")


def test_passk_gives_the_best_what_it_has_over_the_second():
    # 4 over 3; all others 0. Deviation of 4, 3, 1, 0: mean 2, squares 10 over 3.
    of = outcomes(1.0, 4.0, 3.0, 0.0)
    assert advantage(of, "passk", norm="mean") == [0.0, 1.0, 0.0, 0.0]
    assert advantage(of, "passk", eps=0.0)[1] == pytest.approx(1 / np.sqrt(10 / 3))
    explained = credit(of, "passk").explain(1)
    assert explained.peers.select("trajectory_id", "weight", "value").rows() == [("g2", 1.0, 3.0)]
    assert sentence("episode", explained.facts["episode"]).startswith(
        "reward 4 against the best other reward 3, over the deviation"
    )


@pytest.mark.parametrize("rewards", [(1.0, 1.0, 0.0), (0.3, 0.1 + 0.2, 0.0), (1.0,), (0.0, 0.0)])
def test_passk_is_zero_where_two_are_best_or_there_is_no_other(rewards: Sequence[float]):
    assert advantage(outcomes(*rewards), "passk") == [0.0] * len(rewards)


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_passk_is_how_much_the_maximum_falls_without_a_trajectory(rewards: list[float]):
    found = advantage(outcomes(*rewards), "passk", norm="mean")
    expected = [max(rewards) - max(np.delete(rewards, k)) for k in range(len(rewards))]
    assert found == pytest.approx(expected)


def test_passk_over_first_rows_pays_the_first_row_alone():
    described = {"g": {"a": [("s", "go", 0.0), ("s", "go", 1.0)], "b": [("s", "go", 0.0)]}}
    found = advantage(steps(described), "passk:verl-agent-first-row", norm="mean")
    assert found == [1.0, 0.0, 0.0]


def test_passk_over_step_rows_is_zero_as_soon_as_the_best_has_two_steps():
    described = {"g": {"a": [("s", "go", 0.0), ("s", "go", 1.0)], "b": [("s", "go", 0.0)]}}
    assert advantage(steps(described), "passk:verl-agent") == [0.0, 0.0, 0.0]


def test_maxrl_is_in_units_of_the_mean():
    # One of four succeeds, mean 1/4: (1 - 1/4)/(1/4) = 3 and -1.
    assert advantage(outcomes(1.0, 0.0, 0.0, 0.0), "maxrl", eps=0.0) == [3.0, -1.0, -1.0, -1.0]
    # 0.25/(0.25 + 0.25)
    assert advantage(outcomes(1.0, 0.0, 0.0, 0.0), "maxrl", eps=0.25)[1] == -0.5


def test_maxrl_has_no_credit_where_the_mean_is_not_above_zero():
    assert advantage(outcomes(1.0, -1.0), "maxrl") == [0.0, 0.0]
    assert advantage(outcomes(0.0, -1.0), "maxrl") == [0.0, 0.0]
    # Divided by -1/2 all the same, the better of the two is blamed.
    assert advantage(outcomes(0.0, -1.0), "maxrl:skyrl", eps=0.0) == [-1.0, 1.0]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_maxrl_is_mean_only_grpo_over_the_mean(rewards: list[float]):
    of = outcomes(*rewards, 20.0)
    mean = np.mean([*rewards, 20.0])
    expected = np.array(advantage(of, "grpo", norm="mean")) / mean
    np.testing.assert_allclose(advantage(of, "maxrl", eps=0.0), expected, atol=1e-12)


def test_gdpo_adds_standardised_rewards():
    # R = 1, 0: z = ±1/sqrt(2). Style 0, 10: z = ∓1/sqrt(2). Weighted 3 to 1 the sum is ±sqrt(2),
    # its deviation 2: 1/sqrt(2).
    of = outcomes(1.0, 0.0, aux_reward_style=[0.0, 10.0])
    exact = {"eps": 0.0, "batch_eps": 0.0}
    found = credit(of, "gdpo", weights="reward=3, aux_reward_style=1", **exact)
    half = 1 / np.sqrt(2)
    assert found.advantage == pytest.approx([half, -half])
    assert found.terms["episode"].value == pytest.approx([1.5 * half, -1.5 * half])
    assert found.terms["aux_reward_style"].value == pytest.approx([-0.5 * half, 0.5 * half])
    # With equal weights they cancel: nothing is left to be divided.
    assert advantage(of, "gdpo", **exact) == [0.0, 0.0]


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_gdpo_of_one_reward_and_one_group_is_grpo(rewards: list[float]):
    of = outcomes(*rewards, aux_reward_style=0.5)
    # What is standardised already has the deviation 1.
    np.testing.assert_allclose(
        advantage(of, "gdpo", eps=0.0, batch_eps=0.0),
        advantage(of, "grpo", eps=0.0),
        rtol=1e-9,
        atol=1e-9,
    )


def test_gdpo_of_a_group_of_one_is_zero_in_every_term():
    found = credit(
        steps({**TWO, **group("one", 1.0)}, aux_reward_style=[1.0, 0, 0, 0, 1, 5]), "gdpo"
    )
    assert [term.value[-1] for term in found.terms.values()] == [0.0, 0.0]


def test_gdpo_refuses_weights_that_name_no_reward():
    for wrong in ("reward", "reward=much", "style=1"):
        with pytest.raises(ParameterError, match="weights: "):
            create("gdpo", {"weights": wrong})
    assert parse_weights(" ") == {}
    of = outcomes(1.0, 0.0, aux_reward_style=[0.0, 10.0])
    with pytest.raises(MissingInputError, match="`aux_reward_length` is not known in 2 of 2"):
        credit(of, "gdpo", weights="aux_reward_length=1")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("opo", "response_tokens"),
        ("reinforce\\+\\+", "response_tokens"),
        ("remax", "greedy_reward"),
        ("gdpo", "aux_reward_"),
    ],
)
def test_a_log_without_the_column_is_refused_in_one_sentence(name: str, column: str):
    method = name.replace("\\", "")
    params = {"batch_weight": "tokens"} if "reinforce" in name else {}
    with pytest.raises(MissingInputError, match=f"^{name} needs `{column}.*Hint: "):
        credit(outcomes(1.0, 0.0), method, **params)


@pytest.mark.parametrize(
    ("name", "column"), [("opo", "response_tokens"), ("remax", "greedy_reward")]
)
def test_a_gap_in_the_column_is_refused_with_its_place(name: str, column: str):
    of = outcomes(1.0, 0.0, **{column: [None, 3]})
    with pytest.raises(MissingInputError, match=f"`{column}` is not known in 1 of 2.*'g0'"):
        credit(of, name)


def test_equal_rewards_up_to_rounding_leave_nothing_to_normalise_over_the_log():
    # One group's rewards differ in the last bit. Divided by the deviation of that it would be 1.
    of = steps({**group("g", 0.3, 0.1 + 0.2, 0.3), **group("h", 1.0, 1.0)})
    assert advantage(of, "reinforce++-baseline", batch_eps=0.0) == [0.0] * 5
