"""Sweeps over temperatures, and what they say of the peers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, random_log, steps
from similarities import proximity_baseline
from vectors import AXES, TAU, Vectors, mixed_log, one_step, random_vectors

from workbench.analysis.tuning.temperature import (
    BINS,
    SWEEP_LIMIT,
    Trial,
    edges,
    histogram,
    sign_flips,
    similarity_spread,
    success_rates,
    sweep,
    swept,
)
from workbench.log.steps import Steps
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.peer_rows import PeerRule
from workbench.states.proximity import (
    peer_statistics,
    peer_weights,
    proximity_baselines,
)
from workbench.states.space import Space
from workbench.states.temperatures import STOPS

PEERS: Sequence[PeerRule] = get_args(PeerRule)


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


def test_a_histogram_counts_every_step_with_credit():
    found = Steps.from_log(random_log(np.random.default_rng(3), dense=True))
    method, space = ProxMO(), Space(found, embedder=random_vectors(found, 4))
    credit = method(found, space)
    trial = Trial(credit, sweep(method, credit, space, STOPS))
    bins = edges(trial.largest)
    assert bins.shape == (BINS + 1,)
    assert bins.tolist() == pytest.approx((-bins[::-1]).tolist())
    advantage = trial.advantage(0.1)
    assert histogram(bins, advantage).sum() == (np.abs(advantage) > 1e-12).sum()
    # What lies beyond the edges is in the outermost bins, and 0 in none.
    counts = histogram(bins, np.array([-1e6, 0.0, 1e6, 1e6]))
    assert (counts[0], counts[-1], counts.sum()) == (1, 2, 3)


def test_a_log_without_credit_has_a_histogram_of_nothing():
    found = steps(one_step(("p", 1.0), ("q", 1.0), ("r", 1.0)))
    method, space = ProxMO(), Space(found, embedder=AXES)
    credit = method(found, space)
    trial = Trial(credit, sweep(method, credit, space, STOPS))
    assert trial.advantage(0.1).tolist() == [0.0] * 3
    bins = edges(trial.largest)
    assert (bins[0], bins[-1]) == (-1.0, 1.0)
    assert histogram(bins, trial.advantage(0.1)).sum() == 0


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


def test_a_long_log_or_an_odd_temperature_is_swept_alone():
    assert swept(0.1, 100) == STOPS
    assert swept(0.123, 100) == (0.123,)
    assert swept(0.1, SWEEP_LIMIT) == (0.1,)


def test_a_step_and_its_rollout_have_weights_of_their_own_by_hand():
    # Three steps in one state: each weighs 1/3, and a's two steps together 2/3.
    # Medians over (a, a, b): of the step 1/3, 1/3, 1/3; of its rollout 2/3, 2/3, 1/3.
    found = steps({"g": {"a": [("p", "go", 0.0), ("p", "go", 1.0)], "b": [("p", "go", 0.0)]}})
    method, space = ProxMO(), Space(found, embedder=AXES)
    result = sweep(method, method(found, space), space, [TAU, 2 * TAU])
    assert result.own_step.tolist() == pytest.approx([1 / 3] * 2)
    assert result.own_trajectory.tolist() == pytest.approx([2 / 3] * 2)
    assert result.effective.tolist() == pytest.approx([3.0] * 2)
