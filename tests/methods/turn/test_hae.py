"""HAE by hand: subgoals from a column and from tags, penalties, what is refused."""

from __future__ import annotations

import polars as pl
import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log

from workbench.errors import MissingInputError

# One subgoal for two steps, then another for one.
PLAN: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0), ("z", "r", 2.0)]}}
VALUES = {
    "critic_value_low": [0.5, 0.25, 1.0],
    "critic_value_high": [0.75, None, 0.5],
    "critic_value_switch": [0.0, 0.125, 0.25],
}
HALVES = {"gamma": 0.5, "lam": 0.5, "lam_subgoal": 0.5}


def tagged(*replies: str) -> Described:
    """One rollout with these replies, rewards of 1."""
    return {"g": {"a": [("", reply, 1.0) for reply in replies]}}


def test_hae_by_hand():
    found = credit(log(PLAN, new_subgoal=[True, False, True], **VALUES), "hae", **HALVES)
    # Inside the first subgoal: δ_1 = 1 + ½·V_high(2) − ¼ = 1, δ_0 = 0 + ½·¼ − ½ = −3/8 and
    # A_0 = −3/8 + ¼·1. The second ends the rollout: 2 − 1.
    assert found.terms["action"].value.tolist() == near(-0.125, 1.0, 1.0)
    # T_1 = 1 + ½·½ = 5/4, T_0 = ½·5/4 = 5/8, T_2 = 2. Over subgoals: A_2 = 2 − ½ and
    # A_0 = 5/8 − ¾ + (½)²·½·A_2.
    assert found.terms["subgoal"].value.tolist() == near(-0.125 + 0.1875, 0.0, 1.5)
    assert found.terms["switch"].value.tolist() == near(0.625, 1.125, 1.75)
    assert found.advantage.tolist() == near(0.5625, 2.125, 4.25)
    facts = found.explain(1).facts["action"]
    assert (facts["critic_value"], facts["subgoal_began_at"]) == (0.25, 0)


def test_without_the_switch_its_values_are_not_asked_for():
    frame = log(PLAN, new_subgoal=[True, False, True], **VALUES).drop("critic_value_switch")
    with pytest.raises(MissingInputError, match="hae needs `critic_value_switch`"):
        credit(frame, "hae")
    assert set(credit(frame, "hae", switch_term=False).terms) == {"action", "subgoal"}


def test_subgoals_are_read_from_the_replies():
    # The second keeps by its word, the third by an empty one, the fourth has no tag, the last
    # begins anew; the third has no subgoal to credit and the fourth no switch.
    replies = (
        "<switch>SWITCH</switch><subgoal>a</subgoal>go",
        "<switch> keep\n</switch><subgoal>a</subgoal>go",
        "<switch></switch>go",
        "<subgoal>a</subgoal>go",
        "<switch>next</switch><subgoal>b</subgoal>go",
    )
    values = dict.fromkeys(VALUES, 0.25)
    by_tags = credit(log(tagged(*replies), **values), "hae")
    by_column = credit(
        log(tagged(*replies), new_subgoal=[True, False, False, False, True], **values), "hae"
    )
    assert by_tags.advantage.tolist() == by_column.advantage.tolist()
    assert [bool(value) for value in by_tags.terms["subgoal"].value] == [True, *[False] * 3, True]
    assert [bool(value) for value in by_tags.terms["switch"].value] == [True] * 3 + [False, True]


def test_a_rollout_says_by_itself_where_its_subgoals_begin():
    one: Described = {"g": {"a": [("", "<switch>KEEP</switch><subgoal>a</subgoal>", 1.0)] * 2}}
    two: Described = {"h": {"b": [("", "go", 1.0), ("", "go", 2.0)]}}
    values = dict.fromkeys(VALUES, 0.25)
    # The tags of a are not missed in b, and the column of b does not stand for a's tags.
    alone = [
        credit(log(one, **values), "hae"),
        credit(log(two, new_subgoal=[False, True], **values), "hae"),
    ]
    both = credit(log({**one, **two}, new_subgoal=[None, None, False, True], **values), "hae")
    for name, term in both.terms.items():
        apart = [value for each in alone for value in each.terms[name].value.tolist()]
        assert term.value.tolist() == apart, name


