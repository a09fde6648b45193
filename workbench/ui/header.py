"""The head of every page: the other pages, the log, the filter and how much it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from workbench.errors import FilterError
from workbench.glossary import GLOSSARY
from workbench.ui import cache, filtering, frame, state, watching
from workbench.ui.text import escaped, told
from workbench.wording import number_of, shortened

_SYNTAX = """
Terms stand side by side, all have to hold; a minus in front turns one round.

| | |
|---|---|
| `outcome:failed` `kind:live,penalty_only` | how the rollout ended; what its group can teach |
| `proxmo>0.5` `\\|gigpo\\|>1` `grpo=0` | advantage of a method, as it is or its size |
| `flip:grpo,proxmo` `unstable:proxmo` | opposite signs; a sign that is luck of the draw |
| `depth>=10` `length<5` `reward>0` `valid:no` | step, counted from 1; steps of its rollout |
| `group:task-03` `agent:planner` `tool:search` `update:3` | any column of the log |
| `mark:+` `mark:none` `note:loop` | what people marked and noted |
| `map:tfidf/pca,…` | inside a box or a lasso on the page Map, which writes it |
| `loop` `"no results"` `-text:sorry` | contained in what was seen, thought or done |
"""


def header(title: str, note: str = "") -> Any:
    """Draws it; returns the place for the page's commands.

    Args:
        title: The page's name.
        note: What the filter does here, where it is not that only what it leaves is shown.
    """
    state.drew_links()
    with st.container(key="title"):
        st.title(title, anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="bar"):
        with st.container(horizontal=True, gap=None, width="content", key="pages"):
            for page in frame.pages().values():
                query = state.current().to_url()
                st.page_link(page, label=page.title, icon=page.icon, query_params=query)
        problems = _filter()
        _log()
        commands = st.container(width="content")
        if st.button("Words", icon=":material/dictionary:", type="tertiary"):
            _words()
    if note and state.current().filter and not problems:
        st.caption(note)
    if problems:
        st.error("  \n".join(map(told, problems)))
    for kind, message in state.messages():
        getattr(st, kind)(told(message))
    _excerpt()
    _guessed_chains()
    watching.banner()
    return commands


@st.dialog("Words", width="large")
def _words() -> None:
    """The glossary."""
    rows = (f"| **{word}** | {meaning} |" for word, meaning in GLOSSARY.items())
    st.markdown("\n".join(["| | |", "|---|---|", *rows]))


def _excerpt() -> None:
    """Says what of a large log is not here."""
    here = frame.entry()
    found = cache.stored(here.id, here).report.get("excerpt")
    if found is None:
        return
    whole = found["of"]
    st.info(
        f"The log is larger than the app can hold: these are the first "
        f"{number_of(found['groups'], 'group')} of {whole['groups']:,}, {found['steps']:,} of "
        f"{whole['steps']:,} steps, and every number is of them alone. The command line works on "
        "the whole log, in parts."
    )


def _log() -> None:
    """The pickers of the log and of the representation."""
    here, view = frame.entry(), state.current()
    ids = frame.known_logs()
    names = {log_id: _name(log_id) for log_id in ids}
    with st.popover(escaped(shortened(here.name, 20)), icon=":material/folder_open:"):
        st.session_state[state.LOG_PICKER] = here.id
        st.selectbox(
            "Log",
            ids,
            key=state.LOG_PICKER,
            format_func=lambda log_id: names[log_id],
            on_change=lambda: frame.choose_log(st.session_state[state.LOG_PICKER]),
        )
        known = [
            *frame.EMBEDDERS,
            *([view.embedder] if view.embedder not in frame.EMBEDDERS else []),
        ]
        st.session_state[state.EMBEDDER_PICKER] = view.embedder
        st.selectbox(
            "State similarity",
            known,
            key=state.EMBEDDER_PICKER,
            help="How near two states are: TF-IDF is instant, a sentence model reads meaning and "
            "embeds each distinct text once.",
            on_change=lambda: state.update(embedder=st.session_state[state.EMBEDDER_PICKER]),
        )
        columns = cache.stored(here.id, here).frame.columns
        if frame.allow_paths() and "response_ids" in columns:
            _tokenizer()


def _tokenizer() -> None:
    """The folder of the tokenizer by which token ids are shown as texts."""
    st.session_state[state.TOKENIZER_INPUT] = st.session_state.get(state.TOKENIZER, "")
    st.text_input(
        "Folder of the policy's tokenizer",
        key=state.TOKENIZER_INPUT,
        placeholder="models/policy",
        help="With a file tokenizer.json. Tokens are then shown as texts where a step's columns "
        "are (i on the page Rollouts).",
        on_change=lambda: st.session_state.update(
            {state.TOKENIZER: st.session_state[state.TOKENIZER_INPUT].strip()}
        ),
    )


def _name(log_id: str) -> str:
    found = frame.library().find(log_id)
    return found.name if found else log_id


def _guessed_chains() -> None:
    """The choice to score by chains that a reader guessed, where it did."""
    here = frame.entry()
    guessed = cache.chains(here.id, here)
    if guessed is None:
        return
    st.warning(f"{escaped(guessed[:1].upper() + guessed[1:])}.")
    st.session_state[state.GUESSED_CHAINS] = here.unchained
    st.checkbox(
        "Take the guessed order anyway",
        key=state.GUESSED_CHAINS,
        help="Methods that discount or look back are refused without it. With it their credit is "
        "wrong wherever the guess is, and says so.",
        on_change=lambda: state.update(
            log=here.with_guessed_chains(taken=st.session_state[state.GUESSED_CHAINS]).id
        ),
    )


def _filter() -> Sequence[str]:
    """The filter of the app, and a link to the steps that it leaves; says what is wrong with it."""
    text = state.current().filter
    st.session_state[state.FILTER] = text
    st.text_input(
        "Filter",
        key=state.FILTER,
        max_chars=state.MOST_FILTER,
        label_visibility="collapsed",
        icon=":material/filter_alt:",
        placeholder='Filter: outcome:failed |proxmo|>1 "some text"',
        on_change=lambda: state.update(filter=st.session_state[state.FILTER].strip()),
    )
    problems: Sequence[str] = ()
    if text:
        try:
            kept = filtering.kept()
        except FilterError as error:
            problems = error.problems
        else:
            steps = number_of(kept.count, "step")
            frame.link(f"{steps} of {kept.of:,}", "steps")
    with st.popover("", icon=":material/help:", help="What a filter can say"):
        st.markdown(_SYNTAX)
    return problems
