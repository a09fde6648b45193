"""States of ALFWorld by hand, and on real rollouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from keyed import key

from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.states.space import Space

ROOM = "You are in the middle of a room. Looking quickly around you, you see a desk 1, a sink 1."


def test_alfworld_tells_states_apart_that_read_alike():
    # Both are told the same of the desk, one of them with the mug in its hand.
    empty = [(ROOM, "go to desk 1"), ("On the desk 1, you see nothing.", "wait")]
    full = [
        (ROOM, "go to sink 1"),
        ("On the sink 1, you see a mug 1.", "take mug 1 from sink 1"),
        ("You pick up the mug 1 from the sink 1.", "go to desk 1"),
        ("On the desk 1, you see nothing.", "wait"),
    ]
    assert key("alfworld", empty, full) == [0, 1, 0, 2, 3, 4]
    assert key("exact", empty, full) == [0, 1, 0, 2, 3, 1]


def test_alfworld_takes_untelling_steps_for_the_state_before():
    trajectory = [
        (ROOM, "go to desk 1"),
        ("You arrive at desk 1. On the desk 1, you see a mug 1.", "inventory"),
        ("You are not carrying anything.", "open sky"),
        ("Nothing happens.", "examine desk 1"),
        ("On the desk 1, you see a mug 1.", "look"),
        ("You are facing the desk 1.", "go to sink 1"),
        ("You arrive at sink 1. On the sink 1, you see nothing.", "x"),
    ]
    assert key("alfworld", trajectory) == [0, 1, 1, 1, 1, 1, 2]


def test_alfworld_remembers_what_was_done_to_things():
    def way(treatment: str) -> list[tuple[str, str]]:
        return [
            (ROOM, "x"),
            (f"You {treatment} the mug 1 using the sink 1.", "x"),
            ("On the desk 1, you see nothing.", "x"),
        ]

    clean, hot, cold = way("clean"), way("heat"), way("cool")
    assert key("alfworld:observation=false", clean, hot, cold) == [0, 1, 1, 0, 2, 2, 0, 3, 3]
    # Heat after cold is hot; clean stays.
    reheated = [*cold, ("You heat the mug 1 using the sink 1.", "x")]
    assert key("alfworld:observation=false", hot, reheated) == [0, 1, 1, 0, 2, 2, 1]


def test_alfworld_remembers_places_in_the_order_of_reports():
    there = [
        (ROOM, "x"),
        ("You pick up the mug 1 from the sink 1. You put the mug 1 in/on the desk 1.", "x"),
    ]
    back = [
        (ROOM, "x"),
        ("You put the mug 1 in/on the desk 1. You pick up the mug 1 from the desk 1.", "x"),
    ]
    moved = [(ROOM, "x"), ("You move the mug 1 to the desk 1.", "x")]
    found = key("alfworld:observation=false", there, back, moved)
    assert found == [0, 1, 0, 2, 0, 1]


@pytest.mark.parametrize(
    ("file", "spec"), [("alfworld_knowagent", "alfworld"), ("webshop_react", "webshop")]
)
def test_real_rollouts_have_states_of_several_texts_and_texts_of_several_states(
    shared: Path, file: str, spec: str
):
    log = validate(pl.read_parquet(shared / "data" / f"{file}.parquet")).log
    space = Space(Steps.from_log(log), embedder="tfidf")
    pairs = np.unique(np.stack([space.state_key("exact"), space.state_key(spec)]), axis=1)
    assert pairs.shape[1] > space.state_key("exact").max() + 1
    assert pairs.shape[1] > space.state_key(spec).max() + 1
