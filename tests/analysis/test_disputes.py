"""Where methods disagree, and how often their signs agree with marks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from workbench.analysis.disputes import agreement, disputed

NAN = np.nan


def test_disputes_by_hand():
    # Over the scored steps: 2, −2, 2, −2 has mean 0 and deviation 2; 1, 1, −1, −1 has 1.
    one = [2.0, -2.0, 2.0, -2.0, NAN]
    other = [1.0, 1.0, -1.0, -1.0, NAN]
    # In units: 1, −1, 1, −1 and 1, 1, −1, −1. Opposite on the second and the third: 1 − (−1) = 2.
    found = disputed(np.array([one, other]))
    assert found[1:3].tolist() == [2.0, 2.0]
    assert np.isnan(found[[0, 3, 4]]).all()


def test_one_method_disputes_nothing():
    assert np.isnan(disputed(np.ones((1, 3)))).all()
    assert disputed(np.zeros((0, 3))).shape == (3,)


def test_zeros_and_constants_are_no_dispute():
    assert np.isnan(disputed(np.array([[0.0, 0.0], [1.0, -1.0]]))).all()
    # A constant −1 is in its own unit; the other has deviation 1: 1 − (−1) = 2.
    assert disputed(np.array([[-1.0, -1.0], [1.0, -1.0]]))[0] == 2.0


def test_agreement_by_hand():
    mark = pl.Series(["+", "-", "+", "-", None, "+"])
    advantages = {"a": np.array([1.0, 1.0, 0.0, -2.0, 5.0, NAN]), "b": np.full(6, NAN)}
    found = agreement(advantages, mark)
    # Four marked steps are scored: agree, against, zero, agree.
    assert found.row(0, named=True) == {
        "method": "a",
        "marked": 4,
        "agree": 2,
        "zero": 1,
        "against": 1,
        "share": pytest.approx(0.5),
    }
    assert found.row(1) == ("b", 0, 0, 0, 0, None)
    assert agreement(advantages, pl.Series([None] * 6, dtype=pl.String))["share"].null_count() == 2
