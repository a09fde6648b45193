"""Groups that are there twice, long rollouts and large groups under every method.

That a group's credit is the same with and without others is a rule of the contract.
`benchmarks/extremes.py` has rollouts of a million steps and 20,000 rollouts of a group.
"""

from __future__ import annotations

import runpy

import numpy as np
import polars as pl
import pytest
from method_contract import accepted, advantages, frame, without
from narrow import number
from places import ROOT

from workbench.methods import METHODS

# Two rollouts of 500 steps, and 200 rollouts of a group, as the benchmark makes them.
_log = runpy.run_path(str(ROOT / "benchmarks" / "extremes.py"))["log"]
LARGE: list[pl.DataFrame] = [_log(1, 2, 500), _log(1, 200, 2)]


def copied(log: pl.DataFrame, suffix: str) -> pl.DataFrame:
    """The same rollouts in groups of other names."""
    names = ("group_id", "trajectory_id", "tree_id", "node_id")
    return log.with_columns(pl.col(name) + suffix for name in names)


# One carries its mean on from group to group, so that the second copy has another one.
@pytest.mark.parametrize("name", sorted({*without("depends-on-ids")} - {"rae:prime-rl"}))
def test_a_group_that_is_there_twice_gets_its_credit_twice(name: str):
    log = frame(9, groups=2, rollouts=3)
    penalty = accepted(name, invalid_penalty=0.1)
    found = advantages(pl.concat([log, copied(log, "x")]), name, **penalty)
    own = found.filter(~pl.col("group_id").str.ends_with("x"))
    other = found.filter(pl.col("group_id").str.ends_with("x"))
    assert own.height == other.height == log.height
    np.testing.assert_allclose(own["advantage"], other["advantage"], atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_a_long_rollout_and_a_large_group_give_finite_credit(name: str):
    for given in LARGE:
        found = advantages(given, name)["advantage"]
        assert len(found) == given.height
        assert found.is_finite().all()
        assert number(found.abs().max()) < 1e6
