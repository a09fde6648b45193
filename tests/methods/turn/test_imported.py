"""Numbers of the log as credit, by hand."""

from __future__ import annotations

import math

import pytest
from crediting import advantage, credit, near
from logs import log
from worked_logs import PLANS

from workbench.errors import MissingInputError


def test_imported_takes_the_column_as_it_is():
    frame = log(PLANS, logged_advantage=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert advantage(frame, "imported").tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert advantage(frame, "imported", weight=-2.0)[0] == -0.2


def test_imported_compares_with_the_group_or_the_trajectory():
    frame = log(PLANS, judge=[1, 2, 3, 4, 5, 9])
    # Mean of all six 4; of c's 5 and 9 it is 7, the deviation sqrt(8).
    assert advantage(frame, "imported", column="judge", norm="group-mean")[0] == -3.0
    within = advantage(frame, "imported", column="judge", norm="trajectory-z", eps=0.0)
    assert within[4:] == near(-2 / math.sqrt(8), 2 / math.sqrt(8))


def test_imported_sums_to_the_end_and_adds_the_outcome():
    frame = log(PLANS, judge=[1.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    # 1 + 2/2, and twice GRPO's (1 - 1/3) / sqrt(1/3).
    found = advantage(frame, "imported", column="judge", gamma=0.5, outcome_weight=2.0, eps=0.0)
    assert found[0] == pytest.approx(2.0 + 2 * (2 / 3) / math.sqrt(1 / 3))


def test_a_step_without_a_number_gets_none_and_is_counted():
    frame = log(PLANS, judge=[1.0, None, math.nan, 3.0, 5.0, 3.0])
    found = credit(frame, "imported", column="judge", norm="group-mean")
    # Mean of 1, 3, 5, 3
    assert found.advantage.tolist() == [-2.0, 0.0, 0.0, 0.0, 2.0, 0.0]
    plain = credit(frame, "imported", column="judge", weight=2.0)
    assert plain.terms["imported"].factor.tolist() == [2.0, 0.0, 0.0, 2.0, 2.0, 2.0]
    assert found.notes == ("2 steps have no judge, which counts as 0",)


def test_a_column_that_is_not_there_or_no_number_is_named():
    with pytest.raises(MissingInputError, match=r"'judge' is not in the log.*'reward'"):
        advantage(log(PLANS), "imported", column="judge")
    with pytest.raises(MissingInputError, match="'action' is no number"):
        advantage(log(PLANS), "imported", column="action")
