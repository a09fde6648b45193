"""The widgets for the options of an export target, and what they put into the view."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from workbench.exporters import Exporter
from workbench.exporters.options import MARKED
from workbench.log.redaction import BUILT_IN
from workbench.ui import cache, filtering, frame, state

OF_THE_PLACE = "overwrite"
"""An option of where to write, not of what; it has no widget here."""

OF_THE_BAR = "filter"
"""An option whose widget is the filter of the page."""

_AUTOMATIC = "automatic"
_LIKELY = "likely keys, tokens, passwords and mail addresses"
_COLUMNS = {"groups": "group_id", "tasks": "task"}
_NUMBERS = {"clip": None, "top_share": 1.0, "margin": None}  # option -> its largest value


def chosen(target: Exporter) -> dict[str, Any]:
    """The target's options as the view has them, each with its widget."""
    own = {name: default for name, default in target.options.items() if name != OF_THE_PLACE}
    left = filtering.usable()
    given = state.current().export.get("options", {})
    layout = [name for name in own if name in target.choices]
    found = {}
    for place, name in zip(
        st.columns(len(layout), vertical_alignment="bottom"), layout, strict=True
    ):
        found[name] = _option(place, target, name, given.get(name, own[name]), own[name])
    with st.expander(
        "Only some of it: groups, tasks, marked steps, the largest advantages; or without secrets"
    ):
        for name, default in own.items():
            if name == OF_THE_BAR:
                found[name] = None if left is None else state.current().filter
            elif name not in layout:
                found[name] = _open_option(target, name, given.get(name, default), default)
    return {name: found[name] for name in own}


def choose(changes: Mapping[str, Any]) -> None:
    """Take a choice into the view; another target has other options."""
    kept = dict(state.current().export)
    if "to" in changes:
        kept.pop("options", None)
    state.update(export={**kept, **changes})


def _take(name: str, value: Any) -> None:
    """Take an option into the view."""
    others = dict(state.current().export.get("options", {}))
    choose({"options": {**others, name: value}})


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _option(place: Any, target: Exporter, name: str, given: Any, default: Any) -> Any:
    """A widget for an option that has choices."""
    key, choices = state.EXPORT.format(option=f"option_{name}"), target.choices[name]
    label = _label(name)

    if isinstance(default, bool):
        given = st.session_state[key] = given if isinstance(given, bool) else default
        place.checkbox(
            label,
            key=key,
            help=choices.get(True),
            on_change=lambda: _take(name, st.session_state[key]),
        )
        return given
    # A select box takes None for nothing chosen, so a choice is known by its name there.
    names = {value: _AUTOMATIC if value is None else str(value) for value in choices}
    values = {text: value for value, text in names.items()}
    given = given if _among(given, choices) else default
    st.session_state[key] = names[given]
    place.selectbox(
        label,
        list(values),
        key=key,
        help="; ".join(f"{names[value]}: {meaning}" for value, meaning in choices.items()),
        on_change=lambda: _take(name, values[st.session_state[key]]),
    )
    return given


def _open_option(target: Exporter, name: str, given: Any, default: Any) -> Any:
    """A widget for an option without choices; the tokenizer is for users of this machine's files.

    A value from a link that a widget cannot hold is the default.
    """
    key, help = state.EXPORT.format(option=f"option_{name}"), target.helps[name]

    def take() -> None:
        value = st.session_state[key]
        _take(name, default if value in ([], "") else value)

    common: dict[str, Any] = {"key": key, "help": help, "on_change": take}
    if name in _COLUMNS:
        entry = frame.entry()
        log = cache.stored(entry.id, entry).frame
        column = log[_COLUMNS[name]] if _COLUMNS[name] in log.columns else pl.Series([None])
        known: list[str] = column.drop_nulls().unique().sort().to_list()
        fits = isinstance(given, list) and set(map(str, given)) <= set(known)
        given = given if fits and given else default
        st.session_state[key] = given or []
        st.multiselect(_label(name), known, placeholder="all", **common)
        return given
    if name == "marked":
        given = given if given in MARKED else default
        st.session_state[key] = given
        st.selectbox("Marked steps", list(MARKED), format_func=MARKED.__getitem__, **common)
        return given
    if name == "redact":
        return _redact(given, default, common)
    if name in _NUMBERS:
        most = _NUMBERS[name]
        fits = type(given) in (int, float) and 0 <= given <= (most or math.inf)
        given = st.session_state[key] = float(given) if fits else default
        st.number_input(_label(name), 0.0, most, placeholder="no limit", step=0.05, **common)
        return given
    if not frame.allow_paths():
        return default
    st.session_state[key] = given if isinstance(given, str) else ""
    st.text_input(_label(name), **common)
    return given if isinstance(given, str) else default


def _redact(given: Any, default: Any, common: Mapping[str, Any]) -> Any:
    """A widget for the rules of a redaction: the built-in ones, and files of this machine."""
    given = given if isinstance(given, list) and all(isinstance(one, str) for one in given) else []
    allowed = frame.allow_paths()
    given = [one for one in given if one == BUILT_IN or allowed]
    st.session_state[common["key"]] = given
    st.multiselect(
        "Redact",
        list(dict.fromkeys([BUILT_IN, *given])),
        format_func=lambda one: _LIKELY if one == BUILT_IN else one,
        placeholder="nothing",
        accept_new_options=allowed,
        **common,
    )
    return given or default


def _among(value: Any, choices: Mapping[Any, str]) -> bool:
    """True if a value, which may be anything that a URL holds, is a choice."""
    return any(type(value) is type(choice) and value == choice for choice in choices)
