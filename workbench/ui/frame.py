"""What stands around every page: which log, which representation, messages; and the embedding."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from workbench.errors import WorkbenchError
from workbench.log.credit import Credit
from workbench.methods.variants import variants
from workbench.states.embedders.registry import DEFAULT_EMBEDDER
from workbench.ui import cache, state
from workbench.ui.library import Library, LogEntry
from workbench.ui.text import escaped
from workbench.wording import silent

STYLE = ".stMainBlockContainer { padding-top: 2.5rem; padding-bottom: 3rem; }"
"""Streamlit leaves a hand's breadth above every page."""

_BARS = np.full((16, 16, 3), 250, dtype=np.uint8)
_BARS[2:8, 3:7] = (224, 130, 20)
_BARS[8:14, 9:13] = (94, 60, 153)
ICON = Image.fromarray(_BARS)
"""A bar above a line and one below; drawn here because named icons come from the network."""

EMBEDDERS = ("tfidf", DEFAULT_EMBEDDER)


def open_view(root: Path, sources: tuple[str, ...], embedder: str | None) -> None:
    """Restores the view and opens its log; stops the page with an error where there is none."""
    state.begin([*EMBEDDERS, *([embedder] if embedder else [])])
    try:
        library = cache.library(str(root), sources)
    except WorkbenchError as error:
        st.error("A log of the command line cannot be opened.")
        st.code(str(error), language=None, wrap_lines=True)
        st.stop()
    st.session_state[state.LIBRARY] = library
    view = state.current()
    if embedder and state.URL_EMBEDDER not in st.query_params and not view.log:
        state.update(embedder=embedder)
    entry = library.find(view.log or library.given[0])
    if entry is None:
        state.tell("warning", f"There is no log {view.log!r} here; this is the first one.")
        entry = library.find(library.given[0])
        assert entry is not None
        state.update(log=entry.id, step=None)
    elif not view.log:
        state.update(log=entry.id)
    st.session_state[state.ENTRY] = entry
    state.write_url()


def set_pages(pages: Sequence[st.Page], *, allow_paths: bool) -> None:
    """Remembers the pages of this run, for links, and whether paths may be typed in."""
    st.session_state[state.PAGES] = {page.url_path or "log": page for page in pages}
    st.session_state[state.ALLOW_PATHS] = allow_paths


def allow_paths() -> bool:
    """Whether the command line allows paths of this machine to be typed into the app."""
    return bool(st.session_state[state.ALLOW_PATHS])


def go_to(name: str) -> None:
    """Shows another page with the same view."""
    st.switch_page(st.session_state[state.PAGES][name], query_params=state.current().to_url())


def open_step(trajectory: str, step: int) -> None:
    """Shows a step in its rollout."""
    state.update(step=(trajectory, step))
    go_to("rollout")


def library() -> Library:
    """The logs of this server."""
    found: Library = st.session_state[state.LIBRARY]
    return found


def entry() -> LogEntry:
    """The log of the view."""
    found: LogEntry = st.session_state[state.ENTRY]
    return found


def choose_log(log_id: str) -> None:
    """Shows another log; what was looked at in the old one is left behind."""
    state.update(log=log_id, step=None, temperature=None, pin=None)


def show_added(entry: LogEntry) -> None:
    """Shows a log that was read in this session, and keeps it among those to choose from."""
    uploaded = st.session_state.get(state.UPLOADED, ())
    if entry.id not in (*uploaded, *library().given):
        st.session_state[state.UPLOADED] = (*uploaded, entry.id)
    choose_log(entry.id)


def sidebar() -> None:
    """Pickers of the log and of the representation."""
    here, view = entry(), state.current()
    plain = here.with_guessed_chains(taken=False).id
    ids = list(dict.fromkeys([*library().given, *st.session_state.get(state.UPLOADED, ()), plain]))
    ids[ids.index(plain)] = here.id
    names = {log_id: _name(log_id) for log_id in ids}
    with st.sidebar:
        st.session_state[state.LOG_PICKER] = here.id
        st.selectbox(
            "Log",
            ids,
            key=state.LOG_PICKER,
            format_func=lambda log_id: names[log_id],
            on_change=lambda: choose_log(st.session_state[state.LOG_PICKER]),
        )
        choices = [*EMBEDDERS, *([view.embedder] if view.embedder not in EMBEDDERS else [])]
        st.session_state[state.EMBEDDER_PICKER] = view.embedder
        st.selectbox(
            "State similarity",
            choices,
            key=state.EMBEDDER_PICKER,
            help="How near two states are: TF-IDF is instant, a sentence model reads meaning and "
            "embeds each distinct text once.",
            on_change=lambda: state.update(embedder=st.session_state[state.EMBEDDER_PICKER]),
        )
        _guessed_chains(here)


