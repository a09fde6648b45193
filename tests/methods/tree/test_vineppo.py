"""VinePPO by hand, and as the outcome less the mean."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log
from worked_logs import PLANS

from workbench.errors import MissingInputError
from workbench.log.steps import Steps
from workbench.methods.tree.vineppo import VinePPO


def test_vineppo_is_the_change_between_replayed_states():
    # a: the group's mean 1/3, then replays 1, 0 (1/2), then its own outcome 1.
    # b: replays after the first step 0; c has none: one segment.
    replays = [[1.0, 0.0], [], [0.0], [0.5], None, None]
    frame = log(PLANS, replay_returns=pl.Series(replays, dtype=pl.List(pl.Float64)))
    found = advantage(frame, "vineppo")
    assert found == near(1 / 2 - 1 / 3, 1 / 2, -1 / 3, 0.0, -1 / 3, -1 / 3)


def test_vineppo_without_replays_is_refused():
    with pytest.raises(MissingInputError, match="vineppo needs `replay_returns`"):
        advantage(log(PLANS), "vineppo")


@given(described_logs())
def test_vineppo_along_valued_steps_sums_to_the_outcome_less_the_mean(described: Described):
    frame = log(described)
    frame = frame.with_columns(replay_returns=pl.concat_list(pl.lit(0.3)))
    found = credit(frame, "vineppo")
    sums = np.add.reduceat(found.advantage, found.steps.trajectory_start[:-1])
    first = found.steps.trajectory_start[:-1]
    expected = credit(frame, "grpo", norm="mean").advantage[first]
    np.testing.assert_allclose(sums, expected, atol=1e-12)


def test_the_start_of_a_group_is_exactly_what_all_that_count_earn():
    # The mean of three times 0.1 is not 0.1 in floats; the rollout that does not count earns more.
    frame = log(
        {"g": {name: [("x", name, 0.9 if name == "d" else 0.1)] for name in "abcd"}},
        in_group_statistics=[True, True, True, False],
    )
    start = VinePPO()._start_value(Steps.from_log(frame))
    assert start.tolist() == [0.1]
