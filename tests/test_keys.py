from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, steps

from workbench.keys import Exact
from workbench.space import Space
from workbench.steps import Index, Steps


def exact_key(steps: Steps) -> Index:
    return Exact()(steps, Space(steps, embedder="tfidf"))


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
    key, observation, logged = (
        exact_key(found),
        found.column("observation"),
        found.column("state_key"),
    )
    state = [
        (group, seen if kept is None else kept, kept is None)
        for group, seen, kept in zip(found.group, observation, logged, strict=True)
    ]
    numbers: dict[object, int] = {}
    assert key.tolist() == [numbers.setdefault(one, len(numbers)) for one in state]
