"""A log as rollouts: places, terms in words, peers and what differs in them."""

from __future__ import annotations

import logs
import narrow
import polars as pl
import pytest

from workbench.analysis.peers import difference, own_name, peer_rows
from workbench.analysis.rollouts import Rollouts, fact_rows, outcome, scored_number, sentence
from workbench.errors import ParameterError
from workbench.log.credit import Credit
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space
from workbench.wording import number

LOG = logs.log(
    {
        "g0": {
            "g0/a": [("s", "go", 0.0), ("t", "go", 1.0)],
            "g0/b": [("s", "go", 0.0), ("u", "go", None)],
            "g0/c": [("s", "stay", 0.0)],
        },
        "g1": {"other": [("s", "go", 1.0), ("s", "go", 0.0), ("v", "go", 0.0)]},
    }
)
ROLLOUTS = Rollouts.from_log(LOG)


def credit(method: str, frame=LOG) -> Credit:
    space = Space(Steps.from_log(frame), embedder="tfidf")
    return create(method)(space.steps, space)


def test_rollouts_know_where_they_begin():
    assert ROLLOUTS.table["start"].to_list() == [0, 2, 4, 5]
    assert ROLLOUTS.groups == {"g0": [0, 1, 2], "g1": [3]}
    assert ROLLOUTS.place(("other", 2)).log_row == 7
    assert ROLLOUTS.place(None).step == ("g0/a", 0)


def test_groups_and_rollouts_are_counted_as_people_count():
    step = [("s", "go", 0.0)]
    described = {f"g{k}": {f"g{k}/r{n}": step for n in (10, 9)} for k in (10, 2)}
    found = Rollouts.from_log(logs.log(described))
    ids = found.table["trajectory_id"]
    assert {group: [ids[row] for row in rows] for group, rows in found.groups.items()} == {
        "g2": ["g2/r9", "g2/r10"],
        "g10": ["g10/r9", "g10/r10"],
    }
    assert found.numbers["g10/r10"] == (2, 2)
    assert list(found.groups) == ["g2", "g10"]


def test_a_step_that_is_not_there_is_named():
    with pytest.raises(ParameterError, match="no trajectory 'nowhere'"):
        ROLLOUTS.place(("nowhere", 0))
    with pytest.raises(ParameterError, match="has steps 0 to 1, not 2"):
        ROLLOUTS.place(("g0/a", 2))


def test_scored_steps_are_numbered_past_what_is_excluded():
    # g0/b has a null reward, so scored steps are numbered past it.
    grpo = credit("grpo")
    place = ROLLOUTS.place(("other", 1))
    assert scored_number(grpo, place) == 4


def test_names_and_marks():
    assert own_name("g0/a", "g0") == "a"
    assert own_name("other", "g1") == "other"
    assert own_name("g0", "g0") == "g0"
    assert [outcome(value) for value in (True, False, None)] == ["✓", "✗", "?"]
    assert (number(0.53123, 3), number(12345.0, 3)) == ("0.531", "12,345")


def test_terms_in_words():
    # Rewards 1 and 0: mean 0.5, deviation 0.707, factor 1.414.
    grpo = credit("grpo").explain(0)
    assert (
        sentence("episode", grpo.facts["episode"])
        == "reward 1 against the group's mean 0.5, over the deviation 0.707"
    )
    rloo = credit("rloo").explain(0)
    assert (
        sentence("episode", rloo.facts["episode"])
        == "reward 1 against the 0 of the only other rollout"
    )
    gigpo = credit("gigpo").explain(0)
    assert "the 2 steps in this state, over the deviation" in sentence("step", gigpo.facts["step"])
    # PSC: 1 + 0.1 · (σ(0.5⁴) − 0.5) = 1.0016.
    proxmo = credit("proxmo").explain(0)
    assert "weighted 1.002 for a success rate of 0.5" in sentence(
        "episode", proxmo.facts["episode"]
    )
    assert "effective peers" in sentence("step", proxmo.facts["step"])


def test_what_has_no_one_to_compare_with_says_so():
    only = credit("grpo").explain(3)
    assert (
        sentence("episode", only.facts["episode"])
        == "0, because it is the only rollout of its group"
    )
    raw = credit("grpo:verl").explain(3)
    assert (
        sentence("episode", raw.facts["episode"])
        == "reward 1 as it is, because it is the only rollout of its group"
    )
    alone = credit("gigpo").explain(1)
    assert (
        sentence("step", alone.facts["step"])
        == "0, because no other step of the group is in this state"
    )
    dead = logs.log({"g": {"a": [("s", "go", 1.0)], "b": [("s", "go", 1.0)]}})
    equal = credit("grpo", dead).explain(0)
    assert sentence("episode", equal.facts["episode"]).endswith("switched off: all are equal")


def test_facts_of_all_terms_in_one_table():
    rows = fact_rows(credit("gigpo").explain(0).facts)
    assert rows.columns == ["fact", "episode", "step"]
    found = {row["fact"]: row for row in rows.to_dicts()}
    assert found["all equal"]["episode"] == "no"
    assert found["steps in this state"] == {
        "fact": "steps in this state",
        "episode": "",
        "step": "2",
    }


def test_peers_lead_to_steps():
    found = credit("proxmo").explain(0)
    episode = peer_rows(found, "episode")
    assert episode.rows["step"].to_list() == [None, None]
    assert episode.targets == (("g0/a", 0), ("g0/c", 0))
    assert episode.rows["rollout"].to_list() == ["a (own)", "c"]
    step = peer_rows(found, "step", top=2)
    assert step.count == 3
    assert step.rows["rollout"][0] == "a (this)"
    assert narrow.number(step.rows["weight"].sum()) + step.rest == pytest.approx(1.0)
    # The table counts steps from 1; targets are step indices.
    assert [index + 1 for _, index in step.targets] == step.rows["step"].to_list()


def test_reading_begins_where_rewards_differ():
    rows = [
        ("g", "a", 0, "x", "act", 1.0),
        ("g", "b", 0, "x", "act", 1.0),
        ("h", "c", 0, "x", "act", 0.0),
        ("h", "d", 0, "x", "act", None),
        ("i", "e", 0, "x", "act", 0.0),
        ("i", "f", 0, "x", "act", 1.0),
    ]
    names = ["group_id", "trajectory_id", "step_index", "observation", "action", "reward"]
    log = validate(pl.DataFrame(rows, schema=names, orient="row")).log
    assert Rollouts.from_log(log).place(None).step == ("e", 0)
    same = log.filter(pl.col("group_id") == "g")
    assert Rollouts.from_log(same).place(None).step == ("a", 0)


def test_what_differs_is_told_by_lines_and_sentences():
    own = "You see a desk. You see a mug.\nThe house is still."
    other = "You see a desk. You see a pen.\nThe house is still."
    assert difference(own, other) == [
        ("You see a desk. ", "same"),
        ("You see a mug.\n", "gone"),
        ("You see a pen.\n", "new"),
        ("The house is still.", "same"),
    ]
    assert difference(own, own) == [(own, "same")]
    assert difference("", "new") == [("new", "new")]
    assert difference("old", "") == [("old", "gone")]
