"""Notes of a scored credit, besides its numbers."""

from __future__ import annotations

import pytest
from logs import log

from workbench.log.steps import Steps
from workbench.methods import METHODS
from workbench.methods.scoring import score
from workbench.parameters import fields
from workbench.states.space import Space

GROUP = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0)]}}
PENALISING = [
    f"{method.name}:{dialect.name}"
    for method in METHODS.values()
    for dialect in method.dialects.values()
    if dialect.invalid_penalty
]


def notes(name: str, valid: list[bool], **params: object) -> list[str]:
    frame = log(GROUP, valid_action=valid, next_observation="z")
    space = Space(Steps.from_log(frame), embedder="tfidf")
    return [note for note in score(space, name, params).notes if "off an invalid action" in note]


def test_a_dialect_notes_its_penalty_where_actions_are_invalid():
    (said,) = notes("gigpo:verl-agent", [True, False, True])
    assert said == (
        "the runs of verl-agent take 0.1 off an invalid action, which 1 of 3 steps has; this "
        "credit takes off nothing. Hint: -p invalid_penalty=0.1"
    )
    assert notes("gigpo:verl-agent", [True, True, True]) == []
    assert notes("gigpo:verl-agent", [True, False, True], invalid_penalty=0.1) == []
    assert notes("gigpo", [True, False, True]) == []


def test_where_the_method_has_no_penalty_the_note_sends_to_the_rewards():
    frame = log(GROUP, valid_action=[True, False, True], critic_value=0.0)
    space = Space(Steps.from_log(frame), embedder="tfidf")
    (said,) = (note for note in score(space, "turn-gae:hiper").notes if "invalid action" in note)
    assert said.endswith("Hint: take it off the log's rewards; this method has no penalty")


@pytest.mark.parametrize("name", PENALISING)
def test_every_other_penalising_dialect_can_turn_it_on(name: str):
    own = fields(METHODS[name.partition(":")[0]].cls)
    assert ("invalid_penalty" in own) == (name != "turn-gae:hiper")


def test_dialects_of_trainers_whose_runs_penalise_are_marked():
    # What ships with the penalty on: verl-agent's runs and those of what is built on it.
    assert {"grpo:verl-agent", "hgpo:verl-agent-webshop", "graphgpo:verl-agent-sokoban"} <= set(
        PENALISING
    )
    assert {"proxmo:reference", "hae:hiper-alfworld"} <= set(PENALISING)
    assert not {"grpo:verl", "grpo:trl", "gigpo:roll"} & set(PENALISING)
