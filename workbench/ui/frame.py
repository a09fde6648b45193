"""State that pages share: the log and the representation of the view, credits and vectors."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import streamlit as st
from PIL import Image

from workbench.errors import WorkbenchError
from workbench.states.embedders.registry import DEFAULT_EMBEDDER
from workbench.ui import cache, state
from workbench.ui.hints import of_error
from workbench.ui.library import Library, LogEntry
from workbench.ui.text import escaped, told
from workbench.ui.viewer.turns import done
from workbench.wording import shortened, silent
from workbench.workspace.marks import Marks
from workbench.workspace.variants import Variants

if TYPE_CHECKING:
    from workbench.log.credit import Credit

STYLE = """
.stMainBlockContainer { padding: .3rem 1rem; }
.stAppHeader { background: none; height: 0; min-height: 0; }
[data-testid=stStatusWidget] { position: fixed; right: .4rem; bottom: .4rem; }
.stMainBlockContainer > .stVerticalBlock { gap: .4rem; }
.st-key-title {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
.st-key-bar p { margin: 0; font-size: .875rem; white-space: nowrap; }
.st-key-bar [data-testid=stPageLink-NavLink] { padding: .2rem .45rem; }
.st-key-bar [data-testid=stTextInput] { min-width: 9rem; flex: 1 1 12rem; }
.st-key-bar [data-testid=stTextInputRootElement] { height: 2rem; min-height: 0; }
.st-key-watched {
  position: fixed; right: 1rem; bottom: 1rem; width: auto !important; z-index: 1000;
  padding: .5rem .8rem; border-radius: .5rem; border: 1px solid #8888;
  background: #8883; backdrop-filter: blur(10px);
}
.st-key-watched p { margin: 0; }
.st-key-bar button { min-height: 2rem; padding: .1rem .5rem; }
.st-key-bar [data-testid=stPopoverButton] > div { margin: 0; }
.st-key-bar [data-testid=stPopoverButton] > div > [aria-hidden=true] { display: none; }
@media (max-width: 1600px) {
  .st-key-bar [data-testid=stPageLink-NavLink] > :not(:last-child) { display: none; }
}
[data-testid=stCaptionContainer] { opacity: .8; }
[data-testid=stTable] td > * { max-width: none !important; width: auto !important; }
[data-testid=stExpander] summary { padding-block: .35rem; min-height: 0; }
"""
"""The whole width for the page, and one line of pages; the heading is for who hears the page."""

_BARS = np.full((16, 16, 3), 250, dtype=np.uint8)
_BARS[2:8, 3:7] = (224, 130, 20)
_BARS[8:14, 9:13] = (94, 60, 153)
ICON = Image.fromarray(_BARS)
"""A bar above a line and one below; drawn here because named icons come from the network."""

EMBEDDERS = ("tfidf", DEFAULT_EMBEDDER)
HOME = "overview"


def open_view(
    page: str,
    root: Path,
    sources: tuple[str, ...],
    embedder: str | None,
    *,
    keep_days: int | None = None,
) -> None:
    """Restore the view and open its log; stop the page with an error where there is none."""
    try:
        library = cache.library(str(root), sources, keep_days)
        # An address may name a variant that is kept in a workspace.
        problems = cache.load_variants(library)
    except WorkbenchError as error:
        st.error("A log of the command line cannot be opened.")
        st.code(of_error(error), language=None, wrap_lines=True)
        st.stop()
    state.begin(page, [*EMBEDDERS, *([embedder] if embedder else [])])
    for problem in problems:
        st.warning(escaped(of_error(problem)))
    st.session_state[state.LIBRARY] = library
    view = state.current()
    if embedder and state.URL_EMBEDDER not in st.query_params and not view.log:
        state.update(embedder=embedder)
    entry = library.find(view.log or library.given[0])
    if entry is None:
        asked = shortened(view.log or "", 40)
        state.tell("warning", f"There is no log {asked!r} here; this is the first one.")
        entry = library.find(library.given[0])
        assert entry is not None
        state.update(log=entry.id, step=None)
    elif not view.log:
        state.update(log=entry.id)
    st.session_state[state.ENTRY] = entry
    state.write_url()


def set_pages(pages: Sequence[st.Page], *, allow_paths: bool) -> None:
    """Remember the pages of this run, for links, and whether paths may be typed in."""
    st.session_state[state.PAGES] = {page.title.lower(): page for page in pages}
    st.session_state[state.ALLOW_PATHS] = allow_paths


def pages() -> Mapping[str, st.Page]:
    """The pages by the last part of their address."""
    found: Mapping[str, st.Page] = st.session_state[state.PAGES]
    return found


def allow_paths() -> bool:
    """True if the command line allows paths of this machine to be typed into the app."""
    return bool(st.session_state[state.ALLOW_PATHS])


def go_to(name: str) -> None:
    """Show another page with the same view."""
    st.switch_page(pages()[name], query_params=state.current().to_url())


def link(label: str, page: str, **changes: Any) -> None:
    """A link to a page with the view changed; it can be copied and opened by somebody else."""
    view = dataclasses.replace(state.current(), **changes)
    st.page_link(pages()[page], label=escaped(label), query_params=view.to_url())


def open_step(trajectory: str, step: int) -> None:
    """Show a step in its rollout."""
    state.update(step=(trajectory, step))
    go_to("rollouts")


def variants() -> Variants:
    """The named variants of the workspace of the view's log."""
    return Variants(entry().workspace)


def marks() -> Marks:
    """The marks and notes of the workspace of the view's log."""
    return Marks(entry().workspace)


def marked() -> pl.DataFrame:
    """`mark` and `note` of each step of the view's log. (L, 2)."""
    here, found = entry(), marks()
    return cache.marked(here.id, str(found.root), found.version, here)[0]


def named(steps: pl.DataFrame) -> list[pl.Series]:
    """Names of steps of the view's log in a table: `group`, `rollout`, `step`, `done`.

    Groups where they differ, rollouts by their number in the group, steps from 1; whole ids are
    where the step is read.

    Args:
        steps: `trajectory_id` and `step_index` of each.
    """
    here = entry()
    known, groups = cache.rollouts(here.id, here), cache.group_names(here.id, here)
    places = [known.place((str(t), int(s))) for t, s in steps.iter_rows()]
    actions = cache.stored(here.id, here).frame["action"][[place.log_row for place in places]]
    count = [known.numbers[place.step[0]] for place in places]
    return [
        pl.Series("group", [groups[place.trajectory["group_id"]] for place in places], pl.String),
        pl.Series("rollout", [f"#{number} of {of}" for number, of in count], pl.String),
        pl.Series("step", [place.index + 1 for place in places], pl.Int64),
        pl.Series("done", [shortened(done(action)) for action in actions], pl.String),
    ]


def library() -> Library:
    """The logs of this server."""
    found: Library = st.session_state[state.LIBRARY]
    return found


def entry() -> LogEntry:
    """The log of the view."""
    found: LogEntry = st.session_state[state.ENTRY]
    return found


def known_logs() -> list[str]:
    """Ids of the logs of the command line and of this session; that of the view as it is scored."""
    here = entry()
    plain = here.with_guessed_chains(taken=False).id
    # What was uploaded may have expired.
    uploaded = filter(library().find, st.session_state.get(state.UPLOADED, ()))
    ids = list(dict.fromkeys([*library().given, *uploaded, plain]))
    ids[ids.index(plain)] = here.id
    return ids


def choose_log(log_id: str) -> None:
    """Show another log; what was looked at in the old one is left behind."""
    state.update(log=log_id, step=None, trying=None, filter="", sort="")


def show_added(entry: LogEntry) -> None:
    """Show a log that was read in this session, and keep it among those to choose from."""
    uploaded = st.session_state.get(state.UPLOADED, ())
    if entry.id not in (*uploaded, *library().given):
        st.session_state[state.UPLOADED] = (*uploaded, entry.id)
    choose_log(entry.id)


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
    from workbench.methods.variants import variants

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
            st.error(f"{escaped(method)} cannot score this log: {told(error)}")
    if not found:
        st.stop()
    return found


def credit(method: str) -> Credit:
    """The credit of the view's log under one method, as the view sets it."""
    view = state.current()
    return cache.credit(entry().id, view.embedder, method, view.params(method), entry())


def require_vectors() -> None:
    """See to it that the log's states have vectors: shows progress, can be stopped, goes on."""
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
        rate = f", {done / spent:.0f} per second" if done and spent else ""
        bar.progress(done / max(total, 1), f"{done:,} of {total:,} texts{rate}{left}")

    try:
        cache.vectors(here.id, view.embedder, here, progress)
    except WorkbenchError as error:
        place.empty()
        st.error(told(error))
        st.button("Use TF-IDF", on_click=lambda: state.update(embedder="tfidf"))
        st.stop()
    place.empty()
