"""Tune page: the tuned field of a method under a slider, and its effect on credit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from workbench.analysis.tuning.held_out import HeldOut
from workbench.analysis.tuning.temperature import edges, histogram, sign_flips
from workbench.analysis.tuning.thresholds import KeyThreshold
from workbench.analysis.tuning.tunable import tunable_methods
from workbench.analysis.tuning.verdict import MUCH, differing, own_share, verdict
from workbench.errors import WorkbenchError
from workbench.log.remarks import TOLERANCE
from workbench.methods import METHODS, create
from workbench.plots import temperature as plots
from workbench.ui import cache, command, fields_form, filtering, frame, settings, state, trial
from workbench.ui.header import header
from workbench.ui.text import escaped, told
from workbench.ui.trial import Tried

_OWN_AMONG = ("all", "other_steps")  # peers among which a step's own rollout is


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


_MEASURES: Mapping[str, tuple[str, Callable[[float], str], str]] = {
    "effective": (
        "Effective peers",
        "{:.1f}".format,
        "1 / Σ weight², median over the steps: how many peers make up a baseline.",
    ),
    "own_step": (
        "Weight of the step itself",
        _percent,
        "Median share of a step in its own baseline; its step term shrinks by as much.",
    ),
    "own_trajectory": (
        "Weight of its own rollout",
        _percent,
        "Median share of a step's own rollout in its baseline, which says nothing independent.",
    ),
}
_OF_FILTER = (
    "A value and its error are of the whole log, whose groups must stay whole; the histogram and "
    "the sign flips are of the steps that the filter leaves."
)
_QUIET: dict[str, Any] = {"delta_color": "off", "delta_arrow": "off"}
_ABOUT = {
    "τ": "τ, how fast the weight of a peer falls with its distance",
    "n": "n, how many near steps make the value of a state",
    "threshold": "Threshold, how alike two states have to be to count as one",
}
_HELP = {
    "τ": "Cold (left): only the most similar states count. Hot (right): all peers count alike. "
    "The spread is the deviation of similarities inside a group, in which temperatures of two "
    "representations can be compared.",
    "n": "Few (left): only the nearest steps say what a state is worth. Many: the whole group.",
    "threshold": "Low (left): unlike states are merged. At the right end only equal texts are.",
}


def page() -> None:
    """The page."""
    header("Tune", _OF_FILTER)
    place = st.container()
    try:
        if cache.needs_vectors(settings.method()) or isinstance(settings.tuned(), KeyThreshold):
            frame.require_vectors()
        trial.at(settings.value())
        held = trial.held_out(place)
    except WorkbenchError as error:
        _picker(place)
        st.error(f"There is no credit to tune in this log: {told(error)}")
        return
    _live(held)
    fields_form.area()


def _picker(place: Any) -> None:
    """The method that is tuned; settings of another one are kept meanwhile."""
    st.session_state[state.TUNED_PICKER] = settings.method()
    place.selectbox(
        "Method to tune",
        tunable_methods(),
        key=state.TUNED_PICKER,
        help=METHODS[settings.method()].summary,
        on_change=lambda: settings.choose(st.session_state[state.TUNED_PICKER]),
    )


@st.fragment
def _live(held: HeldOut | None) -> None:
    """The slider and all that follows it."""
    value, pin = settings.value(), settings.pinned()
    _status(pin)
    now, pinned = trial.at(value), trial.at(pin)
    _verdict(held, now)
    _slider(value)
    kept = filtering.usable()
    shown = slice(None) if kept is None else kept.mask[now.credit.steps.row]
    credit, credit_pinned = now.advantage[shown], pinned.advantage[shown]
    _numbers(now, pinned, (value, pin), sign_flips(credit, credit_pinned), len(credit))
    left, right = st.columns(2)
    largest = max(now.largest, pinned.largest)
    with left:
        _spread(credit, credit_pinned, largest, "" if value == pin else _at(pin))
    with right:
        _prediction(held, value)


def _at(value: float) -> str:
    """A value with its symbol."""
    symbol, name = settings.tuned().tunable_symbol, settings.namer()(value)
    return name if name == "exact keys" else f"{symbol} {name}"


def _status(pin: float) -> None:
    method = create(settings.method())
    applied, tried = (settings.made(own()).values for own in (settings.applied, settings.tried))
    changed = {name: value for name, value in tried.items() if value != applied[name]}
    own = settings.tuned().tunable
    differing_now = {own: applied[own]} | differing(method, applied)
    trying = settings.said({own: tried[own]} | changed) if changed else "just that"
    parts = {
        "Applied": settings.said(differing_now),
        "Trying": trying + _in_units(settings.value()),
        "Pinned": _at(pin),
    }
    picker, text, buttons = st.columns([2, 6, 4], vertical_alignment="bottom")
    _picker(picker)
    text.markdown(" · ".join(f"**{name}:** {escaped(value)}" for name, value in parts.items()))
    with buttons, st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Apply to every page", type="primary", disabled=not changed):
            settings.apply()
            st.rerun()
        if st.button("Reset", help="The method's own fields, on every page."):
            settings.reset()
            st.rerun()
        command.popover(*_commands(settings.tried()))


def _commands(tried: Mapping[str, Any]) -> list[str]:
    entry, method = frame.entry(), settings.method()
    own = settings.tuned().tunable
    given = {own: settings.made(tried).values[own]} | dict(tried)
    where = command.space(entry, method)
    said = [*command.params(given), *where]
    return [
        command.workbench("score", entry.source, "-m", method, *said, "-o", "credit.parquet"),
        command.workbench("tune", entry.source, "-m", method, *command.params(tried), *where),
    ]


def _verdict(held: HeldOut | None, now: Tried) -> None:
    """Verdict of the log in words; a button only for a value that it supports."""
    share = "" if np.isnan(now.own_step) else own_share(now.own_step, now.own_trajectory)
    if held is None:
        st.caption(escaped(share))
        return
    found = verdict(held)
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escaped(found.headline)}**")
            if found.offer is not None and found.offer != settings.value():
                label = f"Try {_at(found.offer)}"
                st.button(escaped(label), on_click=settings.move_to, args=(found.offer,))
            peers = settings.made(settings.tried()).values.get("peers")
            mostly_itself = max(now.own_step, now.own_trajectory) >= MUCH
            if mostly_itself and peers in _OWN_AMONG and st.button("Try other rollouts as peers"):
                settings.try_field("peers", "other_trajectories")
                st.rerun()
        st.caption(escaped(" ".join([*found.reasons, share])))


def _slider(value: float) -> None:
    here, view = frame.entry(), state.current()
    known = settings.tuned()
    place, button = st.columns([5, 1], vertical_alignment="center")
    with button, st.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            f"Pin {_at(value)}",
            on_click=settings.pin,
            args=(value,),
            disabled=value == settings.pinned(),
            help="Changes are counted against it until another value is pinned.",
        )
    settings.show(state.TRYING, value)
    stops = known.candidates(cache.space(here.id, view.embedder, here))
    place.select_slider(
        _ABOUT[known.tunable_symbol],
        sorted({*stops, value, settings.applied_value()}),
        key=state.TRYING,
        format_func=settings.namer(),
        on_change=lambda: settings.move_to(st.session_state[state.TRYING]),
        help=_HELP[known.tunable_symbol],
    )


def _in_units(value: float) -> str:
    """A temperature in units in which two representations can be compared."""
    here, view = frame.entry(), state.current()
    if settings.tuned().tunable_symbol != "τ":
        return ""
    unit = cache.spread(here.id, view.embedder, here)
    return f" ({value / unit:.2g} × spread)" if unit else ""


def _numbers(now: Tried, pinned: Tried, at: tuple[float, float], flips: int, steps: int) -> None:
    value, pin = at
    if settings.tried().get("peers") == "same_state":
        st.info("Peers in the very same state all count alike, so no τ changes this credit.")
        return
    known = {} if np.isnan(now.own_step) else _MEASURES
    *places, last = st.columns(len(known) + 1)
    for place, (measure, (label, form, about)) in zip(places, known.items(), strict=True):
        was = form(getattr(pinned, measure))
        compared = f"{was} at {_at(pin)}" if pin != value else "pinned here"
        place.metric(label, form(getattr(now, measure)), compared, **_QUIET, help=about)
    compared = f"{_percent(flips / max(steps, 1), 1)} of steps vs {_at(pin)}"
    about = f"Steps of {steps:,} whose credit has the other sign than at the pinned value."
    last.metric("Sign flips", f"{flips:,}", compared, **_QUIET, help=about)


def _spread(credit: Any, pinned: Any, largest: float, pin: str) -> None:
    st.subheader("How does credit spread?")
    if not len(credit):
        st.info("The filter leaves no step that is scored, so there is no credit to draw.")
        return
    zero = int((np.abs(credit) <= TOLERANCE).sum())
    if zero == len(credit):
        st.info(
            "Every step has a credit of exactly 0: in no group of them is there a return that "
            "differs from another."
        )
        return
    bins = edges(largest)
    outline = histogram(bins, pinned) if pin else None
    below, above = int((credit < -TOLERANCE).sum()), int((credit > TOLERANCE).sum())
    exactly = f"= {zero:,} exactly 0, not drawn · " if zero else ""
    counts = f"▼ {below:,} below 0 · {exactly}▲ {above:,} above"
    st.plotly_chart(
        plots.spread(bins, histogram(bins, credit), outline, f"pinned {pin}"),
        width="stretch",
        config={"displayModeBar": False},
        alt=f"Histogram of the credit of steps: {counts}",
    )
    st.caption(counts)


def _prediction(held: HeldOut | None, value: float) -> None:
    symbol = settings.tuned().tunable_symbol
    st.subheader(f"Which {symbol} predicts best?")
    if held is None:
        st.info("Holding out was stopped, so nothing says which value predicts best.")
        return
    if not held.steps:
        st.info(held.reason)
        return
    st.plotly_chart(
        plots.held_out_error(held, value),
        width="stretch",
        config={"displayModeBar": False},
        alt=f"Error of predicting a return from other rollouts, over {symbol}. {held.reason}",
    )
    left_out = []
    if held.few:
        left_out.append(f"{held.few:,} with fewer than three rollouts")
    if held.equal:
        left_out.append(f"{held.equal:,} whose returns are all equal")
    without = f", without {' and '.join(left_out)}" if left_out else ""
    st.caption(
        "Each rollout is predicted from the others of its group: "
        f"{held.steps:,} steps of {held.groups:,} groups{without}. Grey: within one standard error "
        "of the best."
    )
