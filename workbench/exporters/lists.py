"""Columns of lists as flat arrays and back: one pass over all tokens instead of one per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


def flat(lists: pl.Series) -> pl.Series:
    """All elements in order; null and empty lists have none."""
    array = lists.to_arrow(compat_level=pl.CompatLevel.oldest())
    return pl.Series(lists.name, array.flatten())


def lengths(lists: pl.Series) -> Ints:
    """Number of elements a row, 0 for null. (R,) int64."""
    return lists.list.len().fill_null(0).to_numpy().astype(np.int64)


def row_has(lists: pl.Series, bad: pl.Series) -> pl.Series:
    """Mask of rows with an element for which `bad`, aligned with `flat(lists)`, is true."""
    found = np.zeros(lists.len(), dtype=bool)
    where = np.flatnonzero(bad.to_numpy())
    if where.size:
        found[np.searchsorted(np.cumsum(lengths(lists)), where, side="right")] = True
    return pl.Series(found)


def nested(values: Array | pl.Series, lengths: Ints, name: str) -> pl.Series:
    """The inverse of `flat`.

    Args:
        values: Elements in order. (T,)
        lengths: Elements a row; they sum to T. (R,) int64
        name: Name of the series.

    Returns:
        (R,) lists.
    """
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    if isinstance(values, pl.Series):
        elements = values.to_arrow(compat_level=pl.CompatLevel.oldest())
    else:
        elements = pa.array(values)
    return pl.Series(name, pa.LargeListArray.from_arrays(pa.array(offsets), elements))


def ranges(start: Ints, stop: Ints) -> Ints:
    """start_0 … stop_0 - 1, start_1 … stop_1 - 1, and so on, as one array."""
    size = stop - start
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(size)[:-1]])
    return np.repeat(start - before, size) + np.arange(size.sum(), dtype=np.int64)
