"""Token columns of a step."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.readers.tokens import runs, spread


def test_compact_values_are_spread_over_the_mask():
    assert spread([-0.5, -0.25], [0, 1, 0, 1], "logprobs") == [0.0, -0.5, 0.0, -0.25]
    assert spread([], [0, 1], "logprobs") is None
    with pytest.raises(ValueError, match="logprobs has 1 values for 2 sampled tokens"):
        spread([-0.5], [1, 1], "logprobs")


@given(st.lists(st.sampled_from([0, 1])))
def test_runs_are_the_stretches_of_ones(sampled: list[int]):
    found = runs(sampled)
    assert sum(end - start for start, end in found) == sum(sampled)
    assert all(all(sampled[start:end]) for start, end in found)
    assert all(after > end for (_, end), (after, _) in itertools.pairwise(found))