def _guessed_chains(here: LogEntry) -> None:
    """The choice to score by chains that a reader guessed, where it did."""
    guessed = cache.chains(here.id, here)
    if guessed is None:
        return
    st.warning(f"{escaped(guessed[:1].upper() + guessed[1:])}.")
    st.session_state[state.GUESSED_CHAINS] = here.unchained
    st.checkbox(
        "Take the guessed order all the same",
        key=state.GUESSED_CHAINS,
        help="Methods that discount or look back are refused without it. With it their credit is "
        "wrong wherever the guess is, and says so.",
        on_change=lambda: state.update(
            log=here.with_guessed_chains(taken=st.session_state[state.GUESSED_CHAINS]).id
        ),
    )


def _name(log_id: str) -> str:
    found = library().find(log_id)
    return found.name if found else log_id


def show_messages() -> None:
    """What earlier actions left to say."""
    for kind, message in state.messages():
        getattr(st, kind)(escaped(message))


def methods_picker(
    page: str, *, label: str = "Methods and dialects", may_be_empty: bool = False
) -> None:
    """Picks the methods of the view; the first one stays when all are cleared, unless none may."""
    key = state.METHODS_PICKER.format(page=page)
    chosen = state.current().methods
    kept = () if may_be_empty else chosen[:1]

    def choose() -> None:
        state.update(methods=tuple(st.session_state[key]) or kept)

    st.session_state[key] = list(chosen)
    st.multiselect(label, variants(), key=key, on_change=choose)


def credits(*methods: str) -> dict[str, Credit]:
    """Credits of the view's log, embedding it first where that is needed.

    The page stops here while someone has to wait or a method says what it lacks.
    """
    found = {}
    for method in methods:
        try:
            if cache.needs_vectors(method):
                require_vectors()
            found[method] = credit(method)
        except WorkbenchError as error:
            st.error(f"{escaped(method)} cannot score this log: {escaped(str(error))}")
    if not found:
        st.stop()
    return found


def credit(method: str) -> Credit:
    """The credit of the view's log under one method, as the view sets it."""
    view = state.current()
    return cache.credit(entry().id, view.embedder, method, view.params(method), entry())


def require_vectors() -> None:
    """Sees to it that the log's states have vectors: shows progress, can be stopped, goes on."""
    view, here = state.current(), entry()
    if cache.has_vectors(here.id, view.embedder, here):
        return
    if view.embedder == "tfidf":
        with st.spinner("Reading the states of this log …"):
            cache.vectors(here.id, view.embedder, here, silent)
        return
    place = st.empty()
    with place.container(border=True):
        st.markdown(f"**Reading the states of this log with {escaped(view.embedder)}**")
        st.caption("Each distinct text is embedded once. What is finished is kept when you stop.")
        bar = st.progress(0.0, "Loading the model …")
        st.button("Stop and use TF-IDF", on_click=lambda: state.update(embedder="tfidf"))
    began = time.monotonic()

    def progress(stage: str, done: int, total: int) -> None:
        # A click on any control ends the script here; the embedder keeps what it has.
        spent = time.monotonic() - began
        left = f", {spent / done * (total - done):.0f} s left" if done else ""
        rate = f", {done / spent:.0f} a second" if done and spent else ""
        bar.progress(done / max(total, 1), f"{done:,} of {total:,} texts{rate}{left}")

    try:
        cache.vectors(here.id, view.embedder, here, progress)
    except WorkbenchError as error:
        place.empty()
        st.error(escaped(str(error)))
        st.button("Use TF-IDF", on_click=lambda: state.update(embedder="tfidf"))
        st.stop()
    place.empty()
