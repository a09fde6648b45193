"""Controls worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import advantage
from logs import Described, random_log, steps

from workbench.log.steps import Steps
from workbench.methods.controls import noise

TWO: Described = {
    "g": {
        "t0": [("hall", "go", 0.0), ("door", "open", 1.0)],
        "t1": [("hall", "stay", 0.0), ("hall", "stay", 0.0), ("hall", "go", 0.0)],
    }
}


def test_step_index_is_compared_with_the_group():
    # Places 0 1 0 1 2, mean 0.8.
    assert advantage(steps(TWO), "step-index") == pytest.approx([-0.8, 0.2, -0.8, 0.2, 1.2])


def test_return_to_go_is_compared_with_the_group():
    # γ ½: returns ½ 1 0 0 0, mean 0.3.
    found = advantage(steps(TWO), "return-to-go", gamma=0.5)
    assert found == pytest.approx([0.2, 0.7, -0.3, -0.3, -0.3])


def test_the_mean_of_a_trajectory_is_the_same_for_each_of_its_steps():
    # Of that: (0.2 + 0.7) / 2 and -0.3.
    found = advantage(steps(TWO), "trajectory", of="return-to-go")
    plain = advantage(steps(TWO), "return-to-go")
    assert found[0] == found[1] == pytest.approx(plain[:2].mean())
    assert found[2:] == pytest.approx([plain[2:].mean()] * 3)


def test_shuffling_keeps_the_numbers_of_a_trajectory_and_moves_some():
    of = Steps.from_log(random_log(np.random.default_rng(0), groups=4, rollouts=5))
    moved, kept = advantage(of, "shuffled"), advantage(of, "gigpo")
    for trajectory in range(of.trajectories):
        here = of.trajectory == trajectory
        assert sorted(moved[here]) == sorted(kept[here])
    assert not np.array_equal(moved, kept)
    assert not np.array_equal(moved, advantage(of, "shuffled", seed=1))


def test_noise_is_uniform_and_a_function_of_seed_and_ids():
    of = Steps.from_log(random_log(np.random.default_rng(1), groups=200, rollouts=8))
    drawn = noise(of, 0)
    # The mean of n uniforms is ½ ± 1/sqrt(12 n); five of those are never left.
    assert abs(drawn.mean() - 0.5) < 5 / np.sqrt(12 * len(drawn))
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / np.sqrt(len(drawn))
    assert len(np.unique(drawn)) == len(drawn)
    assert np.array_equal(drawn, noise(of, 0))
    assert not np.array_equal(drawn, noise(of, 1))


def test_random_credit_is_standard_normal():
    of = Steps.from_log(random_log(np.random.default_rng(2), groups=200, rollouts=8))
    drawn = advantage(of, "random")
    assert abs(drawn.mean()) < 5 / np.sqrt(len(drawn))
    assert abs(drawn.std() - 1.0) < 5 / np.sqrt(2 * len(drawn))


def test_return_to_go_is_divided_by_its_deviation_on_request():
    plain = advantage(steps(TWO), "return-to-go", gamma=0.5)
    divided = advantage(steps(TWO), "return-to-go", gamma=0.5, norm="std", eps=0.0)
    # The gaps to the mean are what the deviation is made of.
    std = np.sqrt((plain**2).sum() / (len(plain) - 1))
    assert divided.tolist() == pytest.approx((plain / std).tolist())
