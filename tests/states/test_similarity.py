"""Blocks of similarities between a group's states, kept and made again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from logs import random_log
from scipy.sparse import csr_array
from similarities import proximity_baseline, random_similarity

from workbench.log.steps import Real, Steps
from workbench.states.similarity import Similarity, States


def test_blocks_are_the_cosines_of_each_groups_states() -> None:
    found = Steps.from_log(random_log(np.random.default_rng(6)))
    similarity = random_similarity(found, np.random.default_rng(7))
    start = similarity.states.start
    for group in range(found.groups):
        here = similarity.vectors[start[group] : start[group + 1]]
        np.testing.assert_allclose(similarity.block(group), here @ here.T, atol=1e-15)


def test_sparse_vectors_give_the_blocks_of_dense_ones() -> None:
    found = Steps.from_log(random_log(np.random.default_rng(6)))
    dense = random_similarity(found, np.random.default_rng(7))
    sparse = Similarity(dense.states, csr_array(dense.vectors))
    for group in range(found.groups):
        assert isinstance(sparse.block(group), np.ndarray)
        np.testing.assert_allclose(sparse.block(group), dense.block(group), atol=1e-15)


def test_a_second_temperature_costs_no_new_similarity() -> None:
    found = Steps.from_log(random_log(np.random.default_rng(6), dense=True))
    similarity = random_similarity(found, np.random.default_rng(7))
    ones = np.ones(len(found))

    def baseline() -> Real:
        return proximity_baseline(
            similarity, found, found.reward, ones, temperature=0.1, peers="all"
        )[0]

    first = baseline()
    # With the vectors spoilt, only blocks that were kept can give the same numbers.
    similarity.vectors[:] = np.nan
    np.testing.assert_array_equal(baseline(), first)


def test_blocks_beyond_the_budget_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Steps.from_log(random_log(np.random.default_rng(6)))
    similarity = random_similarity(found, np.random.default_rng(7))
    size = len(np.unique(similarity.states.state[found.group == 0]))
    monkeypatch.setattr("workbench.states.similarity.BLOCK_CACHE", size**2)
    assert np.shares_memory(similarity.block(0), similarity.block(0))
    assert not np.shares_memory(similarity.block(1), similarity.block(1))
    np.testing.assert_array_equal(similarity.block(1), similarity.block(1))


@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_similarities_are_zero_only_if_every_vector_is(kind: Any) -> None:
    states = States(np.array([0, 1]), np.array([0, 2]), ["p", "q"])
    assert Similarity(states, kind(np.zeros((2, 3)))).is_zero
    assert not Similarity(states, kind(np.array([[0.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))).is_zero
    two = States(np.array([0, 1]), np.array([0, 1, 2]), ["p", "q"])
    found = Similarity(two, kind(np.array([[0.0, 0.0], [0.0, -1.0]]))).is_zero
    assert found.tolist() == [True, False]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_rows_one_behind_another_are_those_of_the_blocks(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    found = Steps.from_log(random_log(np.random.default_rng(6), groups=4))
    similarity = random_similarity(found, np.random.default_rng(7))
    start = similarity.states.start
    monkeypatch.setattr(
        "workbench.states.similarity.BLOCK_CACHE", int((np.diff(start)[:kept] ** 2).sum())
    )
    # Some states of each group, the first twice.
    states = np.sort(np.concatenate([start[:-1], start[:-1], start[1:] - 1]))
    group = np.searchsorted(start, states, side="right") - 1
    expected = [similarity.block(g)[s - start[g]] for g, s in zip(group, states, strict=True)]
    np.testing.assert_allclose(
        similarity.entries(states), np.concatenate(expected), rtol=0, atol=1e-15
    )
