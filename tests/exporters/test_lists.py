"""Columns of lists as flat arrays and back."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from workbench.exporters.lists import flat, nested, ranges


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6))
def test_flat_lists_come_back(lists: list[list[int]]) -> None:
    series = pl.Series("x", lists, dtype=pl.List(pl.Int32))
    sizes = np.array([len(entry) for entry in lists], dtype=np.int64)
    assert nested(flat(series), sizes, "x").equals(series)
    assert flat(series).to_list() == [value for entry in lists for value in entry]


def test_ranges() -> None:
    start, stop = np.array([3, 5, 0]), np.array([5, 5, 2])
    assert ranges(start, stop).tolist() == [3, 4, 0, 1]
