"""Weights of near states: worked by hand, and for any similarities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.log.steps import Real
from workbench.methods.parts.kernel import near_weights

# Three steps in the first state, one in the second, which is as far away as can be.
APART, VISITS = np.eye(2), np.array([3.0, 1.0])


def effective_number(weight: Real, visits: Real) -> Real:
    return (weight @ visits) ** 2 / (weight**2 @ visits)


def test_weights_by_hand():
    # First state: (3 + w)²/(3 + w²) = 25/7, 3w² − 7w + 2 = 0, w = 1/3.
    # Second: (1 + 3w)²/(1 + 3w²) = 25/7, 6w² + 7w − 5 = 0 over 2, w = 1/2.
    found = near_weights(APART, VISITS, 25 / 7)
    assert found == pytest.approx(np.array([[1.0, 1 / 3], [1 / 2, 1.0]]))
    assert effective_number(found, VISITS) == pytest.approx([25 / 7, 25 / 7])


def test_states_with_enough_steps_of_their_own_listen_to_no_other():
    # Three steps are in the first state; the second has one, and needs a share of the others.
    found = near_weights(APART, VISITS, 2.0)
    assert found[0].tolist() == [1.0, 0.0]
    assert 0.0 < found[1, 0] < 1.0
    assert near_weights(APART, VISITS, 1.0).tolist() == APART.tolist()


@pytest.mark.parametrize("neighbours", [4.0, 1000.0])
def test_where_no_more_steps_are_known_all_count_alike(neighbours: float):
    assert (near_weights(APART, VISITS, neighbours) == 1.0).all()


def test_a_state_without_evidence_counts_nothing_and_has_the_nearest_weights():
    similarity = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 1.0]])
    found = near_weights(similarity, np.array([0.0, 1.0, 1.0]), 1.0)
    assert found.tolist() == [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert (near_weights(similarity, np.zeros(3), 5.0) == 0.0).all()


def test_similarities_that_differ_by_rounding_are_one():
    similarity = np.array([[1.0, 1.0 - 1e-15], [1.0 - 1e-15, 1.0]])
    assert (near_weights(similarity, np.ones(2), 1.0) == 1.0).all()


def test_rows_are_the_same_one_at_a_time(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(3)
    similarity, visits = rng.random((9, 9)), rng.integers(0, 4, 9).astype(float)
    together = near_weights(similarity, visits, 4.0)
    monkeypatch.setattr("workbench.methods.parts.kernel.CHUNK", 1)
    assert near_weights(similarity, visits, 4.0) == pytest.approx(together, abs=1e-8)


@given(
    st.integers(0, 2**32 - 1),
    st.floats(1.0, 40.0),
    st.floats(0.01, 10.0),
    st.floats(-1.0, 1.0),
    st.sampled_from([1.0, 4.0]),
)
def test_as_many_steps_are_near_as_asked_whatever_the_unit(
    seed: int, neighbours: float, unit: float, origin: float, power: float
):
    # To a power, most similarities are small and few are large: a sparse part of a group.
    rng = np.random.default_rng(seed)
    visits = rng.integers(0, 4, 12).astype(float)
    visits[0] = 1.0
    similarity = rng.random((12, 12)).round(2) ** power
    found = near_weights(similarity, visits, neighbours)
    known = visits > 0
    ties = (similarity == similarity[:, known].max(axis=1, keepdims=True)) @ visits
    wanted = np.clip(neighbours, ties, visits.sum())
    assert effective_number(found, visits) == pytest.approx(wanted, rel=1e-5)
    again = near_weights(origin + unit * similarity, visits, neighbours)
    assert again == pytest.approx(found, abs=1e-5)
    # Nearer states count no less.
    order = np.argsort(similarity[:, known], axis=1)
    assert (np.diff(np.take_along_axis(found[:, known], order, axis=1), axis=1) >= 0.0).all()
