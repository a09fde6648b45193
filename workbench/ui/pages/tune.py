"""Which temperature: ProxMO's τ under a slider, and what it does to the credit of this log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from workbench.analysis.tuning.held_out import HeldOut
from workbench.analysis.tuning.temperature import Trial, overrides, sign_flips, success_rates
from workbench.errors import WorkbenchError
from workbench.log.remarks import TOLERANCE
from workbench.plots import temperature as plots
from workbench.states.temperatures import STOPS
from workbench.ui import cache, command, filtering, frame, settings, state
from workbench.ui.header import header
from workbench.ui.settings import said
from workbench.ui.text import told
from workbench.wording import number

_FIELDS = {
    "gamma": ("γ, discount per step", 0.01),
    "step_weight": ("ω, weight of the step term", 0.25),
    "alpha": ("α, steepness of w", 0.5),
    "beta": ("β, reach of w", 0.05),
}
_PEERS = {
    "all": "all steps of the group",
    "other_steps": "all but the step itself",
    "other_trajectories": "other rollouts only (recommended)",
    "same_step": "the same step index",
    "same_state": "the same observation",
}


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
    "τ and its error are of the whole log, whose groups must stay whole; the histogram and the "
    "sign flips are of the steps that the filter leaves."
)
_QUIET: dict[str, Any] = {"delta_color": "off", "delta_arrow": "off"}


def page() -> None:
    """The page."""
    header("Tune", _OF_FILTER)
    try:
        frame.require_vectors()
        _trial(settings.default("temperature"))
        _held_out()
    except WorkbenchError as error:
        st.error(f"There is no credit to tune in this log: {told(error)}")
        return
    _live()
    _settings()


def _trial(temperature: float) -> Trial:
    view = state.current()
    return cache.trial(
        frame.entry().id, view.embedder, overrides(settings.tried()), temperature, frame.entry()
    )


def _held_out() -> HeldOut:
    here, view = frame.entry(), state.current()
    return cache.held_out_error(here.id, view.embedder, settings.tried()["gamma"], here)


@st.fragment
def _live() -> None:
    """The slider and all that follows it."""
    tried, applied, pin = settings.tried(), settings.applied(), settings.pinned()
    temperature = tried["temperature"]
    held = _held_out()
    _status(tried, applied, pin)
    _slider(temperature, held.best)
    trial, pinned = _trial(temperature), _trial(pin)
    kept = filtering.usable()
    shown = slice(None) if kept is None else kept.mask[trial.credit.steps.row]
    credit = trial.advantage(temperature)[shown]
    credit_pinned = pinned.advantage(pin)[shown]
    _numbers(trial, pinned, (temperature, pin), sign_flips(credit, credit_pinned), len(credit))
    left, right = st.columns(2)
    with left:
        _spread(credit, credit_pinned, temperature == pin)
    with right:
        _prediction(held, temperature)


def _status(tried: Mapping[str, Any], applied: Mapping[str, Any], pin: float) -> None:
    changed = {name: value for name, value in tried.items() if value != applied[name]}
    differing = {"temperature": applied["temperature"]} | overrides(applied)
    trying = said({"temperature": tried["temperature"]} | changed) if changed else "just that"
    parts = {
        "Applied": said(differing),
        "Trying": trying + _in_units(tried["temperature"]),
        "Pinned": f"τ {number(pin)}",
    }
    text, buttons = st.columns([6, 4], vertical_alignment="center")
    text.markdown(" · ".join(f"**{name}:** {value}" for name, value in parts.items()))
    with buttons, st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Apply to every page", type="primary", disabled=not changed):
            settings.apply()
            st.rerun()
        if st.button("Reset", help="ProxMO's defaults, on every page."):
            settings.reset()
            st.rerun()
        command.popover(_command(tried))


def _command(tried: Mapping[str, Any]) -> str:
    entry = frame.entry()
    fields = {"temperature": tried["temperature"]} | overrides(tried)
    where = command.space(entry, "proxmo")
    options = [*command.params(fields), *where, "-o", "credit.parquet"]
    return command.workbench("score", entry.source, "-m", "proxmo", *options)


def _slider(temperature: float, best: float | None) -> None:
    place, buttons = st.columns([4, 3], vertical_alignment="center")
    with buttons, st.container(horizontal=True, horizontal_alignment="right"):
        label = "Use the minimum" if best is None else f"Use the minimum (τ = {number(best)})"
        st.button(label, on_click=settings.move_to, args=(best,), disabled=best is None)
        st.button(
            "Pin this τ", on_click=settings.pin, help="Changes are counted against the pinned τ."
        )
    settings.show(state.TEMPERATURE, temperature)
    place.select_slider(
        "τ, how fast the weight of a peer falls with its distance",
        sorted({*STOPS, temperature}),
        key=state.TEMPERATURE,
        format_func=number,
        on_change=lambda: settings.move_to(st.session_state[state.TEMPERATURE]),
        help="Cold (left): only the most similar states count. Hot (right): all peers count alike. "
        "The spread is the deviation of similarities inside a group, in which temperatures of two "
        "representations can be compared.",
    )


def _in_units(temperature: float) -> str:
    """A temperature in units in which two representations can be compared."""
    here, view = frame.entry(), state.current()
    unit = cache.spread(here.id, view.embedder, here)
    return f" ({temperature / unit:.2g} × spread)" if unit else ""


def _numbers(trial: Trial, pinned: Trial, at: tuple[float, float], flips: int, steps: int) -> None:
    now, pin = at
    if settings.tried()["peers"] == "same_state":
        st.info("Peers in the very same state all count alike, so no τ changes this credit.")
        return
    *places, last = st.columns(4)
    for place, (measure, (label, form, about)) in zip(places, _MEASURES.items(), strict=True):
        value = form(float(getattr(trial.sweep, measure)[trial.place(now)]))
        was = form(float(getattr(pinned.sweep, measure)[pinned.place(pin)]))
        compared = f"{was} at τ {number(pin)}" if pin != now else "pinned here"
        place.metric(label, value, compared, **_QUIET, help=about)
    compared = f"{_percent(flips / max(steps, 1), 1)} of steps vs τ {number(pin)}"
    about = f"Steps of {steps:,} whose credit has the other sign than at the pinned τ."
    last.metric("Sign flips", f"{flips:,}", compared, **_QUIET, help=about)


def _spread(credit: Any, pinned: Any, same: bool) -> None:
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
    scale = _trial(settings.default("temperature"))
    outline = None if same else scale.histogram(pinned)
    name = f"pinned τ {number(settings.pinned())}"
    below, above = int((credit < -TOLERANCE).sum()), int((credit > TOLERANCE).sum())
    exactly = f"= {zero:,} exactly 0, not drawn · " if zero else ""
    counts = f"▼ {below:,} below 0 · {exactly}▲ {above:,} above"
    st.plotly_chart(
        plots.spread(scale.edges, scale.histogram(credit), outline, name),
        width="stretch",
        config={"displayModeBar": False},
        alt=f"Histogram of the credit of steps: {counts}",
    )
    st.caption(counts)


def _prediction(held: HeldOut, temperature: float) -> None:
    st.subheader("Which τ predicts best?")
    if not held.steps:
        st.info(held.reason)
        return
    st.plotly_chart(
        plots.held_out_error(held, temperature),
        width="stretch",
        config={"displayModeBar": False},
        alt=f"Error of predicting a return from other rollouts, over τ. {held.reason}",
    )
    left_out = []
    if held.few:
        left_out.append(f"{held.few:,} with fewer than three rollouts")
    if held.equal:
        left_out.append(f"{held.equal:,} whose returns are all equal")
    without = f", without {' and '.join(left_out)}" if left_out else ""
    st.caption(
        f"{held.reason} Each rollout is predicted from the others of its group: "
        f"{held.steps:,} steps of {held.groups:,} groups{without}."
    )


def _settings() -> None:
    """The other fields, and the weight of success that two of them shape."""
    tried = settings.tried()
    left, right = st.columns(2)
    with left:
        st.subheader("What else makes this credit?")
        for name, column in zip(_FIELDS, [*st.columns(2), *st.columns(2)], strict=True):
            _field(name, tried, column)
        key = state.TUNE_FIELD.format(field="peers")
        settings.show(key, tried["peers"])
        st.selectbox(
            "Which steps are peers",
            list(_PEERS),
            key=key,
            format_func=lambda name: _PEERS[name],
            on_change=settings.draft,
            args=("peers",),
        )
        st.caption("Tried on this page at once; other pages have it after “Apply to every page”.")
    with right:
        _success_weight(tried)


def _field(name: str, tried: Mapping[str, Any], column: Any) -> None:
    key = state.TUNE_FIELD.format(field=name)
    settings.show(key, float(tried[name]))
    limits, (label, increment) = settings.SPECS[name].metadata, _FIELDS[name]
    column.number_input(
        label,
        min_value=limits.get("min"),
        max_value=limits.get("max"),
        step=increment,
        format="%.4g",
        key=key,
        on_change=settings.draft,
        args=(name,),
        help=limits["help"],
    )


def _success_weight(tried: Mapping[str, Any]) -> None:
    st.subheader("What does success weigh?")
    credit = _trial(tried["temperature"]).credit
    rate, groups = success_rates(credit)
    if not len(rate):
        st.info(
            "Success is not defined in this log: it has no `success` column and its rewards are "
            "not 0 and 1. Every episode term weighs 1."
        )
        return
    st.plotly_chart(
        plots.success_weights(rate, groups, tried["alpha"], tried["beta"]),
        width="stretch",
        config={"displayModeBar": False},
        alt="Weight of the episode term for success and failure over the group's success rate",
    )
    st.caption(
        f"w of the episode term; points are the {groups.sum():,} groups of this log at their "
        "success rates, the larger the more groups."
    )
    for note in credit.notes:
        st.caption(told(note))
