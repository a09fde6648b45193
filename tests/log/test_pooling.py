"""Moments of batches, at once and merged from pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import steps as described

from workbench.log.pooling import Moments, PieceOfBatch, batch_moments, merged, moments
from workbench.log.segments import segment_constant, segment_mean, segment_std


def of(value: list[float], weight: list[float] | None = None) -> Moments:
    """Moments of one batch."""
    x = np.array(value, dtype=np.float64)
    w = np.ones(len(x)) if weight is None else np.array(weight)
    return moments(x, np.zeros(len(x), dtype=np.int64), 1, w)


def test_moments_by_hand():
    found = of([1.0, 2.0, 6.0, 50.0], [1.0, 2.0, 1.0, 0.0])
    # Σ w = 4; mean (1 + 2·2 + 6) / 4 = 2.75; Σ w (x − 2.75)² = 1.75² + 2·.75² + 3.25² = 14.75
    assert (found.count[0], found.mean[0], found.square[0]) == (4.0, 2.75, 14.75)
    assert (found.low[0], found.high[0]) == (1.0, 6.0)
    assert found.variance(1)[0] == pytest.approx(14.75 / 3)
    assert found.deviation(0)[0] == pytest.approx((14.75 / 4) ** 0.5)
    assert not found.constant[0]


def test_a_batch_in_which_nothing_counts_is_constant_at_zero():
    found = of([3.0, 4.0], [0.0, 0.0])
    assert found.constant[0]
    assert (found.level[0], found.variance(1)[0], found.variance(0)[0]) == (0.0, 0.0, 0.0)


def test_pieces_by_hand():
    found = merged([of([1.0, 2.0]), of([9.0], [0.0]), of([2.0, 6.0])])
    # n 4; mean (2·1.5 + 2·4) / 4 = 2.75; .5 + 2·1.25² + 8 + 2·1.25² = 14.75
    assert (found.count[0], found.mean[0], found.square[0]) == (4.0, 2.75, 14.75)
    assert (found.low[0], found.high[0]) == (1.0, 6.0)
    nothing = merged([of([9.0], [0.0]), of([8.0], [0.0])])
    assert (nothing.count[0], nothing.level[0], nothing.constant[0]) == (0.0, 0.0, True)


def test_the_level_of_equal_values_is_one_of_them():
    # 3 · .1 / 3 is not .1 in binary.
    found = merged([of([0.1]), of([0.1, 0.1])])
    assert found.constant[0]
    assert found.level[0] == 0.1


values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(st.lists(values, min_size=1, max_size=6), st.integers(0, 1))
def test_merged_pieces_are_the_whole(pieces: list[list[float]], ddof: int):
    whole = of([x for piece in pieces for x in piece])
    found = merged([of(piece) for piece in pieces])
    size = max(abs(x) for piece in pieces for x in piece)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-12, atol=1e-12 * size)
    np.testing.assert_allclose(
        found.variance(ddof), whole.variance(ddof), rtol=1e-11, atol=1e-12 * size**2
    )
    assert found.constant.tolist() == whole.constant.tolist()


@given(values, st.integers(0, 1), st.data())
def test_moments_are_those_of_segments(value: list[float], ddof: int, data: st.DataObject):
    x, many = np.array(value), len(value)
    batch = np.array(data.draw(st.lists(st.integers(0, 2), min_size=many, max_size=many)))
    weight = np.array(data.draw(st.lists(st.integers(0, 3), min_size=many, max_size=many))) * 1.0
    found = moments(x, batch, 3, weight)
    assert found.mean.tolist() == segment_mean(x, batch, 3, weight).tolist()
    assert found.deviation(ddof).tolist() == segment_std(x, batch, 3, weight, ddof).tolist()
    assert found.constant.tolist() == segment_constant(x, batch, 3, weight > 0).tolist()


def test_a_piece_is_given_the_moments_of_its_batch_in_the_order_of_asking():
    piece = described({"g": {"a": [("room", "go", 1.0)], "b": [("room", "go", 3.0)]}})
    zero, one = np.zeros(2, dtype=np.int64), np.ones(2)
    first = PieceOfBatch.of(piece, None)
    own = batch_moments(first, piece.reward, zero, one)
    assert (own.mean[0], first.asked) == (2.0, [own])
    whole = (of([5.0]), of([7.0]))
    second = PieceOfBatch.of(piece, whole)
    asked = [batch_moments(second, piece.reward, zero, one) for _ in whole]
    assert asked == list(whole)
    assert batch_moments(piece, piece.reward, zero, one).mean[0] == 2.0
