"""Credit under other rewards, without some rollouts, with other fields."""

from __future__ import annotations

import numpy as np
import pytest
from kept_variants import forget
from logs import Described, steps

from workbench.errors import MissingInputError, ParameterError
from workbench.methods import create
from workbench.methods.what_if import WhatIf, entries, keep
from workbench.states.space import Space

LOG: Described = {
    "g": {
        "a": [("x", "p", 0.0), ("y", "q", 1.0)],
        "b": [("x", "r", 0.0)],
        "c": [("x", "p", 0.5)],
    }
}


def advantage(**values: str) -> list[float]:
    scored = steps(LOG)
    return create("what-if", values)(scored, Space(scored, embedder="tfidf")).advantage.tolist()


def test_another_reward_changes_the_whole_group():
    # Rewards 1, 0, .5 less their mean .5; with a reward of 0 for a the mean is 1/6.
    mean = "norm=mean"
    assert advantage(of="grpo", fields=mean) == pytest.approx([0.5, 0.5, -0.5, 0.0])
    changed = advantage(of="grpo", fields=mean, rewards="a=0")
    assert changed == pytest.approx([-1 / 6, -1 / 6, -1 / 6, 1 / 3])


def test_a_rollout_left_out_is_measured_by_the_others():
    # Mean of b and c is 1/4.
    without = advantage(of="grpo", fields="norm=mean", without="a")
    assert without == pytest.approx([0.75, 0.75, -0.25, 0.25])


def test_a_step_left_out_counts_in_no_baseline():
    # γ 1: returns 1, 1, 0, .5. State x is met by a, b, c: mean 1/2; without c's step 1/2 as well,
    # without b's 3/4. The episode term stays out by a step weight that leaves only the steps.
    space = Space(steps(LOG), embedder="tfidf")
    fields = "norm=mean gamma=1 step_weight=1"
    values = {"of": "gigpo", "fields": fields, "without_steps": "b:0"}
    credit = create("what-if", values)(space.steps, space)
    baseline = credit.terms["step"].baseline
    assert baseline[[0, 2, 3]].tolist() == pytest.approx([0.75, 0.75, 0.75])


def test_another_field_is_that_of_the_method():
    scored = steps(LOG)
    space = Space(scored, embedder="tfidf")
    changed = create("what-if", {"of": "gigpo", "fields": "gamma=0.5"})(scored, space)
    assert np.array_equal(
        changed.advantage, create("gigpo", {"gamma": 0.5})(scored, space).advantage
    )
    assert changed.notes[-1] == "what if: gamma = 0.5"


def test_success_follows_a_changed_reward_where_rewards_tell_it():
    scored = steps(LOG, success=[True, True, False, False])
    space = Space(scored, embedder="tfidf")
    # Successes pay 1, failures at most .5: from .75 on a rollout succeeds.
    for reward, psc in (("b=0.8", True), ("b=0.7", False)):
        method = create("what-if", {"of": "proxmo", "rewards": reward})
        facts = method(scored, space).explain(0).facts["episode"]
        assert facts["success_rate"] == pytest.approx(2 / 3 if psc else 1 / 3)


def test_what_the_log_does_not_score_is_said():
    with pytest.raises(MissingInputError, match="scores no 'z'"):
        advantage(rewards="z=1")
    with pytest.raises(MissingInputError, match="scores no 'a' step 7"):
        advantage(without_steps="a:7")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rewards": "a=much"}, "TRAJECTORY=REWARD"),
        ({"rewards": "a=nan"}, "finite rewards"),
        ({"without_steps": "a"}, "TRAJECTORY:INDEX"),
        ({"without": "'a"}, "names with spaces between"),
        ({"of": "gigpo", "fields": "gamma=2"}, "gamma must be in"),
        ({"of": "grpo", "fields": "gamme=1"}, "unknown field of grpo 'gamme'"),
    ],
)
def test_values_that_cannot_be_are_refused(values: dict[str, str], message: str):
    with pytest.raises(ParameterError, match=message):
        create("what-if", values)


def test_ids_with_spaces_and_equals_signs_are_quoted():
    given = entries(["a b=0", "c=d=1"])
    assert WhatIf(rewards=given).changes == "reward of a b is 0, reward of c=d is 1"


def test_a_kept_what_if_is_a_method_whose_name_holds_its_digest():
    name = keep("half life!", {"of": "gigpo", "fields": "gamma=0.5"})
    assert name.startswith("what-if:half-life-")
    assert create(name).values["fields"] == "gamma=0.5"
    # The same name for something else is another method.
    other = keep("half life!", {"of": "gigpo", "fields": "gamma=0.6"})
    assert other != name
    forget(name, other)
