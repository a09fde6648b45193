"""ProxMO's fields: as every page has them, and as the page Tune tries them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from workbench.analysis.tuning.temperature import overrides
from workbench.methods.proximity.proxmo import ProxMO
from workbench.parameters import fields
from workbench.ui import state
from workbench.wording import number

SPECS = fields(ProxMO)
_SYMBOLS = {
    "temperature": "τ",
    "gamma": "γ",
    "step_weight": "ω",
    "alpha": "α",
    "beta": "β",
    "peers": "peers",
}


def default(name: str) -> Any:
    """What a field is where nobody sets it."""
    return SPECS[name].default


def applied() -> dict[str, Any]:
    """The fields as every page has them."""
    return {name: default(name) for name in state.PROXMO_FIELDS} | dict(state.current().proxmo)


def tried() -> dict[str, Any]:
    """The fields as they are tried: τ is the view's, the others are kept in the session."""
    now = applied()
    now.update(st.session_state.get(state.DRAFT, {}))
    now["temperature"] = state.current().temperature or now["temperature"]
    return now


def pinned() -> float:
    """The τ that changes are counted against."""
    return float(state.current().pin or applied()["temperature"])


def move_to(temperature: float) -> None:
    """Tries a τ."""
    state.update(temperature=None if temperature == applied()["temperature"] else temperature)


def pin() -> None:
    """Counts changes against the τ that is tried."""
    state.update(pin=tried()["temperature"])


def draft(name: str) -> None:
    """Tries what the widget of a field says."""
    value = st.session_state[state.TUNE_FIELD.format(field=name)]
    st.session_state[state.DRAFT] = st.session_state.get(state.DRAFT, {}) | {name: value}


def show(key: str, value: Any) -> None:
    """Makes a widget that comes next show a value.

    One that shows it already is left alone: writing to it would take back what was moved meanwhile.
    """
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def apply() -> None:
    """Gives every page what is tried."""
    now = tried()
    changed = {"temperature": now["temperature"]} | overrides(now)
    state.update(proxmo=overrides(now), temperature=None)
    st.session_state.pop(state.DRAFT, None)
    state.tell("success", f"Every page and the export now have {said(changed)}.")


def reset() -> None:
    """Gives every page ProxMO's defaults."""
    state.update(proxmo={}, temperature=None, pin=None)
    st.session_state.pop(state.DRAFT, None)
    state.tell("info", "ProxMO is at its defaults again, on every page.")


def said(values: Mapping[str, Any]) -> str:
    """Fields in one line."""
    return ", ".join(f"{_SYMBOLS[name]} {_text(value)}" for name, value in values.items())


def _text(value: Any) -> str:
    return number(value).replace("_", " ")
