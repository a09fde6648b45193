"""Memory of each slot along a trajectory."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.states.keys.memory import EVENTS, remembered


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
