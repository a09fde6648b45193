"""The steps of a rollout as a transcript: the current one open, those around it in brief."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import streamlit as st

from workbench.analysis.rollouts import Place
from workbench.log.conversation import Message, said
from workbench.log.steps import Real
from workbench.plots.scale import sign_symbol, signed_number
from workbench.ui import state
from workbench.ui.text import escaped, show
from workbench.wording import number, shortened

BEFORE, AFTER = 1, 8
"""Steps shown in brief before and after the current one, which so stays where it is on screen."""

PAGE = 10
HEAD = 4000
"""Characters of a text that are sent unasked; the whole of a longer one is behind a switch."""

_BRIEF, _NO_BREAK = 76, "\u00a0"


def transcript(place: Place, log: pl.DataFrame, lanes: Real | None, names: Sequence[str]) -> None:
    """The current step, the one before it and some that follow; a control leads to the others.

    Args:
        place: The current step.
        log: The step log.
        lanes: Advantages of the rollout, one row a method; None where it is not scored. (M, T)
        names: The methods. M of them.
    """
    first = max(place.index - BEFORE, 0)
    last = min(place.index + AFTER, place.trajectory["length"] - 1)
    rows = log.slice(place.log_row - place.index + first, last - first + 1)
    for offset, row in enumerate(rows.iter_rows(named=True)):
        index = first + offset
        credit = [] if lanes is None else list(zip(names, lanes[:, index], strict=True))
        if index == place.index:
            _open(place, row, credit)
        else:
            _brief(place, row, credit)
    _pages(place)


def signed(value: float) -> str:
    """An advantage as Markdown: symbol, sign and colour of its sign."""
    colour = {"▲": "orange", "▼": "violet"}.get(sign_symbol(value), "gray")
    return f":{colour}[{signed_number(value).replace(' ', _NO_BREAK)}]"


def go_to(step: tuple[str, int] | None) -> None:
    """Looks at a step; for callbacks."""
    if step is not None:
        state.update(step=step)


def _pages(place: Place) -> None:
    pages = -(-place.trajectory["length"] // PAGE)
    if pages == 1:
        return
    page = place.index // PAGE + 1
    # A key for each page: the control shows where the step is, whatever was clicked before.
    key = state.TRANSCRIPT_PAGE.format(page=page, pages=pages)

    def turn() -> None:
        go_to((place.step[0], (st.session_state[key] - 1) * PAGE))

    st.caption(f"All {place.trajectory['length']} steps, {PAGE} a page")
    st.pagination(pages, default=page, key=key, on_change=turn)


def _credits(credit: Sequence[tuple[str, float]]) -> str:
    return " · ".join(
        f":small[{escaped(name)}{_NO_BREAK}{signed(value)}]" for name, value in credit
    )


def _reward(row: dict[str, Any]) -> str:
    if row["reward"] is None:
        return "reward not logged"
    return f"reward {number(row['reward'], 3)}"


def _marks(row: dict[str, Any]) -> str:
    """What else is to be known about a step, in a few words."""
    marks = [_reward(row)]
    marks += ["the environment could not parse the action"] * (not row["valid_action"])
    marks += [f"stands for {row['copies']} equal rows"] * (row["copies"] > 1)
    marks += ["not in the loss"] * (not row["gradient_mask"])
    marks += ["cut by a limit here"] * bool(row.get("truncated"))
    return " · ".join(marks)


def _brief(place: Place, row: dict[str, Any], credit: Sequence[tuple[str, float]]) -> None:
    """One step in a few lines, with a button that opens it."""
    index = row["step_index"]
    button, beside = st.columns([1, 9], gap="small", vertical_alignment="top")
    said = beside.container(gap=None)
    button.button(
        f"{index + 1}",
        key=state.OPEN_STEP.format(index=index),
        help="Open this step",
        type="tertiary",
        on_click=go_to,
        args=((place.step[0], index),),
    )
    reward = f" · {_reward(row)}" if row["reward"] != 0 else ""
    said.caption(_line(row["observation"]))
    said.markdown(f"→ {_line(row['action'])}{reward}")
    if credit:
        said.markdown(_credits(credit))


def _line(text: str) -> str:
    # Only the head is looked at: a text may have a million characters.
    return escaped(shortened(text[: 4 * _BRIEF], _BRIEF)) or "(empty)"


def _open(place: Place, row: dict[str, Any], credit: Sequence[tuple[str, float]]) -> None:
    """The current step in full."""
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**Step {place.index + 1}** · {_marks(row)}")
        if credit:
            st.markdown(_credits(credit))
        if row.get("messages"):
            _messages(json.loads(row["messages"]), place.log_row)
        else:
            st.caption("Observation")
            _text("observation", row["observation"], place.log_row)
            st.caption("Action")
            _text("action", row["action"], place.log_row)
        if place.index + 1 == place.trajectory["length"] and row.get("next_observation"):
            st.caption("What the environment answered")
            _text("answer", row["next_observation"], place.log_row)


def _messages(messages: Sequence[Message], log_row: int) -> None:
    """The messages that are new at the step, the policy's last, each under its role."""
    for number_of_message, message in enumerate(messages, 1):
        role = escaped(str(message["role"]))
        called = message.get("tool_call_id")
        st.caption(f"{role} · answer to {escaped(str(called))}" if called else role)
        for kind, text in said(message):
            if kind != "text":
                st.caption(kind)
            _text(f"{kind} of message {number_of_message}", text, log_row)


def _text(what: str, text: str, log_row: int) -> None:
    if len(text) <= HEAD:
        show(text)
        return
    whole = st.toggle(
        f"All {len(text):,} characters of the {what}",
        key=state.WHOLE_TEXT.format(what=what, row=log_row),
    )
    show(text if whole else text[:HEAD] + " …")
