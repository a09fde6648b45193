"""Sweeps over temperatures, what they say of the peers, and the error on held-out rollouts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, random_log, rows, steps

from workbench.analysis.tuning.held_out import HeldOut, held_out
from workbench.analysis.tuning.temperature import (
    BINS,
    SWEEP_LIMIT,
    Trial,
    overrides,
    sign_flips,
    similarity_spread,
    success_rates,
    sweep,
    swept,
)
from workbench.log.schema import validate
from workbench.log.steps import Index, Real, Steps
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.proximity import (
    PeerRule,
    peer_statistics,
    peer_weights,
    proximity_baseline,
    proximity_baselines,
)
from workbench.states.space import Space
from workbench.states.temperatures import STOPS, octaves, temperature_stops

PEERS: Sequence[PeerRule] = get_args(PeerRule)
TAU = 1 / math.log(2)  # e^(1/τ) = 2: an equal text counts twice as much as an orthogonal one


class Vectors:
    """An embedder with a vector for every text."""

    key = "vectors"
    counts_copies = False

    def __init__(self, vector: dict[str, Sequence[float]]) -> None:
        self._vector = vector

    def encode(self, texts: Sequence[str], count: Index, start: Index, progress: Any) -> Real:
        return np.array([self._vector[text] for text in texts], dtype=np.float64)


AXES = Vectors(dict(zip("pqrs", np.eye(4).tolist(), strict=True)))


def random_vectors(found: Steps, seed: int, width: int = 3) -> Vectors:
    """Unit vectors in all directions."""
    drawn = np.random.default_rng(seed)
    vector = {}
    for text in sorted(set(found.column("observation"))):
        one = drawn.normal(size=width)
        vector[text] = one / np.linalg.norm(one)
    return Vectors(vector)


def one_step(*trajectories: tuple[str, float]) -> Described:
    """One group of trajectories of one step each, given by text and reward."""
    return {"g": {f"t{k}": [(text, "x", r)] for k, (text, r) in enumerate(trajectories)}}


def held(found: Steps, embedder: Any, temperatures: Sequence[float], **fields: Any) -> HeldOut:
    method, space = ProxMO(**fields), Space(found, embedder=embedder)
    return held_out(method, method(found, space), space, temperatures)


def test_stops_are_eighths_of_an_octave_and_short():
    assert tuple(sorted(STOPS)) == STOPS
    assert 0.1 in STOPS
    assert 0.01 < STOPS[0] < 0.011
    assert 9.0 < STOPS[-1] < 10.0
    ratio = np.diff(np.log2(STOPS))
    assert ratio == pytest.approx(1 / 8, abs=1e-3)
    # Whole octaves are exact, so ten chains of squares make the grid; an address has six digits.
    assert [len(chain) for chain in octaves(STOPS)] == [len(STOPS) // 8] * 8
    assert all(float(f"{stop:.6g}") == stop for stop in STOPS)
    assert temperature_stops(0.05, 0.05) == (0.05,)


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


def mixed_log() -> Described:
    return {
        "few": {"f0": [("p", "x", 1.0)], "f1": [("q", "x", 0.0)]},
        "equal": {f"e{k}": [("p", "x", 1.0)] for k in range(4)},
        "good": {f"g{k}": [("p", "x", float(k == 0))] for k in range(3)},
    }


def test_groups_that_say_nothing_are_left_out_and_counted():
    result = held(steps(mixed_log()), AXES, [0.1, 1.0])
    assert (result.steps, result.groups, result.few, result.equal) == (3, 1, 1, 1)
    # Returns 1, 0, 0 in one state: the others' means are 0, 1/2, 1/2.
    assert result.error.tolist() == pytest.approx([0.5, 0.5])
    # All similarities are equal, so no temperature is better than another.
    assert result.best is None
    assert "alike" in result.reason


def test_rollouts_that_count_in_no_statistics_are_neither_predicted_nor_averaged():
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


@pytest.mark.parametrize("peers", PEERS)
def test_a_sweep_is_the_credit_at_every_stop(peers: PeerRule):
    found = Steps.from_log(random_log(np.random.default_rng(3), rollouts=4, texts=8, dense=True))
    space = Space(found, embedder=random_vectors(found, 4))
    method = ProxMO(peers=peers, gamma=0.9, step_weight=2.0)
    trial = Trial(method(found, space), sweep(method, method(found, space), space, STOPS))
    for stop in STOPS:
        direct = ProxMO(peers=peers, gamma=0.9, step_weight=2.0, temperature=stop)(found, space)
        np.testing.assert_allclose(trial.advantage(stop), direct.advantage, rtol=0, atol=1e-10)


def test_squares_of_exponentials_stay_exact_over_ten_octaves():
    found = Steps.from_log(random_log(np.random.default_rng(3), rollouts=4, texts=8, dense=True))
    similarity = Space(found, embedder=random_vectors(found, 4)).similarity()
    temperatures = [10.0 / 2**k for k in range(40)]  # down to 1e-11: most weights underflow to 0
    for peers in PEERS:
        together, _ = proximity_baselines(
            similarity,
            found,
            found.reward,
            np.ones(len(found)),
            temperatures=temperatures,
            peers=peers,
        )
        for temperature, baseline in zip(temperatures[:11], together, strict=False):
            alone, _ = proximity_baseline(
                similarity,
                found,
                found.reward,
                np.ones(len(found)),
                temperature=temperature,
                peers=peers,
            )
            np.testing.assert_allclose(baseline, alone, rtol=0, atol=1e-10)
        assert np.isfinite(together).all()


@settings(deadline=None, max_examples=60)
@given(
    described_logs(texts="abc"),
    st.sampled_from(PEERS),
    st.sampled_from([0.05, 0.4, 100.0]),
    st.integers(0, 2**32 - 1),
)
def test_statistics_of_peers_are_those_of_their_weights(
    described: Described, peers: PeerRule, temperature: float, seed: int
):
    found = steps(described)
    similarity = Space(found, embedder=random_vectors(found, seed)).similarity()
    weight = np.random.default_rng(seed).integers(0, 3, len(found)).astype(np.float64)
    result = peer_statistics(similarity, found, weight, temperatures=[temperature], peers=peers)
    for step in range(len(found)):
        at, share, _ = peer_weights(
            similarity, found, weight, step, temperature=temperature, peers=peers
        )
        own = found.trajectory[at] == found.trajectory[step]
        effective = 1 / (share**2).sum() if len(share) else 0.0
        assert result.own_step[0, step] == pytest.approx(share[at == step].sum(), abs=1e-12)
        assert result.own_trajectory[0, step] == pytest.approx(share[own].sum(), abs=1e-12)
        assert result.effective[0, step] == pytest.approx(effective, rel=1e-9)


def test_medians_of_a_sweep_by_hand():
    found = steps(one_step(("p", 1.0), ("q", 0.0), ("r", 0.0)))
    method, space = ProxMO(), Space(found, embedder=AXES)
    result = sweep(method, method(found, space), space, [TAU])
    # Three states at right angles: a step counts 2, the others 1 each; 1/Σw² = 16/(4 + 1 + 1).
    assert result.own_step.tolist() == pytest.approx([0.5])
    assert result.own_trajectory.tolist() == pytest.approx([0.5])
    assert result.effective.tolist() == pytest.approx([16 / 6])


def test_peers_in_the_same_state_know_no_temperature():
    found = steps(one_step(("p", 1.0), ("p", 0.0), ("q", 0.0)))
    method, space = ProxMO(peers="same_state"), Space(found, embedder=AXES)
    credit = method(found, space)
    trial = Trial(credit, sweep(method, credit, space, STOPS))
    np.testing.assert_array_equal(trial.advantage(STOPS[0]), credit.advantage)
    np.testing.assert_array_equal(trial.advantage(STOPS[-1]), credit.advantage)
    assert np.isnan(trial.sweep.effective).all()


def test_another_temperature_costs_no_new_similarity():
    found = Steps.from_log(random_log(np.random.default_rng(3), dense=True))
    space, method = Space(found, embedder=random_vectors(found, 4)), ProxMO()
    credit = method(found, space)
    first = sweep(method, credit, space, STOPS)
    # With the vectors spoilt, only similarities that were kept can give the same numbers.
    space.similarity().vectors[:] = np.nan
    again = sweep(method, credit, space, STOPS)
    assert first.baseline.tobytes() == again.baseline.tobytes()
    assert first.effective.tobytes() == again.effective.tobytes()


def test_two_runs_have_the_same_bytes():
    found, vectors = noisy_circle()
    one, other = held(found, vectors, STOPS), held(found, vectors, STOPS)
    assert one.error.tobytes() == other.error.tobytes()
    assert one.reason == other.reason


def test_a_histogram_counts_every_step_with_credit():
    found = Steps.from_log(random_log(np.random.default_rng(3), dense=True))
    method, space = ProxMO(), Space(found, embedder=random_vectors(found, 4))
    credit = method(found, space)
    trial = Trial(credit, sweep(method, credit, space, STOPS))
    assert trial.edges.shape == (BINS + 1,)
    assert trial.edges.tolist() == pytest.approx((-trial.edges[::-1]).tolist())
    advantage = trial.advantage(0.1)
    assert trial.histogram(advantage).sum() == (np.abs(advantage) > 1e-12).sum()
    # What lies beyond the edges is in the outermost bins, and 0 in none.
    counts = trial.histogram(np.array([-1e6, 0.0, 1e6, 1e6]))
    assert (counts[0], counts[-1], counts.sum()) == (1, 2, 3)


def test_a_log_without_credit_has_a_histogram_of_nothing():
    found = steps(one_step(("p", 1.0), ("q", 1.0), ("r", 1.0)))
    method, space = ProxMO(), Space(found, embedder=AXES)
    credit = method(found, space)
    trial = Trial(credit, sweep(method, credit, space, STOPS))
    assert trial.advantage(0.1).tolist() == [0.0] * 3
    assert (trial.edges[0], trial.edges[-1]) == (-1.0, 1.0)
    assert trial.histogram(trial.advantage(0.1)).sum() == 0


def test_a_sign_flips_only_across_zero():
    # + against −, − against +; a zero on one side, and equal signs, do not count.
    now, pinned = np.array([1.0, -1.0, 0.0, 1.0, 2.0]), np.array([-1.0, 3.0, 1.0, 0.0, 1.0])
    assert sign_flips(now, pinned) == 2
    assert sign_flips(now, now) == 0


def test_spread_is_the_deviation_of_similarities_between_states():
    # p·q = 1, p·r = 0, q·r = 0 in g: variance 2/9. The second group has too few states.
    two = {"p": [1.0, 0.0], "q": [1.0, 0.0], "r": [0.0, 1.0], "s": [0.0, 1.0]}
    described = one_step(("p", 0.0), ("q", 0.0), ("r", 0.0))
    described = {**described, "h": {"u": [("p", "x", 0.0)], "v": [("s", "x", 0.0)]}}
    similarity = Space(steps(described), embedder=Vectors(two)).similarity()
    assert similarity_spread(similarity) == pytest.approx(math.sqrt(2) / 3)
    few = Space(steps(one_step(("p", 0.0), ("q", 0.0))), embedder=Vectors(two)).similarity()
    assert similarity_spread(few) is None


def test_success_rates_are_of_groups():
    found = steps(mixed_log())
    rate, groups = success_rates(ProxMO()(found, Space(found, embedder=AXES)))
    assert rate.tolist() == pytest.approx([1 / 3, 1 / 2, 1.0])
    assert groups.tolist() == [1, 1, 1]
    unknown = steps(one_step(("p", 7.0), ("q", 3.0)))
    assert len(success_rates(ProxMO()(unknown, Space(unknown, embedder=AXES)))[0]) == 0


def test_only_fields_that_differ_are_overrides():
    assert overrides({"temperature": 0.1, "gamma": 0.9, "peers": "all"}) == {"gamma": 0.9}


def test_a_long_log_or_an_odd_temperature_is_swept_alone():
    assert swept(0.1, 100) == STOPS
    assert swept(0.123, 100) == (0.123,)
    assert swept(0.1, SWEEP_LIMIT) == (0.1,)
