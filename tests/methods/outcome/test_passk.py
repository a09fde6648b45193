"""Pass@k credit by hand, and as what the maximum loses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, rows, steps
from worked_logs import outcomes

from workbench.analysis.rollouts import sentence
from workbench.log.schema import validate


def test_passk_gives_the_best_what_it_has_over_the_second():
    # 4 over 3; all others 0. Deviation of 4, 3, 1, 0: mean 2, squares 10 over 3.
    of = outcomes(1.0, 4.0, 3.0, 0.0)
    assert advantage(of, "passk", norm="mean").tolist() == [0.0, 1.0, 0.0, 0.0]
    assert advantage(of, "passk", eps=0.0)[1] == pytest.approx(1 / np.sqrt(10 / 3))
    explained = credit(of, "passk").explain(1)
    assert explained.peers.select("trajectory_id", "weight", "value").rows() == [("g2", 1.0, 3.0)]
    assert sentence("episode", explained.facts["episode"]).startswith(
        "reward 4 against the best other reward 3, over the deviation"
    )


@pytest.mark.parametrize("rewards", [(1.0, 1.0, 0.0), (0.3, 0.1 + 0.2, 0.0), (1.0,), (0.0, 0.0)])
def test_passk_is_zero_where_two_are_best_or_there_is_no_other(rewards: Sequence[float]):
    assert advantage(outcomes(*rewards), "passk").tolist() == [0.0] * len(rewards)


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_passk_is_how_much_the_maximum_falls_without_a_trajectory(rewards: list[float]):
    found = advantage(outcomes(*rewards), "passk", norm="mean")
    expected = [max(rewards) - max(np.delete(rewards, k)) for k in range(len(rewards))]
    assert found == pytest.approx(expected)


def test_passk_over_first_rows_pays_the_first_row_alone():
    described = {"g": {"a": [("s", "go", 0.0), ("s", "go", 1.0)], "b": [("s", "go", 0.0)]}}
    found = advantage(steps(described), "passk:verl-agent-first-row", norm="mean")
    assert found.tolist() == [1.0, 0.0, 0.0]


def test_passk_over_step_rows_is_zero_as_soon_as_the_best_has_two_steps():
    described = {"g": {"a": [("s", "go", 0.0), ("s", "go", 1.0)], "b": [("s", "go", 0.0)]}}
    assert advantage(steps(described), "passk:verl-agent").tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("times", "expected"), [(1, 1.0), (2, 0.0), (3, 0.0)])
def test_a_copy_of_the_best_row_is_another_best_row(times: int, expected: float):
    one = rows({"g": {"a": [("s", "go", 1.0)], "b": [("s", "go", 0.0)]}})
    frame = validate(pl.concat([*[one[:1]] * times, one[1:]])).log
    found = advantage(frame, "passk:verl-agent", norm="mean")
    assert found.tolist() == [expected, 0.0]
    # The other dialects count a rollout once, however often it was written.
    assert advantage(frame, "passk", norm="mean").tolist() == [1.0, 0.0]
