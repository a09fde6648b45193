"""A folder that a run still writes to: new files are announced, and loaded when somebody asks."""

from __future__ import annotations

import threading
from pathlib import Path

import streamlit as st

from workbench.files import digest
from workbench.readers.watching import Look, Waiting, Watch
from workbench.ui import frame, state
from workbench.ui.library import LogEntry
from workbench.ui.text import escaped
from workbench.wording import are, number_of

EVERY = 3.0
"""Seconds between two looks for new files, and for which a file must rest before it is read."""


class Watched:
    """The files of a folder as one log that grows on request.

    Args:
        root: Workspace of the app.
        folder: The folder.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        place = root / "watched" / digest(str(folder.resolve()))[:16]
        staging = place / "parts"
        staging.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._log = place / f"{folder.resolve().name or 'run'}.parquet"
        self._watch = Watch(self._log, [folder], interval=EVERY, folder=staging)
        self._lock = threading.Lock()

    def waiting(self) -> Waiting:
        """The files that `load` would take up."""
        with self._lock:
            return self._watch.waiting()

    def load(self) -> tuple[Look, LogEntry | None]:
        """Take up what is new, and the log with it; None where nothing was taken.

        Raises:
            LogError: The log cannot be opened.
        """
        with self._lock:
            found = self._watch.look()
            if found.report is None:
                return found, None
            return found, frame.library().add([str(self._log)])


def banner() -> None:
    """Say in a corner of every page how many files are new; the page stays as it is."""
    watched: Watched | None = st.session_state.get(state.WATCHED)
    if watched is not None:
        _banner(watched)


@st.fragment(run_every=EVERY)
def _banner(watched: Watched) -> None:
    found = watched.waiting()
    parts = [f"{number_of(len(found.new), 'new file')}"] * bool(found.new)
    parts += [f"{are(len(found.changed), 'file', 'have')} changed"] * bool(found.changed)
    if not parts:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="watched"):
        st.markdown(f"**{', '.join(parts)}** in {escaped(watched.folder.name)}")
        if st.button("Load", type="primary", key=state.LOAD_WATCHED):
            _load(watched)
            st.rerun()


def _load(watched: Watched) -> None:
    """Load what is new and show it; what was left out is listed with its reason."""
    with st.spinner("Reading …"):
        found, entry = watched.load()
    for name, why in found.left.items():
        state.tell("warning", f"{Path(name).name} is left for later: {why}.")
    if found.refused:
        state.tell("error", f"The log is as it was: {found.refused}")
    if entry is not None:
        frame.show_added(entry)
        state.tell("success", f"{number_of(len(found.taken), 'file')} loaded: {entry.name}.")
