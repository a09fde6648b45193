"""Long work: it shows how far it is, can be stopped, and is kept for everybody once it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from workbench.ui import cache, state
from workbench.ui.text import escaped
from workbench.wording import Progress

Result = TypeVar("Result")

_UNSEEN = 0.4  # seconds that need neither a bar nor a button
_OFTEN = 0.1  # seconds between two drawings of the bar


def long(key: str, title: str, place: Any, make: Callable[[Progress], Result]) -> Result | None:
    """The result of long work, or None where somebody stopped it.

    For the body of a page, not for a fragment: a click in a fragment does not end what runs.

    Args:
        key: Of which log, under which settings; the result is kept under it.
        title: What is made, for who waits.
        place: A container of the page.
        make: Makes the result; the `Progress` that it is given ends it where somebody stops it.
    """
    kept = cache.slot(key)
    if "result" in kept:
        made: Result = kept["result"]
        return made
    stopped = st.session_state.setdefault(state.STOPPED, set())
    if key in stopped:
        with place.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"{escaped(title)}: stopped.")
            st.button("Go on", key=f"w_go_on_{key}", on_click=lambda: stopped.discard(key))
        return None
    box = place.empty()
    done = make(_Bar(key, title, box, stopped))
    box.empty()
    kept["result"] = done
    return done


class _Bar:
    """A `Progress` that draws a bar with a button to stop, where the work takes its time."""

    def __init__(self, key: str, title: str, box: Any, stopped: set[str]) -> None:
        self._key, self._title, self._box, self._stopped = key, title, box, stopped
        self._began = self._drawn = time.monotonic()
        self._bar: Any = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._began < _UNSEEN or now - self._drawn < _OFTEN:
            return
        self._drawn = now
        if self._bar is None:
            with self._box.container(border=True, horizontal=True, vertical_alignment="center"):
                self._bar = st.progress(0.0)
                st.button(
                    "Stop",
                    key=f"w_stop_{self._key}",
                    on_click=lambda: self._stopped.add(self._key),
                )
        # A click on any control ends the script here; what is made so far is given up.
        share = done / total if total else 0.0
        spent = now - self._began
        left = f", {spent / share - spent:.0f} s left" if share > 0.1 else ""
        self._bar.progress(min(share, 1.0), f"{self._title}: {stage}{left}")
