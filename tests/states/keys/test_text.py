"""Keys by text: character for character, and normalised."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed import exact_key, one, refines, states
from logs import Described, described_logs, steps

from workbench.errors import ParameterError
from workbench.states.keys import parse_state_key

TWO: Described = {
    "g": {
        "t0": [("hall", "x", 0.0), ("door", "x", 0.0), ("hall", "x", 0.0)],
        "t1": [("door", "x", 1.0)],
    },
    "h": {"t2": [("hall", "x", 0.0), ("door ", "x", 1.0)]},
}


def test_equal_texts_of_a_group_share_a_key_numbered_as_first_met() -> None:
    # hall 0, door 1; the other group has its own hall, and "door " with a blank is another text.
    assert exact_key(steps(TWO)).tolist() == [0, 1, 0, 1, 2, 3]
    assert exact_key(steps(TWO)).dtype == np.int64


def test_texts_are_compared_character_for_character() -> None:
    texts = ["Door", "door", "door\n", "", " ", "dóor", "do\u0301or", "door"]
    described: Described = {"g": {"t": [(text, "x", 0.0) for text in texts]}}
    assert exact_key(steps(described)).tolist() == [0, 1, 2, 3, 4, 5, 6, 1]


def test_a_logged_state_key_stands_in_for_the_observation() -> None:
    # Both halls of t0 differ by key; t1's door has the key of the first hall.
    keyed = steps(TWO, state_key=["1", "2", "3", "1", "1", "1"])
    assert exact_key(keyed).tolist() == [0, 1, 2, 0, 3, 3]


def test_steps_without_a_state_key_keep_their_observation() -> None:
    keyed = steps(TWO, state_key=["k", None, "k", None, None, "k"])
    assert exact_key(keyed).tolist() == [0, 1, 0, 1, 2, 3]


def test_a_state_key_is_never_taken_for_an_observation_of_the_same_text() -> None:
    # Step 1 is seen as "door"; step 0's key is the text "door".
    keyed = steps(TWO, state_key=["door", None, None, None, None, None])
    assert exact_key(keyed).tolist() == [0, 1, 2, 1, 3, 4]


def test_a_state_key_of_another_type_is_read_as_text() -> None:
    assert exact_key(steps(TWO, state_key=[1, 2, 3, 1, 1, 1])).tolist() == [0, 1, 2, 0, 3, 3]


def test_excluded_steps_have_no_key() -> None:
    left = steps(TWO, reward=[None, 0.0, 0.0, 1.0, 0.0, 1.0])
    assert exact_key(left).tolist() == [0, 1, 2]


@settings(deadline=None, max_examples=60)
@given(described_logs(texts="abc"), st.data())
def test_two_steps_share_a_key_if_and_only_if_group_and_text_are_equal(
    described: Described, data: st.DataObject
) -> None:
    size = len(steps(described))
    logged = data.draw(st.lists(st.sampled_from([None, "a", "k"]), min_size=size, max_size=size))
    found = steps(described, state_key=logged)
    key, observation, kept_keys = (
        exact_key(found),
        found.column("observation"),
        found.column("state_key"),
    )
    state = [
        (group, seen if kept is None else kept, kept is None)
        for group, seen, kept in zip(found.group, observation, kept_keys, strict=True)
    ]
    numbers: dict[object, int] = {}
    assert key.tolist() == [numbers.setdefault(one, len(numbers)) for one in state]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text(st.sampled_from("aA 1\n.é"), max_size=6), min_size=1, max_size=8),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_normalised_is_coarser_than_exact_and_coarser_with_each_setting(
    texts: list[str], chosen: tuple[bool, bool, bool]
) -> None:
    found = steps(one(*texts))
    spec = "normalised:" + json.dumps(
        dict(zip(("case", "whitespace", "numbers"), chosen, strict=True))
    )
    every = "normalised:numbers=true"
    assert refines(exact_key(found), np.array(states(found, spec)))
    assert refines(np.array(states(found, spec)), np.array(states(found, every)))


def test_normalised_by_hand() -> None:
    texts = ["Door  open", "door open\n", "door 1", "door 2", "at 2024-01-02 03:04:05", "at *"]
    assert states(steps(one(*texts)), "normalised") == [0, 0, 1, 2, 3, 3]
    assert states(steps(one(*texts)), "normalised:numbers=true") == [0, 0, 1, 1, 2, 2]
    plain = "normalised:case=false,whitespace=false,volatile="
    assert states(steps(one(*texts)), plain) == [0, 1, 2, 3, 4, 5]


def test_volatile_patterns_remove_budgets_and_durations_but_no_dates() -> None:
    pairs = [
        ("You have 4 steps left and 2 chances left.", "You have 3 steps left and 1 chances left."),
        ("<f at 0x7f00aa>", "<f at 0x7f00bb>"),
        ("3 passed in 0.12s", "3 passed in 4.5s"),
        ("see /tmp/a1/x.log", "see /tmp/b2/x.log"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 123e4567-e89b-12d3-a456-426614174001"),
    ]
    for left, right in pairs:
        assert states(steps(one(left, right)), "normalised") == [0, 0]
    assert states(steps(one("on 2024-05-20", "on 2024-05-21")), "normalised") == [0, 1]


def test_volatile_patterns_are_the_users_to_set() -> None:
    spec = 'normalised:{"volatile": "order-[a-z]+"}'
    assert states(steps(one("order-a ok", "order-b ok", "order-b no")), spec) == [0, 0, 1]
    with pytest.raises(ParameterError, match=r"volatile: '\[' is no regular .*unclosed character"):
        parse_state_key("normalised:volatile=[")


def test_normalised_leaves_a_logged_state_key_alone() -> None:
    keyed = steps(one("x", "x", "X"), state_key=["A", "a", None])
    assert states(keyed, "normalised") == [0, 1, 2]
