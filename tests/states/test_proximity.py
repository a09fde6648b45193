"""Baselines over near states: by hand, pair by pair, and at the ends of the temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, random_log, steps
from similarities import proximity_baseline, random_similarity, similarity_of

from workbench.log.segments import segment_mean
from workbench.log.steps import Real, Steps
from workbench.states import peer_rows
from workbench.states.keys import labels
from workbench.states.peer_rows import PeerRule
from workbench.states.proximity import peer_weights
from workbench.states.similarity import Similarity

PEERS: Sequence[PeerRule] = get_args(PeerRule)


def are_peers(found: Steps, one: int, other: int, peers: PeerRule) -> bool:
    if found.group[one] != found.group[other]:
        return False
    return {
        "all": True,
        "other_steps": one != other,
        "other_trajectories": bool(found.trajectory[one] != found.trajectory[other]),
        "same_step": bool(found.step_index[one] == found.step_index[other]),
    }[peers]


def brute_force(
    similarity: Similarity,
    found: Steps,
    value: Real,
    weight: Real,
    *,
    temperature: float,
    peers: PeerRule,
) -> tuple[list[float], list[bool]]:
    """The formula, pair by pair over all S × S steps."""
    vectors, state = similarity.vectors, similarity.states.state
    baseline, has_peers = [], []
    for one in range(len(found)):
        above, below = 0.0, 0.0
        for other in range(len(found)):
            if are_peers(found, one, other, peers):
                cosine = float(vectors[state[one]] @ vectors[state[other]])
                share = float(weight[other]) * math.exp(cosine / temperature)
                above += share * float(value[other])
                below += share
        baseline.append(above / below if below else 0.0)
        has_peers.append(below > 0)
    return baseline, has_peers


# Steps 0 and 1 are t0, 2 is t1; all of one group. Texts p and q are orthogonal.
HAND: Described = {"g": {"t0": [("p", "x", 1.0), ("q", "x", 2.0)], "t1": [("p", "x", 4.0)]}}
AXES = {"p": [1.0, 0.0], "q": [0.0, 1.0]}
TAU = 1 / math.log(2)  # e^(1/τ) = 2: an equal text counts twice as much as an orthogonal one


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        # For p: p, q, p have 2, 1, 2: (2·1 + 1·2 + 2·4) / 5. For q: 1, 2, 1: (1 + 4 + 4) / 4.
        ("all", [12 / 5, 9 / 4, 12 / 5]),
        # Without itself: (1·2 + 2·4) / 3, (1 + 4) / 2, (2·1 + 1·2) / 3.
        ("other_steps", [10 / 3, 5 / 2, 4 / 3]),
        # Step 0 has only step 2, step 1 likewise, step 2 has p and q: (2·1 + 1·2) / 3.
        ("other_trajectories", [4.0, 4.0, 4 / 3]),
        # Index 0 is there twice with equal texts: (1 + 4) / 2. Step 1 is alone at index 1.
        ("same_step", [5 / 2, 2.0, 5 / 2]),
    ],
)
def test_baseline_by_hand(peers: PeerRule, expected: list[float]) -> None:
    found = steps(HAND)
    similarity = similarity_of(found, AXES)
    baseline, has_peers = proximity_baseline(
        similarity, found, found.reward, np.ones(3), temperature=TAU, peers=peers
    )
    assert baseline.tolist() == pytest.approx(expected, rel=1e-14)
    assert has_peers.all()


def test_weights_by_hand() -> None:
    found = steps(HAND)
    # Step 2 counts twice, step 0 not at all. For p: (1·2 + 2·2·4) / 5, for q: (2·2 + 1·2·4) / 4.
    baseline, _ = proximity_baseline(
        similarity_of(found, AXES),
        found,
        found.reward,
        np.array([0.0, 1.0, 2.0]),
        temperature=TAU,
        peers="all",
    )
    assert baseline.tolist() == pytest.approx([18 / 5, 3.0, 18 / 5], rel=1e-14)


@settings(deadline=None, max_examples=150)
@given(
    described_logs(texts="abc"),
    st.sampled_from(PEERS),
    st.sampled_from([0.05, 0.1, 1.0, 100.0]),
    st.integers(0, 2**32 - 1),
)
def test_baseline_equals_the_sum_over_all_pairs_of_steps(
    described: Described, peers: PeerRule, temperature: float, seed: int
) -> None:
    found, rng = steps(described), np.random.default_rng(seed)
    similarity = random_similarity(found, rng)
    value, weight = rng.normal(size=len(found)), rng.integers(0, 3, len(found)).astype(np.float64)
    baseline, has_peers = proximity_baseline(
        similarity, found, value, weight, temperature=temperature, peers=peers
    )
    expected, expected_peers = brute_force(
        similarity, found, value, weight, temperature=temperature, peers=peers
    )
    assert has_peers.tolist() == expected_peers
    assert baseline.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(described_logs(texts="abc"), st.sampled_from(PEERS), st.integers(0, 2**32 - 1))
def test_a_weight_counts_as_peers(described: Described, peers: PeerRule, seed: int) -> None:
    found, rng = steps(described), np.random.default_rng(seed)
    similarity = random_similarity(found, rng)
    weight = rng.integers(0, 3, len(found)).astype(np.float64)

    def baseline(weight: Real) -> Real:
        return proximity_baseline(
            similarity, found, found.reward, weight, temperature=0.3, peers=peers
        )[0]

    # Only ratios of weights matter.
    assert baseline(2 * weight) == pytest.approx(baseline(weight), rel=1e-12, abs=1e-12)
    # A constant is its own mean.
    constant, has_peers = proximity_baseline(
        similarity, found, np.full(len(found), 0.75), weight, temperature=0.3, peers=peers
    )
    assert constant[has_peers] == pytest.approx(0.75)
    assert not constant[~has_peers].any()


@settings(deadline=None, max_examples=60)
@given(described_logs(texts="abc"), st.sampled_from(PEERS), st.integers(0, 2**32 - 1))
def test_peer_weights_are_those_of_the_baseline(
    described: Described, peers: PeerRule, seed: int
) -> None:
    found, rng = steps(described), np.random.default_rng(seed)
    similarity = random_similarity(found, rng)
    weight = rng.integers(0, 3, len(found)).astype(np.float64)
    options: dict[str, Any] = {"temperature": 0.2, "peers": peers}
    baseline, has_peers = proximity_baseline(similarity, found, found.reward, weight, **options)
    state, vectors = similarity.states.state, similarity.vectors
    for step in range(len(found)):
        at, share, near = peer_weights(similarity, found, weight, step, **options)
        expected = [
            other
            for other in range(len(found))
            if are_peers(found, step, other, peers) and weight[other] > 0
        ]
        assert at.tolist() == expected
        assert bool(has_peers[step]) == bool(expected)
        assert near == pytest.approx(vectors[state[at]] @ vectors[state[step]], abs=1e-12)
        if expected:
            assert share.sum() == pytest.approx(1.0)
            assert (share > 0).all()
            assert share @ found.reward[at] == pytest.approx(baseline[step], abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(described_logs(texts="abc", min_length=2), st.integers(0, 2**32 - 1))
def test_with_self_included_the_step_term_shrinks_by_its_own_weight(
    described: Described, seed: int
) -> None:
    # B_all = w_tt x_t + (1 - w_tt) B_other, so x_t - B_all = (1 - w_tt)(x_t - B_other).
    found, rng = steps(described), np.random.default_rng(seed)
    similarity, value, ones = (
        random_similarity(found, rng),
        rng.normal(size=len(found)),
        np.ones(len(found)),
    )
    with_self, _ = proximity_baseline(similarity, found, value, ones, temperature=0.2, peers="all")
    without, has_peers = proximity_baseline(
        similarity, found, value, ones, temperature=0.2, peers="other_steps"
    )
    assert has_peers.all()  # every trajectory has two steps
    for step in range(len(found)):
        at, share, _ = peer_weights(similarity, found, ones, step, temperature=0.2, peers="all")
        own = share[at.tolist().index(step)]
        assert 0 < own < 1
        expected = (1 - own) * (value[step] - without[step])
        assert value[step] - with_self[step] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(described_logs(), st.integers(0, 2**32 - 1))
def test_a_hot_baseline_is_the_mean_of_the_group(described: Described, seed: int) -> None:
    found, rng = steps(described), np.random.default_rng(seed)
    baseline, _ = proximity_baseline(
        random_similarity(found, rng),
        found,
        found.reward,
        np.ones(len(found)),
        temperature=1e12,
        peers="all",
    )
    mean = segment_mean(found.reward, found.group, found.groups)[found.group]
    assert baseline == pytest.approx(mean, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(described_logs())
def test_a_cold_baseline_is_the_mean_over_identical_texts(described: Described) -> None:
    # Orthogonal vectors: another text has e^(-1/τ), which is 0 in floating point for τ = .001.
    found = steps(described)
    axes = dict(zip("abcd", np.eye(4), strict=True))
    anchor = labels(found, found.column("observation"))
    ones = np.ones(len(found))
    baseline, _ = proximity_baseline(
        similarity_of(found, axes), found, found.reward, ones, temperature=1e-3, peers="all"
    )
    mean = segment_mean(found.reward, anchor, int(anchor.max()) + 1)[anchor]
    assert baseline == pytest.approx(mean, rel=1e-12, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(described_logs(), st.sampled_from(PEERS), st.integers(0, 2**32 - 1))
def test_squeezed_cosines_are_another_temperature(
    described: Described, peers: PeerRule, seed: int
) -> None:
    # (c + (1 - c) cos) / τ = constant + cos / (τ / (1 - c)); a further axis of length √c and the
    # others shrunk by √(1 - c) make such cosines.
    found, squeeze, temperature = steps(described), 0.75, 0.1
    rng = np.random.default_rng(seed)
    plain = random_similarity(found, rng)
    further = np.full((len(plain.vectors), 1), squeeze**0.5)
    squeezed = np.hstack([(1 - squeeze) ** 0.5 * plain.vectors, further])
    ones = np.ones(len(found))
    narrow, _ = proximity_baseline(
        Similarity(plain.states, squeezed),
        found,
        found.reward,
        ones,
        temperature=temperature,
        peers=peers,
    )
    wide, _ = proximity_baseline(
        plain, found, found.reward, ones, temperature=temperature / (1 - squeeze), peers=peers
    )
    assert narrow == pytest.approx(wide, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 1e300])
@pytest.mark.parametrize("peers", PEERS)
def test_extreme_temperatures_do_not_overflow(peers: PeerRule, temperature: float) -> None:
    found = Steps.from_log(random_log(np.random.default_rng(1), dense=True))
    similarity = random_similarity(found, np.random.default_rng(2))
    baseline, _ = proximity_baseline(
        similarity, found, found.reward, np.ones(len(found)), temperature=temperature, peers=peers
    )
    assert np.isfinite(baseline).all()
    low, high = found.reward.min(), found.reward.max()
    assert (low - 1e-12 <= baseline).all()
    assert (baseline <= high + 1e-12).all()


def test_a_step_without_peers_has_baseline_zero_and_says_so() -> None:
    lonely: Described = {
        "g": {"t": [("p", "x", 5.0), ("q", "x", 6.0)]},
        "h": {"u": [("p", "x", 7.0)]},
    }
    found = steps(lonely)
    similarity = similarity_of(found, AXES)

    def result(peers: PeerRule, weight: Sequence[float]) -> tuple[list[float], list[bool]]:
        baseline, has_peers = proximity_baseline(
            similarity, found, found.reward, np.array(weight), temperature=1.0, peers=peers
        )
        return baseline.tolist(), has_peers.tolist()

    # No other trajectory in either group; no other step in the second.
    assert result("other_trajectories", [1, 1, 1]) == ([0.0] * 3, [False] * 3)
    assert result("other_steps", [1, 1, 1]) == ([6.0, 5.0, 0.0], [True, True, False])
    assert result("all", [0, 0, 1]) == ([0.0, 0.0, 7.0], [False, False, True])
    assert result("other_steps", [1, 0, 0]) == ([0.0, 5.0, 0.0], [False, True, False])
    assert result("same_step", [0, 1, 0]) == ([0.0, 6.0, 0.0], [False, True, False])


def test_peers_of_a_lonely_step_are_none() -> None:
    found = steps({"g": {"t": [("p", "x", 5.0)]}})
    at, share, near = peer_weights(
        similarity_of(found, AXES), found, np.ones(1), 0, temperature=1.0, peers="other_steps"
    )
    assert (len(at), len(share), len(near)) == (0, 0, 0)


@pytest.mark.parametrize("peers", PEERS)
@pytest.mark.parametrize("chunk", [1, 7, 30])
def test_the_size_of_a_chunk_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, peers: PeerRule, chunk: int
) -> None:
    rng = np.random.default_rng(3)
    found = Steps.from_log(random_log(rng, rollouts=6, dense=True))
    similarity = random_similarity(found, rng)
    weight = rng.integers(0, 3, len(found)).astype(np.float64)
    options: dict[str, Any] = {"temperature": 0.1, "peers": peers}
    whole = proximity_baseline(similarity, found, found.reward, weight, **options)
    monkeypatch.setattr(peer_rows, "CHUNK", chunk)
    parts = proximity_baseline(similarity, found, found.reward, weight, **options)
    np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_array_equal(parts[1], whole[1])


@pytest.mark.parametrize("peers", PEERS)
def test_a_group_scored_alone_has_the_same_bytes(peers: PeerRule) -> None:
    rng = np.random.default_rng(5)
    frame = random_log(rng, groups=4, dense=True)
    found = Steps.from_log(frame)
    vector = {f"state {number}": rng.normal(size=8) / 4 for number in range(6)}
    together, _ = proximity_baseline(
        similarity_of(found, vector),
        found,
        found.reward,
        np.ones(len(found)),
        temperature=0.1,
        peers=peers,
    )
    for number, (_, part) in enumerate(frame.group_by("group_id", maintain_order=True)):
        one = Steps.from_log(part)
        alone, _ = proximity_baseline(
            similarity_of(one, vector),
            one,
            one.reward,
            np.ones(len(one)),
            temperature=0.1,
            peers=peers,
        )
        assert alone.tobytes() == together[found.group == number].tobytes()
