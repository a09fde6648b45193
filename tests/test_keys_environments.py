"""Keys that piece a state together from the trajectory: ALFWorld, WebShop, code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, steps

from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.states.keys.memory import EVENTS, remembered
from workbench.states.space import Space


def key(spec: str, *trajectories: list[tuple[str, str]]) -> list[int]:
    """Labels of trajectories given as (observation, action)."""
    described: Described = {
        "g": {
            f"t{number}": [(seen, act, 0.0) for seen, act in steps_]
            for number, steps_ in enumerate(trajectories)
        }
    }
    return Space(steps(described), embedder="tfidf").state_key(spec).tolist()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=8),
    st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from("ab"), st.sampled_from(["x", "y", None])),
        max_size=10,
    ),
)
def test_memory_is_the_last_value_of_every_slot(
    begins: list[int], events: list[tuple[int, str, str | None]]
):
    segment = np.cumsum(begins).astype(np.int64)
    events = [event for event in events if event[0] < len(begins)]
    expected = []
    for step in range(len(begins)):
        slots: dict[str, str | None] = {}
        for at, slot, value in sorted(events, key=lambda event: event[0]):
            if at <= step and segment[at] == segment[step]:
                slots[slot] = value
        held = sorted(f"{slot}={value}" for slot, value in slots.items() if value is not None)
        expected.append("\n".join(held))
    frame = pl.DataFrame(events, EVENTS, orient="row")
    assert remembered(frame, segment).to_list() == expected


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


def test_alfworld_remembers_where_things_were_put_in_the_order_in_which_it_is_said():
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


SEARCH, RESULTS = (
    "Webshop \n[Search]",
    "[Back to Search] \nPage 1 (Total results: 50) \n[B09QQLDJ93]",
)
ITEM = "[Back to Search] \n[< Prev] \ncolor [red][blue] \nPrice: $9 \n[Description] \n[Buy Now]"


def test_webshop_knows_the_options_that_the_page_does_not_show():
    to_item = [(SEARCH, "search[shoe]"), (RESULTS, "click[B09QQLDJ93]")]
    red = [*to_item, (ITEM, "click[red]"), ("You have clicked red.", "click[Buy Now]")]
    blue = [*to_item, (ITEM, "click[blue]"), (ITEM, "click[Buy Now]")]
    assert key("webshop", red, blue) == [0, 1, 2, 3, 0, 1, 2, 4]
    assert key("webshop:options=false", red, blue) == [0, 1, 2, 2, 0, 1, 2, 2]
    assert key("exact", red, blue) == [0, 1, 2, 3, 0, 1, 2, 2]


def test_webshop_forgets_options_where_a_list_or_another_item_is_opened():
    trajectory = [
        (SEARCH, "search[shoe]"),
        (RESULTS, "click[b09qqldj93]"),
        (ITEM, "click[red]"),
        (ITEM, "click[back to search]"),
        (SEARCH, "search[shoe]"),
        (RESULTS, "click[b09qqldj93]"),
        (ITEM, "click[description]"),
        ("[Back to Search] \n[< Prev] \nA shoe.", "click[< prev]"),
        (ITEM, "click[b09qqldj94]"),
        (ITEM, "x"),
    ]
    # Back at the item without options; then the description; then another item of the same text.
    assert key("webshop", trajectory) == [0, 1, 2, 3, 0, 1, 2, 4, 2, 5]


def test_webshop_reads_pages_in_the_spelling_of_verl_agent():
    item = "'Back to Search' [SEP] '< Prev' [SEP] 'size' [SEP] 'small' [SEP] 'Buy Now'"
    results = "'Back to Search' [SEP] 'Page 1 (Total results: 50)' [SEP] 'B09QQLDJ93'"
    start = "WebShop [SEP] Instruction: [SEP] a shoe [SEP] Search"
    assert key("webshop", [(start, "click[red]"), (start, "x")]) == [0, 0]
    one = [("'Search'", "search[a]"), (results, "click[b09qqldj93]"), (item, "click[small]")]
    two = [*one, (item, "click[buy now]")]
    assert key("webshop", one, two) == [0, 1, 2, 0, 1, 2, 3]


def test_code_states_are_files_touched_and_the_last_test_result():
    one = [
        ("Fix it", "open src/a.py"),
        ("def f(): …", "edit ./src/a.py"),
        ("edited", "pytest -q tests/test_a.py"),
        ("1 failed, 3 passed in 0.1s", "think"),
        ("ok", "pytest"),
        ("4 passed in 0.2s", "done"),
    ]
    # Nothing; a.py; the same; tests, failed; the same; passed.
    assert key("code", one) == [0, 1, 1, 2, 2, 3]
    # The order of touching does not matter, what was touched does.
    there = [("o", "cat x.py"), ("o", "cat y.py"), ("o", "z")]
    back = [("o", "cat y.py"), ("o", "cat x.py"), ("o", "z")]
    assert key("code", there, back) == [0, 1, 2, 0, 3, 2]


def test_code_patterns_are_the_users_to_set():
    one = [("o", "read cell A1"), ("o", "read cell A1"), ("score 3", "x")]
    assert key("code", one) == [0, 0, 0]
    spec = 'code:{"files": "[A-Z][0-9]+", "tests": "score [0-9]"}'
    assert key(spec, one) == [0, 1, 2]


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