def test_penalties_by_hand():
    # The second keeps and words its subgoal anew, the third keeps it as it is with an invalid
    # action: both pay .6/3, the one .5 more, the other .25 more.
    frame = log(
        tagged(
            "<switch>GO</switch><subgoal>a</subgoal>",
            "<switch>KEEP</switch><subgoal>b</subgoal>",
            "<switch>KEEP</switch><subgoal>b</subgoal>",
        ),
        valid_action=[True, True, False],
        **dict.fromkeys(VALUES, 0.0),
    )
    penalties = {"keep_penalty": 0.6, "change_penalty": 0.5, "invalid_penalty": 0.25}
    found = credit(frame, "hae", gamma=0.0, **penalties)
    assert found.terms["switch"].score.tolist() == near(1.0, 0.3, 0.55)
    fixed = credit(frame, "hae", gamma=0.0, keep_penalty_mode="fixed", **penalties)
    assert fixed.terms["switch"].score.tolist() == near(1.0, -0.1, 0.15)


def test_a_reply_without_a_subgoal_words_none_anew():
    frame = log(
        tagged(
            "<switch>GO</switch><subgoal>a</subgoal>",
            "<switch>KEEP</switch>",
            "<switch>KEEP</switch><subgoal>b</subgoal>",
        ),
        **dict.fromkeys(VALUES, 0.0),
    )
    found = credit(frame, "hae", gamma=0.0, keep_penalty=0.0, change_penalty=0.5)
    # Neither the second, which has none, nor the third, which comes after none.
    assert found.terms["switch"].score.tolist() == near(1.0, 1.0, 1.0)


def test_a_rollout_that_was_cut_off_goes_on_with_its_own_values_where_asked():
    frame = log(
        PLAN, new_subgoal=[True, False, False], truncated=[None, None, True], **VALUES
    ).with_columns(critic_value_high=pl.Series([0.75, None, None]))
    plain, cut = (
        credit(frame, "hae", gamma=1.0, truncated_as=name) for name in ("failure", "bootstrap")
    )
    # The action goes on with V_low = 1 of the last step, the subgoal with V_high = ¾ of its first.
    assert (cut.terms["action"].value - plain.terms["action"].value).tolist() == near(1, 1, 1)
    gained = cut.terms["subgoal"].value - plain.terms["subgoal"].value
    assert gained.tolist() == near(0.75, 0.0, 0.0)


@given(described_logs())
def test_where_every_step_is_a_subgoal_hae_is_gae_twice(described: Described):
    # γ and V are the same at both levels, so the action's term is δ and the subgoal's is GAE.
    frame = log(described, new_subgoal=True, critic_value=0.25, **dict.fromkeys(VALUES, 0.25))
    found = credit(frame, "hae", gamma=0.9, lam_subgoal=0.8)
    gae = {lam: advantage(frame, "turn-gae", gamma=0.9, lam=lam) for lam in (0.0, 0.8)}
    assert found.terms["action"].value.tolist() == near(*gae[0.0])
    assert found.terms["subgoal"].value.tolist() == near(*gae[0.8])


def test_a_log_without_subgoals_or_values_is_refused():
    values = dict.fromkeys(VALUES, 0.25)
    with pytest.raises(MissingInputError, match=r"where subgoals begin.*<switch>KEEP.*turn-gae"):
        credit(log(PLAN, **values), "hae")
    with pytest.raises(
        MissingInputError, match=r"critic_value_low.*and.*critic_value_high.*columns.json"
    ):
        credit(log(PLAN), "hae")
    with pytest.raises(MissingInputError, match=r"critic_value_high` is not known in 1 of 2"):
        credit(log(PLAN, new_subgoal=[True, True, False], **VALUES), "hae")
