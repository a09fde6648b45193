"""The effect of a what-if on a step, its group and the log."""

from __future__ import annotations

import pytest
from logs import Described, steps

from workbench.analysis.what_if import changeable, described, effect
from workbench.errors import ParameterError
from workbench.methods import create
from workbench.states.space import Space

LOG: Described = {
    "g": {"a": [("x", "p", 1.0)], "b": [("x", "q", 0.0)], "c": [("x", "q", 0.6)]},
    "h": {"d": [("x", "p", 1.0)], "e": [("x", "q", 0.0)]},
}


def test_before_and_after_by_hand():
    scored = steps(LOG)
    space = Space(scored, embedder="tfidf")
    params = {"norm": "mean"}
    values = described("grpo", params, changed={}, rewards={"a": 0.0})
    before = create("grpo", params)(scored, space)
    after = create("what-if", values)(scored, space)
    found = effect(before, after, 0)
    # Mean 1.6/3 before, .6/3 after: a 7/15 to -1/5, b -8/15 to -1/5, c 1/15 to 2/5.
    assert (found.before, found.after) == pytest.approx((7 / 15, -1 / 5))
    assert found.rollouts["after"].to_list() == pytest.approx([-1 / 5, -1 / 5, 2 / 5])
    assert found.rollouts["flips"].to_list() == [1, 0, 0]
    assert (found.flips, found.changed, found.groups) == (1, 3, 1)


def test_a_credit_of_other_steps_is_refused():
    one, other = steps(LOG), steps({"g": LOG["g"]})
    left, right = (create("grpo")(s, Space(s, embedder="tfidf")) for s in (one, other))
    with pytest.raises(ParameterError, match="same steps"):
        effect(left, right, 0)


def test_the_fields_that_are_offered_are_those_of_the_method():
    assert changeable("grpo", {}) == {}
    offered = changeable("proxmo", {"temperature": 0.2})
    assert offered["temperature"] == 0.2
    assert set(offered) >= {"gamma", "temperature", "step_weight", "peers"}


def test_a_change_is_fields_of_the_what_if_method():
    values = described(
        "proxmo",
        {"gamma": 0.9},
        changed={"temperature": 0.5},
        rewards={"a b": 0.25},
        without=["c"],
        without_steps=[("d", 3)],
    )
    assert values == {
        "of": "proxmo",
        "fields": "gamma=0.9 temperature=0.5",
        "rewards": "'a b=0.25'",
        "without": "c",
        "without_steps": "d:3",
    }
