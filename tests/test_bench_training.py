"""Training on credit: the policy's gradient, the episodes, the way through the export, the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from workbench.bench import conditions
from workbench.bench.episodes import play, step_log
from workbench.bench.policies import Adam, LinearPolicy
from workbench.bench.prompts import Decision, decisions_of, prompt
from workbench.bench.runs import exported, learn
from workbench.estimators import create
from workbench.simulate import Task, drawn_tasks, policy_values

WORLD = conditions(["household"], ["base"])[0].world
HORIZON = WORLD.horizon

DECISIONS = [
    Decision("put a mug on the desk", "You see a mug 1.", (), ("take mug 1", "look", "go to desk 1")),
    Decision("put a mug on the desk", "You hold it.", ("take mug 1",), ("look", "go to desk 1")),
    Decision("find two eggs", "Nothing.", ("look", "look"), ("open fridge 1",)),
]


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return list(drawn_tasks(WORLD, 3, 0))


def random_policy(seed: int) -> LinearPolicy:
    policy = LinearPolicy()
    policy.weights = np.random.default_rng(seed).normal(0.0, 0.1, policy.weights.shape)
    return policy


def objective(policy: LinearPolicy, chosen: np.ndarray, weight: np.ndarray) -> float:
    start = np.array([0, 3, 5])
    return float(weight @ np.log(policy.probabilities(DECISIONS)[start + chosen]))


def test_the_gradient_is_that_of_finite_differences() -> None:
    policy, chosen, weight = random_policy(0), np.array([2, 0, 0]), np.array([0.7, -1.3, 2.0])
    gradient = policy.gradient(DECISIONS, chosen, weight)
    # The third decision has one option, so that nothing can be learned from it.
    touched = np.argwhere(gradient != 0.0)
    assert len(touched) > 50
    for row, column in touched[:: len(touched) // 40]:
        either = []
        for step in (1e-6, -1e-6):
            moved = random_policy(0)
            moved.weights[row, column] += step
            either.append(objective(moved, chosen, weight))
        assert gradient[row, column] == pytest.approx((either[0] - either[1]) / 2e-6, abs=1e-7)


def test_an_untrained_policy_likes_all_options_alike() -> None:
    expected = [1 / 3] * 3 + [1 / 2] * 2 + [1.0]
    assert LinearPolicy().probabilities(DECISIONS).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_makes_what_has_credit_likelier_and_what_has_debit_less_likely(sign: float) -> None:
    policy = random_policy(1)
    before = policy.probabilities(DECISIONS)
    policy.restart(0.01)
    policy.learn(DECISIONS[:2], np.array([2, 1]), sign * np.ones(2))
    moved = (policy.probabilities(DECISIONS) - before) * sign
    assert moved[2] > 0
    assert moved[4] > 0
    assert moved[3] < 0


def test_adam_by_hand() -> None:
    # First step: m̂ = g, v̂ = g², so rate · sign(g), whatever the size of g.
    adam = Adam(0.5)
    assert adam.step(np.array([4.0, -0.01, 0.0])).tolist() == pytest.approx([0.5, -0.5, 0.0], rel=1e-5)
    # Second: m = .9·.4 + .1·(-4) = -.04, over 1 - .81; v = .016·1.999…: v̂ = 16.
    assert adam.step(np.array([-4.0, 0.0, 0.0]))[0] == pytest.approx(0.5 * (-0.04 / 0.19) / 4.0)


def test_a_conversation_holds_every_decision() -> None:
    decisions = [DECISIONS[0], DECISIONS[1]]
    messages = [*prompt(decisions), {"role": "assistant", "content": "look"}]
    assert [message["role"] for message in messages] == [
        "system",
        *["user", "assistant"] * 2,
    ]
    assert decisions_of(messages) == (decisions, [0, 0])


class Uniform:
    """Every option alike."""

    def probabilities(self, decisions: Sequence[Decision]) -> np.ndarray:
        return np.concatenate([np.full(len(d.options), 1 / len(d.options)) for d in decisions])


@pytest.mark.parametrize("own", [False, True])
def test_episodes_succeed_as_often_as_exact_values_say(own: bool, tasks: list[Task]) -> None:
    # A horizon that blind choice reaches now and then; milestones make success rarer than reward.
    horizon, episodes = 60, 400
    played = play(
        tasks,
        None if own else Uniform(),  # type: ignore[arg-type]
        episodes=episodes,
        horizon=horizon,
        seed=[0],
    )
    for number, task in enumerate(tasks):
        size = np.diff(task.model.offsets)
        policy = task.policy if own else np.repeat(1 / size, size)
        exact = policy_values(task.model, policy, horizon=horizon, gamma=1.0)[0, task.start]
        share = np.mean([each.success for each in played if each.task == number])
        assert share == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / episodes) + 1e-3)
