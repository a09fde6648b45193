"""Nearest states over all groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from workbench.errors import ArtefactError
from workbench.log.steps import Index, Real
from workbench.states.neighbours import NeighbourIndex


def unit_vectors(count: int, seed: int = 0) -> Real:
    drawn = np.random.default_rng(seed).normal(size=(count, 8))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def nearest_by_force(vectors: Real, state: int, count: int) -> Index:
    cosine = vectors @ vectors[state]
    cosine[state] = np.inf
    return np.argsort(-cosine, kind="stable")[:count]


def test_nearest_states_are_those_of_an_exhaustive_search() -> None:
    vectors = unit_vectors(60)
    index = NeighbourIndex(vectors)
    for state in range(60):
        found, cosine = index.nearest(state, 10)
        assert found.tolist() == nearest_by_force(vectors, state, 10).tolist()
        assert cosine == pytest.approx(vectors[found] @ vectors[state], abs=1e-6)
        assert found.dtype == np.int64
        assert cosine.dtype == np.float64


def test_sparse_and_dense_vectors_have_the_same_neighbours() -> None:
    vectors = unit_vectors(20)
    dense, sparse = NeighbourIndex(vectors), NeighbourIndex(csr_array(vectors))
    for state in range(20):
        assert dense.nearest(state, 5)[0].tolist() == sparse.nearest(state, 5)[0].tolist()


def test_asking_for_more_states_than_there_are_gives_all() -> None:
    found, cosine = NeighbourIndex(unit_vectors(4)).nearest(2, 100)
    assert found[0] == 2
    assert sorted(found) == [0, 1, 2, 3]
    assert (np.diff(cosine[1:]) <= 0).all()
    assert NeighbourIndex(unit_vectors(1)).nearest(0, 3)[0].tolist() == [0]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_state_comes_first_even_where_others_have_its_vector(count: int) -> None:
    vectors = unit_vectors(12)
    vectors[[1, 4, 9]] = vectors[4]
    index = NeighbourIndex(vectors)
    for state in (1, 4, 9):
        others = [other for other in (1, 4, 9) if other != state]
        found, cosine = index.nearest(state, count)
        assert found[0] == state
        # Where more are equally near than asked for, any of them will do.
        assert set(found[1:3]) <= set(others)
        assert len(set(found)) == len(found) == count
        assert cosine[:3] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_a_state_comes_first_even_where_its_vector_is_zero(count: int) -> None:
    vectors = unit_vectors(12)
    vectors[10] = 0.0
    found, cosine = NeighbourIndex(vectors).nearest(10, count)
    assert found[0] == 10
    assert len(set(found)) == count
    assert cosine.tolist() == [0.0] * count


def test_ties_are_in_the_order_of_states_on_every_run() -> None:
    # Every state is one of two vectors, at right angles: the even ones and the odd ones.
    vectors = np.eye(2)[np.arange(10) % 2]
    runs = [NeighbourIndex(vectors).nearest(4, 10) for _ in range(3)]
    for found, cosine in runs:
        assert found.tolist() == [4, 0, 2, 6, 8, 1, 3, 5, 7, 9]
        assert cosine.tolist() == [1.0] * 5 + [0.0] * 5


def test_an_index_reads_back_as_it_was_written(tmp_path: Path) -> None:
    index = NeighbourIndex(unit_vectors(30))
    index.save(tmp_path / "one.faiss")
    copy = NeighbourIndex.load(tmp_path / "one.faiss")
    copy.save(tmp_path / "two.faiss")
    for state in range(30):
        for mine, yours in zip(index.nearest(state, 6), copy.nearest(state, 6), strict=True):
            np.testing.assert_array_equal(mine, yours)
    assert (tmp_path / "one.faiss").read_bytes() == (tmp_path / "two.faiss").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut"])
def test_a_damaged_index_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "index.faiss"
    NeighbourIndex(unit_vectors(30)).save(path)
    whole = path.read_bytes()
    contents = {"empty": b"", "text": b"not an index", "cut": whole[: len(whole) // 2]}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(contents[damage])
    with pytest.raises(ArtefactError, match=r"index\.faiss is not an index of neighbours"):
        NeighbourIndex.load(path)
