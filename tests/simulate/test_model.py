"""Exact values, visits and gradients of small models by hand, by recursion and by sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.simulate import (
    END,
    WORLDS,
    Model,
    World,
    action_values,
    drawn_tasks,
    policy_gradient,
    policy_values,
    sampled_returns,
)
from workbench.simulate.model import (
    FloatArray,
    mixed_policy,
    progress_reward,
    state_visits,
    steps_to_end,
)


def tiny_model() -> Model:
    """State 0: wait, or go to state 1, which works half of the time. State 1: finish and earn 1."""
    return Model(
        offsets=np.array([0, 2, 3]),
        action=np.array([0, 1, 2]),
        next_state=np.array([[0, 0], [1, 0], [END, END]]),
        probability=np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]),
        reward=np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]),
    )


TINY_POLICY = np.array([0.5, 0.5, 1.0])


def random_model(rng: np.random.Generator) -> tuple[Model, FloatArray]:
    counts = rng.integers(1, 4, size=4)
    pairs = int(counts.sum())
    model = Model(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        action=np.arange(pairs),
        next_state=rng.integers(-1, 4, size=(pairs, 3)),
        probability=rng.dirichlet(np.ones(3), size=pairs),
        reward=rng.normal(size=(pairs, 3)),
    )
    weight = rng.random(pairs) + 0.1
    totals = np.add.reduceat(weight, model.offsets[:-1])
    return model, weight / np.repeat(totals, counts)


def value_by_recursion(
    model: Model, policy: FloatArray, state: int, left: int, gamma: float
) -> float:
    if state == END or left == 0:
        return 0.0
    return sum(
        policy[pair]
        * probability
        * (reward + gamma * value_by_recursion(model, policy, int(following), left - 1, gamma))
        for pair in range(model.offsets[state], model.offsets[state + 1])
        for probability, reward, following in zip(
            model.probability[pair], model.reward[pair], model.next_state[pair], strict=True
        )
    )


def test_values_of_a_tiny_world_by_hand() -> None:
    value = policy_values(tiny_model(), TINY_POLICY, horizon=3, gamma=1.0)
    # One step left: only state 1 can finish. Two left, state 0: go (1/2) and arrive (1/2) = 1/4.
    # Three left, state 0: wait keeps 1/4; go gives 1/2 · 1 + 1/2 · 1/4 = 5/8; half of both 7/16.
    assert value.tolist() == [[7 / 16, 1.0], [1 / 4, 1.0], [0.0, 1.0], [0.0, 0.0]]
    # Against 7/16: wait 4/16 - 7/16, go 10/16 - 7/16; a single choice has no advantage.
    quality = action_values(tiny_model(), value[1], gamma=1.0)
    assert (quality - value[0, [0, 0, 1]]).tolist() == [-3 / 16, 3 / 16, 0.0]


def test_values_of_a_tiny_world_with_discount_by_hand() -> None:
    value = policy_values(tiny_model(), TINY_POLICY, horizon=3, gamma=0.5)
    # Two left: 1/2 · 1/2 · γ = 1/8. Three left: wait γ/8 = 1/16, go γ(1/2 + 1/16) = 9/32;
    # half of both is 11/64.
    assert value[:, 0].tolist() == [11 / 64, 1 / 8, 0.0, 0.0]


def test_no_steps_left_means_no_value() -> None:
    assert policy_values(tiny_model(), TINY_POLICY, horizon=0, gamma=1.0).tolist() == [[0.0, 0.0]]


def test_a_policy_may_change_with_time() -> None:
    # Wait first, then go: only the second step can reach state 1, the third finishes: 1/2.
    policy = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    assert policy_values(tiny_model(), policy, horizon=3, gamma=1.0)[0, 0] == 0.5


def test_fewest_steps_to_the_end_by_hand() -> None:
    # Finish is the last step, go comes before it, wait before that.
    assert steps_to_end(tiny_model()).tolist() == [3.0, 2.0, 1.0]


def test_a_mixture_of_good_and_blind_choice_by_hand() -> None:
    # State 0: blind ½ each, of weight ½, and the other ½ on going. State 1 has one action.
    best = np.array([False, True, True])
    assert mixed_policy(tiny_model(), best, 0.5).tolist() == [1 / 4, 3 / 4, 1.0]


def test_an_end_out_of_reach_is_infinitely_far() -> None:
    model = Model(
        offsets=np.array([0, 1]),
        action=np.array([0]),
        next_state=np.array([[0]]),
        probability=np.array([[1.0]]),
        reward=np.array([[0.0]]),
    )
    assert steps_to_end(model).tolist() == [np.inf]


@given(seed=st.integers(0, 2**32), gamma=st.floats(0.0, 1.0))
def test_backward_induction_equals_plain_recursion(seed: int, gamma: float) -> None:
    model, policy = random_model(np.random.default_rng(seed))
    value = policy_values(model, policy, horizon=3, gamma=gamma)
    for state in range(model.states):
        expected = value_by_recursion(model, policy, state, 3, gamma)
        assert value[0, state] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("offsets", np.array([0, 0, 3])),
        ("offsets", np.array([0, 2, 4])),
        ("next_state", np.array([[0, 0], [2, 0], [END, END]])),
        ("next_state", np.array([[0], [1], [END]])),
        ("probability", np.array([[1.0, 0.0], [0.5, 0.4], [1.0, 0.0]])),
        ("probability", np.array([[1.0, 0.0], [1.5, -0.5], [1.0, 0.0]])),
    ],
)
def test_tables_that_make_no_sense_are_refused(field: str, wrong: FloatArray) -> None:
    tables = {**vars(tiny_model()), field: wrong}
    with pytest.raises(ValueError, match=r"must|needs"):
        Model(**tables)


def test_a_policy_that_does_not_sum_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match="does not sum to 1"):
        policy_values(tiny_model(), np.array([0.5, 0.4, 1.0]), horizon=1, gamma=1.0)


def test_visits_of_a_tiny_world_by_hand() -> None:
    visits = state_visits(tiny_model(), TINY_POLICY, start=0, horizon=3)
    # From state 0: wait 1/2 and a failed go 1/4 stay, 1/4 arrives. Then 3/4 · (3/4, 1/4), and what
    # was in state 1 has ended.
    assert visits.tolist() == [[1.0, 0.0], [3 / 4, 1 / 4], [9 / 16, 3 / 16]]


@given(seed=st.integers(0, 2**32), gamma=st.floats(0.0, 1.0))
def test_visits_and_rewards_sum_to_the_value(seed: int, gamma: float) -> None:
    # Two ways to the same number: backwards through values, forwards through visits.
    model, policy = random_model(np.random.default_rng(seed))
    visits = state_visits(model, policy, start=1, horizon=4)
    reward = action_values(model, np.zeros(model.states), gamma=gamma)
    expected = np.add.reduceat(policy * reward, model.offsets[:-1])
    total = sum(gamma**time * visits[time] @ expected for time in range(4))
    value = policy_values(model, policy, horizon=4, gamma=gamma)
    assert total == pytest.approx(value[0, 1], abs=1e-12)


@given(seed=st.integers(0, 2**32), gamma=st.floats(0.0, 1.0))
def test_the_exact_gradient_equals_finite_differences_of_the_value(seed: int, gamma: float) -> None:
    model, policy = random_model(np.random.default_rng(seed))
    logits, size = np.log(policy), 1e-5

    def value(moved: FloatArray) -> float:
        weight = np.exp(moved)
        total = np.add.reduceat(weight, model.offsets[:-1])
        chosen = weight / np.repeat(total, np.diff(model.offsets))
        return float(policy_values(model, chosen, horizon=3, gamma=gamma)[0, 2])

    gradient = policy_gradient(model, policy, start=2, horizon=3, gamma=gamma)
    for pair, step in enumerate(size * np.eye(len(policy))):
        slope = (value(logits + step) - value(logits - step)) / (2 * size)
        assert gradient[pair] == pytest.approx(slope, abs=1e-7)


def test_rewards_for_progress_by_hand() -> None:
    # Half of the reward for progress: up to ½, back to 0, and from ½ to the solution.
    solved = np.array([False, False, True])
    before, after = np.array([0.0, 0.5, 0.5]), np.array([0.5, 0.0, 1.0])
    # 0 + ½ · ½, 0 - ½ · ½, ½ + ½ · ½.
    assert progress_reward(solved, before, after, 0.5).tolist() == [0.25, -0.25, 0.75]
    assert progress_reward(solved, before, after, 0.0).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("name", sorted(WORLDS))
@pytest.mark.parametrize("milestones", [0.0, 0.5])
def test_exact_values_agree_with_a_hundred_thousand_rollouts(name: str, milestones: float) -> None:
    kind = WORLDS[name]
    world: World = kind(**{**kind.study.base, "milestones": milestones})
    for index, task in enumerate(drawn_tasks(world, 5, 3)):
        value = policy_values(task.model, task.policy, horizon=world.horizon, gamma=0.95)
        returns = sampled_returns(
            task.model,
            task.policy,
            state=task.start,
            steps=world.horizon,
            gamma=0.95,
            samples=100_000,
            rng=np.random.default_rng(index),
        )
        error = returns.std(ddof=1) / np.sqrt(len(returns))
        # 20 such comparisons: beyond 4 standard errors in one of 800 sound runs.
        assert abs(returns.mean() - value[0, task.start]) < 4 * error
