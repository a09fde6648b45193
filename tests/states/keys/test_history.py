"""Keys by what came before."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed import exact_key, refines, states
from logs import Described, described_logs, steps

from workbench.states.keys import parse_state_key


def test_history_by_hand() -> None:
    # t0 sees a b a b, t1 sees b a: pairs (-, a) (a, b) (b, a) (a, b) and (-, b) (b, a).
    described: Described = {
        "g": {
            "t0": [(text, act, 0.0) for text, act in zip("abab", "xyxz", strict=True)],
            "t1": [(text, "q", 0.0) for text in "ba"],
        }
    }
    assert states(steps(described), "history") == [0, 1, 2, 1, 3, 2]
    # Three: - - a, - a b, a b a, b a b, - - b, - b a.
    assert states(steps(described), "history:length=3") == [0, 1, 2, 3, 4, 5]
    assert states(steps(described), "history:length=1") == [0, 1, 0, 1, 1, 0]
    # With the action between: x leads to both b of t0; y leads to t0's a, q to t1's.
    assert states(steps(described), "history:actions=true") == [0, 1, 2, 1, 3, 4]


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="ab"), st.integers(1, 4))
def test_a_longer_history_refines_a_shorter_one(described: Described, length: int) -> None:
    found = steps(described)
    shorter = np.array(states(found, f"history:length={length}"))
    longer = np.array(states(found, f"history:length={length + 1}"))
    assert refines(longer, shorter)
    assert refines(shorter, exact_key(found))


def test_a_history_needs_what_its_keys_need() -> None:
    near = "similar:threshold=0.5"
    assert parse_state_key(f"history:of={near}").needs() == parse_state_key(near).needs() != ()
    assert parse_state_key("history").needs() == ()
    # Those of actions only where they are part of it.
    acts = "action_key=similar:threshold=0.5"
    assert parse_state_key(f"history:actions=true,{acts}").needs() != ()
    assert parse_state_key(f"history:{acts}").needs() == ()
