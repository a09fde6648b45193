"""Credit of this family's methods in groups in which nothing succeeds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crediting import advantage
from logs import random_log

from workbench.log.steps import Steps


@pytest.mark.parametrize(
    "name",
    ["mc-q", "gagpo", "pgpo", "rtmc", "rewardflow", "graphgpo", "g2po", "crbc", "soft-crbc"],
)
def test_a_group_whose_rollouts_all_fail_gets_nothing(name: str):
    of = Steps.from_log(random_log(np.random.default_rng(4), rollouts=5))
    lost = Steps.from_log(of.log.with_columns(reward=pl.lit(0.0)))
    assert (advantage(lost, name) == 0.0).all()
    assert not (advantage(of, name) == 0.0).all()
