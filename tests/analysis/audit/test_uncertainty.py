"""Interval widths, flips and halves by hand, and which groups of a long log are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from logs import Described, steps
from scored_credits import credit
from vectors import AXES

from workbench.analysis.audit.sample import SAMPLE_STEPS, sample_of
from workbench.analysis.audit.stability import split_half
from workbench.analysis.audit.subject import AuditedLog, Subject, audited
from workbench.analysis.audit.uncertainty import Bootstrap, uncertainty
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space


def subject(described: Described) -> tuple[Subject, Steps]:
    """GRPO without deviation on a log."""
    space = Space(steps(described), embedder=AXES)
    method = create("grpo", {"norm": "mean"})
    return audited("c", AuditedLog(space), space, credit(method, space)), space.steps


def one_step_each(*rewards: float) -> Described:
    return {"g": {f"t{k}": [("p", "x", reward)] for k, reward in enumerate(rewards)}}


def test_width_and_flips_of_a_bootstrap_by_hand():
    # Rewards 3, 0, 0, 1 have the mean 1: credits 2, -1, -1, 0; their deviation is sqrt(6/4).
    # The last has no sign, the third was never drawn. Widths 3 - 1 = 2 and -0.5 - (-1) = 0.5, in
    # the median 1.25; flips (¼ + ½) / 2.
    of, its_steps = subject(one_step_each(3.0, 0.0, 0.0, 1.0))
    nan = float("nan")
    found = Bootstrap(
        low=np.array([1.0, -1.0, nan, 5.0]),
        high=np.array([3.0, -0.5, nan, 9.0]),
        flips=np.array([0.25, 0.5, nan, 1.0]),
        draws=np.array([2, 2, 0, 2]),
    )
    width, flips = uncertainty(of, sample_of(its_steps, seed=0, draws=20), found)
    assert width.value == pytest.approx(1.25 / np.sqrt(1.5))
    assert (width.measure, width.count) == ("interval_width", 2)
    assert flips.measure == "sign_flip_rate"
    assert flips.value == pytest.approx(0.375)
    assert width.note == flips.note == "20 draws a group, each step read in about two fifths"


def test_groups_of_two_have_no_halves():
    of, its_steps = subject(one_step_each(1.0, 0.0))
    reading = split_half(of, sample_of(its_steps, seed=0))
    assert (reading.measure, reading.value, reading.count) == ("split_half", None, 0)
    assert reading.note == "0 groups drawn of 0" or not reading.note


def test_halves_of_a_group_of_three_by_hand():
    # Each rollout is scored against one of the others, and against the other one. Of the credits
    # r − mean of two = (r − other)/2 with rewards 2, 1, 0: against the two others, 2 gets ½ and 1,
    # 1 gets −½ and ½, 0 gets −1 and −½, in an order that is drawn, four times each.
    of, its_steps = subject(one_step_each(2.0, 1.0, 0.0))
    reading = split_half(of, sample_of(its_steps, seed=0))
    assert reading.value is not None
    assert 0.0 < reading.value < 1.0
    assert reading.count == 1
    assert reading.note == "reliability only"


def long_log(groups: int, of_a_group: int) -> Steps:
    """Groups of four rollouts with so many steps in all."""
    each = of_a_group // 4
    return steps(
        {
            f"g{g}": {f"g{g}t{k}": [("p", "x", float(k))] * each for k in range(4)}
            for g in range(groups)
        }
    )


def test_of_a_log_over_the_bound_as_many_groups_are_drawn_as_fit_exactly():
    assert SAMPLE_STEPS == 5000
    # Five groups of 1,000 steps are the bound itself, and all are drawn: 500,000 / 5,000 = 100
    # draws. Of seven, any five are.
    whole = sample_of(long_log(5, 1000), seed=0)
    assert (whole.groups.tolist(), whole.steps, whole.draws) == ([0, 1, 2, 3, 4], 5000, 100)
    assert whole.note == ""
    part = sample_of(long_log(7, 1000), seed=0)
    assert (len(part.groups), part.steps, part.eligible, part.draws) == (5, 5000, 7, 100)
    assert part.note == "5 groups drawn of 7"
    assert part.groups.tolist() != sample_of(long_log(7, 1000), seed=3).groups.tolist()


def test_one_group_over_the_bound_is_drawn_all_the_same():
    sample = sample_of(long_log(2, 6000), seed=0)
    # 500,000 / 6,000 = 83; of the pairs 2·10⁹ / 6,000² = 55.
    assert (len(sample.groups), sample.steps, sample.draws) == (1, 6000, 55)
    # A rollout of 6,000 steps is scored again in 500,000 / 6,000 = 83 others' places at most.
    rng = np.random.default_rng(0)
    assert sample.some(np.arange(84), rng).tolist() != np.arange(84).tolist()
    assert len(sample.some(np.arange(84), rng)) == 83
    assert sample.some(np.arange(83), rng).tolist() == np.arange(83).tolist()
    assert len(sample.some(np.arange(83), rng, times=4)) == 20


def test_a_group_so_large_that_few_draws_are_allowed_gets_twenty_or_what_was_asked_for():
    # 500,000 / 30,000 = 16, and of the pairs 2·10⁹ / 30,000² = 2.
    huge = long_log(1, 30_000)
    assert sample_of(huge, seed=0).draws == 20
    assert sample_of(huge, seed=0, draws=7).draws == 7
