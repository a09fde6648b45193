"""Fields of the tuned method: as every page has them, and as the page Tune tries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from workbench.analysis.tuning.thresholds import EXACT, KeyThreshold
from workbench.analysis.tuning.tunable import Tunable, present, tuned_by
from workbench.analysis.tuning.verdict import differing, fields_at
from workbench.methods import Method, create
from workbench.ui import state
from workbench.wording import number

_SYMBOLS = {
    "temperature": "τ",
    "neighbours": "n",
    "gamma": "γ",
    "continuation": "λ",
    "step_weight": "ω",
    "alpha": "α",
    "beta": "β",
    "trace": "ρ",
    "prior": "c",
}


def method() -> str:
    """The method that is tuned."""
    return state.current().tuned


def made(fields: Mapping[str, Any]) -> Method:
    """The tuned method with fields set."""
    return create(method(), fields)


def tuned() -> Tunable:
    """Field of the tuned method that held-out rollouts can choose, as on every page."""
    return tuned_by(made(applied()))


def applied() -> dict[str, Any]:
    """The fields of the tuned method that every page has and that are not its own."""
    return state.current().params(method())


def tried() -> dict[str, Any]:
    """The fields as they are tried: the value is the view's, the others are kept in the session."""
    now = {**applied(), **_draft()}
    if (value := state.current().trying) is not None:
        now |= fields_at(made(now), value)
    return differing(create(method()), made(now).values)


def value() -> float:
    """The value that is tried."""
    return state.current().trying or applied_value()


def applied_value() -> float:
    """The value that every page has."""
    found = present(tuned())
    assert found is not None
    return found


def pinned() -> float:
    """The value that changes are counted against."""
    return float(state.current().pins.get(method(), applied_value()))


def choose(name: str) -> None:
    """Tunes another method."""
    state.update(tuned=name, trying=None)


def move_to(value: float) -> None:
    """Tries a value."""
    state.update(trying=None if value == applied_value() else value)


def pin(value: float) -> None:
    """Counts changes against a value from now on, whatever is applied later."""
    state.update(pins={**state.current().pins, method(): value})


def draft(name: str) -> None:
    """Tries what the widget of a field says."""
    try_field(name, st.session_state[state.TUNE_FIELD.format(method=method(), field=name)])


def try_field(name: str, given: Any) -> None:
    """Tries a value of a field."""
    drafts = st.session_state.get(state.DRAFT, {})
    st.session_state[state.DRAFT] = {**drafts, method(): {**_draft(), name: given}}


def show(key: str, value: Any) -> None:
    """Makes a widget that comes next show a value.

    One that shows it already is left alone: writing to it would take back what was moved meanwhile.
    """
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def apply() -> None:
    """Gives every page what is tried; the value before is pinned, and shown."""
    now, was = tried(), applied_value()
    give(method(), now)
    state.update(trying=None)
    if applied_value() != was:
        pin(was)
    _forget()


def give(name: str, fields: Mapping[str, Any]) -> None:
    """Gives every page these fields of a method or dialect, and says what they were before."""
    before, now = (create(name, own).values for own in (state.current().params(name), fields))
    changed = [field for field, value in now.items() if before[field] != value]
    own = differing(create(name), now)
    state.update(fields=state.current().with_fields(name, own))
    new, old = (said({field: values[field] for field in changed}) for values in (now, before))
    state.tell("success", f"Every page and the export now have {name} with {new}. Before: {old}.")


def reset() -> None:
    """Gives every page the method's own fields."""
    pins = {name: pin for name, pin in state.current().pins.items() if name != method()}
    state.update(fields=state.current().with_fields(method(), {}), trying=None, pins=pins)
    _forget()
    state.tell("info", f"{method()} has its own fields again, on every page.")


def said(values: Mapping[str, Any]) -> str:
    """Fields in one line."""
    return ", ".join(f"{symbol(name)} {_text(value)}" for name, value in values.items())


def assigned(values: Mapping[str, Any]) -> str:
    """Fields and their new values in one line, as a button names them."""
    return ", ".join(f"{symbol(name)} to {_text(value)}" for name, value in values.items())


def symbol(name: str) -> str:
    """The field in a formula, or its name in words."""
    return _SYMBOLS.get(name, name.replace("_", " "))


def namer() -> Callable[[float], str]:
    """The values of the tuned field as a slider shows them."""
    exact = EXACT if isinstance(tuned(), KeyThreshold) else None
    return lambda value: "exact keys" if value == exact else number(value)


def _text(value: Any) -> str:
    return number(value).replace("_", " ")


def _draft() -> dict[str, Any]:
    drafts: Mapping[str, Mapping[str, Any]] = st.session_state.get(state.DRAFT, {})
    return dict(drafts.get(method(), {}))


def _forget() -> None:
    drafts = st.session_state.get(state.DRAFT, {})
    st.session_state[state.DRAFT] = {k: v for k, v in drafts.items() if k != method()}
