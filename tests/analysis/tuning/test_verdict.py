"""Verdicts of a tuning, in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from logs import random_log
from vectors import random_vectors

from workbench.analysis.tuning.gain import Gain, gain_error
from workbench.analysis.tuning.held_out import HeldOut, held_out
from workbench.analysis.tuning.verdict import differing, fields_at, own_share, verdict
from workbench.errors import ParameterError
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.space import Space

HELD = HeldOut(
    field="temperature",
    symbol="τ",
    values=(0.1, 0.2, 0.4),
    settings=(0.1, 0.2, 0.4),
    error=np.array([3.0, 1.5, 2.0]),
    plain=2.5,
    steps=12,
    groups=4,
    few=0,
    equal=0,
    as_good=np.array([False, True, False]),
    finest=None,
    now=0.1,
    gain_error=np.array([0.1, 0.1, 0.1]),
)


def test_a_value_that_beats_the_plain_mean_beyond_noise_is_offered():
    # 1 − 1.5/2.5 = 40 %, ± 1.96 · 10 %; the present: 1 − 3/2.5 = −20 %, up to −0.4 %.
    found = verdict(HELD)
    assert found.offer == 0.2
    assert found.headline.startswith("Try τ 0.2: it predicts better than the plain mean beyond")
    best, now = found.reasons
    assert "predicts 40 % better than the plain mean, beyond noise (+20 to +60 %" in best
    assert "predicts 20 % worse than the plain mean, beyond noise (−40 to −0.4 %" in now


def test_a_gain_within_noise_is_no_offer():
    # 40 % ± 1.96 · 25 % reaches below 0.
    found = verdict(replace(HELD, gain_error=np.full(3, 0.25)))
    assert found.offer is None
    assert found.headline.startswith("No τ predicts better than the plain mean")
    assert "within noise (−9 to +89 %" in found.reasons[0]


def test_a_gain_of_less_than_one_percent_is_no_offer():
    found = verdict(replace(HELD, error=np.array([3.0, 2.49, 2.5]), gain_error=np.full(3, 1e-4)))
    assert found.offer is None
    assert found.headline.startswith("No τ predicts better")


def test_the_present_value_stays_where_it_is_as_good_as_the_best():
    found = verdict(replace(HELD, now=0.4, as_good=np.array([False, True, True])))
    assert found.offer is None
    assert found.headline == (
        "The present τ 0.4 can stay: no τ predicts better by more than one standard error."
    )


def test_one_group_says_nothing_of_how_sure_a_gain_is():
    found = verdict(replace(HELD, groups=1, gain_error=None, as_good=None))
    assert found.offer is None
    assert "one group alone does not say" in found.reasons[0]


def test_a_log_in_which_nothing_can_be_held_out_says_why():
    found = verdict(replace(HELD, steps=0, few=3, equal=2))
    assert found.headline == "This log cannot say which τ is best."
    assert "3 groups are smaller, in 2 all returns are equal" in found.reasons[0]


def test_values_that_predict_alike_leave_nothing_to_choose():
    found = verdict(replace(HELD, error=np.full(3, 2.5)))
    assert found.offer is None
    assert found.headline.startswith("Every τ predicts alike")


def test_the_error_of_a_gain_is_that_of_group_sums():
    # Sums of squared errors by group, of the plain mean and of the value: the gain is
    # Σ (p − s) / Σ p, its error √G · std(p − s) / Σ p.
    found = Steps.from_log(random_log(np.random.default_rng(1), groups=5, rollouts=4))
    vectors = random_vectors(found, 4)
    space, method = Space(found, embedder=vectors), ProxMO()
    result = held_out(method, method(found, space), space, (0.4,))
    parts = []
    for group in range(found.groups):
        alone = Steps.from_log(
            found.log.filter(found.log["group_id"] == found.log["group_id"].unique().sort()[group])
        )
        here = Space(alone, embedder=vectors)
        one = held_out(method, method(alone, here), here, (0.4,))
        parts.append((one.plain * one.steps, float(one.error[0]) * one.steps))
    plain, own = np.array(parts).T
    assert result.gain(0.4).share == pytest.approx(1 - own.sum() / plain.sum())
    expected = np.sqrt(len(parts)) * (plain - own).std(ddof=1) / plain.sum()
    assert result.gain(0.4).error == pytest.approx(expected)


def test_a_value_that_was_not_tried_has_no_gain():
    with pytest.raises(ParameterError, match=r"τ 0\.3 was not tried"):
        HELD.gain(0.3)


def test_shares_in_words():
    assert own_share(0.17, 0.31) == (
        "17% of a step's baseline is the step itself, so the step term keeps 83% of its size."
    )
    assert own_share(0.1, 0.6).endswith("60% its own rollout, which says nothing independent.")
    assert own_share(0.85, 0.9).endswith("so its step term all but vanishes.")


def test_a_value_is_what_its_field_is_set_to():
    assert fields_at(create("proxmo"), 0.2) == {"temperature": 0.2}
    assert fields_at(create("gigpo"), 0.8) == {"state_key": "similar:threshold=0.8"}
    assert fields_at(create("gigpo"), 1.0) == {"state_key": "exact"}
    assert differing(create("proxmo"), {"gamma": 0.9, "peers": "all"}) == {"gamma": 0.9}


def test_progress_is_told_before_each_value():
    log = random_log(np.random.default_rng(0), rollouts=4)
    steps = Steps.from_log(log)
    space, method = Space(steps, embedder=random_vectors(steps, 4)), ProxMO()
    seen: list[tuple[int, int]] = []
    held_out(
        method,
        method(steps, space),
        space,
        (0.1, 0.2),
        progress=lambda _, done, total: seen.append((done, total)),
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_the_error_of_a_gain_is_none_without_two_groups_or_an_error_to_save():
    # √2 · std(1, 3) = √2 · √2 = 2, of a plain error of ½.
    saved = np.array([[1.0, 3.0], [2.0, 2.0]])
    found = gain_error(saved, 0.5)
    assert found is not None
    assert found.tolist() == pytest.approx([4.0, 0.0])
    assert gain_error(saved, 0.0) is None
    assert gain_error(saved[:, :1], 0.5) is None


def test_an_interval_is_two_standard_errors_to_either_side():
    # 1.96 · .1 on both sides of .5; of .15 it has 0 inside.
    assert Gain(share=0.5, error=0.1).interval == pytest.approx((0.304, 0.696), abs=1e-4)
    found = [Gain(share=share, error=0.1).beyond_noise for share in (0.5, 0.15, -0.15, -0.5)]
    assert found == [1, 0, 0, -1]
    assert Gain(share=0.5, error=None).interval is None
