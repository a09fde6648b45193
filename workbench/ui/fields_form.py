"""The fields of the tuned method besides its tuned one, each with its widget."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.analysis.tuning.temperature import success_rates
from workbench.methods.proximity.proxmo import ProxMO
from workbench.parameters import FieldSpec, fields
from workbench.plots import temperature as plots
from workbench.ui import settings, state, trial
from workbench.ui.text import told

_PEERS = {
    "all": "all steps of the group",
    "other_steps": "all but the step itself",
    "other_trajectories": "other rollouts only (recommended)",
    "same_step": "the same step index",
    "same_state": "the same observation",
}


def area() -> None:
    """The other fields, and for ProxMO the weight of success that two of them shape."""
    tried = settings.made(settings.tried())
    specs = [
        spec
        for spec in fields(type(tried)).values()
        if (spec.type is not str or spec.choices) and spec.name != settings.tuned().tunable
    ]
    if isinstance(tried, ProxMO):
        left, right = st.columns([3, 2], gap="large")
        with right:
            _success_weight(tried)
    else:
        left = st.container()
    with left:
        st.subheader("What else makes this credit?")
        columns = 3
        for start in range(0, len(specs), columns):
            for spec, place in zip(
                specs[start : start + columns], st.columns(columns), strict=False
            ):
                _field(spec, tried.values[spec.name], place)
        st.caption("Tried on this page at once; other pages have it after “Apply to every page”.")


def _field(spec: FieldSpec, value: Any, place: Any) -> None:
    key = state.TUNE_FIELD.format(method=settings.method(), field=spec.name)
    settings.show(key, value)
    label = settings.symbol(spec.name)
    common: dict[str, Any] = {
        "key": key,
        "on_change": settings.draft,
        "args": (spec.name,),
        "help": spec.metadata["help"],
    }
    if spec.type is bool:
        place.checkbox(label, **common)
    elif spec.choices:
        words = _PEERS if spec.name == "peers" else {}
        place.selectbox(
            label,
            list(spec.choices),
            format_func=lambda name: words.get(name, name.replace("_", " ")),
            **common,
        )
    else:
        whole = spec.type is int
        place.number_input(
            label,
            value=None if spec.optional else "min",
            min_value=spec.metadata.get("min"),
            max_value=spec.metadata.get("max"),
            step=1 if whole else 0.05,
            format=None if whole else "%.4g",
            placeholder="from the log" if spec.optional else None,
            **common,
        )


def _success_weight(tried: ProxMO) -> None:
    st.subheader("What does success weigh?")
    credit = trial.at(settings.value()).credit
    rate, groups = success_rates(credit)
    if not len(rate):
        st.info(
            "Success is not defined in this log: it has no `success` column and its rewards are "
            "not 0 and 1. Every episode term weighs 1."
        )
        return
    st.plotly_chart(
        plots.success_weights(rate, groups, tried.alpha, tried.beta),
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
