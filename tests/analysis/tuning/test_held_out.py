"""The error on held-out rollouts, by hand and where nearness helps or misleads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from logs import random_log, rows, steps
from similarities import proximity_baseline
from vectors import AXES, TAU, Vectors, mixed_log, one_step, random_vectors

from workbench.analysis.tuning.held_out import HeldOut, held_out
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.space import Space
from workbench.states.temperatures import STOPS


def held(found: Steps, embedder: Any, temperatures: Sequence[float], **fields: Any) -> HeldOut:
    method, space = ProxMO(**fields), Space(found, embedder=embedder)
    return held_out(method, method(found, space), space, temperatures)


def test_error_by_hand():
    # Others of step 0 (text p, return 1): p with 0 counts 2, q with 4 counts 1: 4/3, error 1/9.
    # Of step 1 (p, 0): p with 1 counts 2, q with 4 counts 1: 2, error 4.
    # Of step 2 (q, 4): both p count 1: 1/2, error 49/4.
    # Plain means are 2, 5/2, 1/2: errors 1, 25/4, 49/4.
    found = steps(one_step(("p", 1.0), ("p", 0.0), ("q", 4.0)))
    result = held(found, AXES, [TAU])
    assert result.error.tolist() == pytest.approx([(1 / 9 + 4 + 49 / 4) / 3], rel=1e-12)
    assert result.plain == pytest.approx((1 + 25 / 4 + 49 / 4) / 3, rel=1e-12)
    assert (result.steps, result.groups, result.few, result.equal) == (3, 1, 0, 0)
    assert result.tied is None


def test_an_own_trajectory_says_nothing_about_its_steps():
    # t0 has two steps in state p; its own return must not be among its peers.
    found = steps(
        {
            "g": {
                "t0": [("p", "x", 0.0), ("p", "x", 8.0)],
                "t1": [("q", "x", 1.0)],
                "t2": [("q", "x", 3.0)],
            }
        }
    )
    # Returns 8, 8, 1, 3 (γ 1). For t0: (1 + 3)/2 = 2, twice; for t1: q 3 counts 2, p 8 twice 1:
    # 22/4; for t2: (2·1 + 8 + 8)/4 = 18/4.
    expected = (36 + 36 + 4.5**2 + 1.5**2) / 4
    assert held(found, AXES, [TAU], gamma=1.0).error.tolist() == pytest.approx([expected])


def noisy_circle() -> tuple[Steps, Vectors]:
    """Returns that change slowly with an angle, and noise: neither nearest nor all is best."""
    drawn = np.random.default_rng(7)
    vector, groups = {}, {}
    for group in range(6):
        members = {}
        for trajectory in range(24):
            angle = drawn.uniform(0, 2 * math.pi)
            text = f"{group} {trajectory}"
            vector[text] = [math.cos(angle), math.sin(angle)]
            reward = math.sin(angle) + drawn.normal(0, 1.0)
            members[f"g{group}/t{trajectory}"] = [(text, "x", reward)]
        groups[f"g{group}"] = members
    return steps(groups), Vectors(vector)


def test_a_middle_temperature_is_found_where_one_is_best():
    found, vectors = noisy_circle()
    result = held(found, vectors, STOPS)
    assert result.best is not None
    assert 0.03 < result.best < 3.0
    assert result.error.min() < 0.9 * result.plain
    assert result.tied is not None
    assert result.tied[0] <= result.best <= result.tied[1]
    assert result.tied != (STOPS[0], STOPS[-1])
    assert f"τ {result.best:.4g} predicts returns best" in result.reason
    assert "below their plain mean" in result.reason


def test_a_hot_baseline_has_the_error_of_the_plain_mean():
    found, vectors = noisy_circle()
    assert held(found, vectors, [1e9]).error[0] == pytest.approx(held(found, vectors, [1.0]).plain)


def test_the_error_of_all_stops_is_that_of_one_after_the_other():
    found = Steps.from_log(random_log(np.random.default_rng(1), rollouts=5, dense=True))
    vectors = random_vectors(found, 2)
    together = held(found, vectors, STOPS)
    similarity = Space(found, embedder=vectors).similarity()
    method = ProxMO()
    score, ones = method.step_score(found), np.ones(len(found))
    for stop, error in zip(STOPS, together.error, strict=True):
        baseline, _ = proximity_baseline(
            similarity, found, score, ones, temperature=stop, peers="other_trajectories"
        )
        assert error == pytest.approx(((score - baseline) ** 2).mean(), abs=1e-10)


def test_groups_that_say_nothing_are_left_out_and_counted():
    result = held(steps(mixed_log()), AXES, [0.1, 1.0])
    assert (result.steps, result.groups, result.few, result.equal) == (3, 1, 1, 1)
    # Returns 1, 0, 0 in one state: the others' means are 0, 1/2, 1/2.
    assert result.error.tolist() == pytest.approx([0.5, 0.5])
    # All similarities are equal, so no temperature is better than another.
    assert result.best is None
    assert "alike" in result.reason


def test_uncounted_rollouts_are_neither_predicted_nor_averaged():
    frame = rows(one_step(("p", 1.0), ("p", 0.0), ("p", 0.0), ("p", 50.0)))
    counts = [True, True, True, False]
    found = Steps.from_log(validate(frame.with_columns(in_group_statistics=np.array(counts))).log)
    result = held(found, AXES, [1.0])
    assert (result.steps, result.error[0]) == (3, pytest.approx(0.5))
    frame = frame.with_columns(in_group_statistics=np.array([True, True, False, False]))
    assert held(Steps.from_log(validate(frame).log), AXES, [1.0]).few == 1


def test_a_log_without_three_rollouts_says_so():
    result = held(steps(one_step(("p", 1.0), ("q", 0.0))), AXES, STOPS)
    assert (result.steps, result.best) == (0, None)
    assert np.isnan(result.error).all()
    assert "No group can be held out: 1 have fewer than 3 scored rollouts" in result.reason


def test_nearness_that_misleads_is_said():
    # Equal texts have opposite returns, so the coldest is worst and the plain mean best.
    described = one_step(*((text, reward) for text in "pqrs" for reward in (1.0, -1.0)))
    result = held(steps(described), AXES, STOPS)
    assert "No τ predicts better than the plain mean" in result.reason


def test_two_runs_have_the_same_bytes():
    found, vectors = noisy_circle()
    one, other = held(found, vectors, STOPS), held(found, vectors, STOPS)
    assert one.error.tobytes() == other.error.tobytes()
    assert one.reason == other.reason


def test_the_present_value_is_kept_where_it_is_within_one_standard_error():
    found, vectors = noisy_circle()
    best = held(found, vectors, STOPS).best
    assert best is not None
    method = ProxMO(temperature=best * 1.05)
    space = Space(found, embedder=vectors)
    near = held_out(method, method(found, space), space)
    # It is none of the stops, and is tried beside them.
    assert method.temperature in near.values
    assert near.recommended == method.temperature
    assert near.kept
    assert "and is kept" in near.reason
    method = ProxMO(temperature=0.01)
    far = held_out(method, method(found, space), space)
    assert far.recommended == far.best
    assert not far.kept
