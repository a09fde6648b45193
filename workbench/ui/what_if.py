"""Panel of a what-if: a form of changes, their effect, and keeping them as a named variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from workbench.analysis.rollouts import Place, outcome, scored_number
from workbench.analysis.what_if import FIELDS, NAME, Effect, changeable, described, effect
from workbench.errors import WorkbenchError
from workbench.files import digest
from workbench.log.credit import Credit
from workbench.methods import create
from workbench.methods.what_if import WhatIf
from workbench.parameters import fields
from workbench.plots.scale import signed_number
from workbench.ui import cache, filtering, frame, state
from workbench.ui.text import escaped, told
from workbench.wording import number_of


def panel(place: Place, lead: str, credit: Credit, explained: Mapping[str, Any]) -> None:
    """The button, and behind it the form and what the change does.

    Args:
        place: The step that is explained.
        lead: The method.
        credit: Its credit.
        explained: What the panel next to the viewer shows: its peers can be left out.
    """
    with st.popover("What if …", icon=":material/science:", width="stretch"):
        result = st.container()
        _form(place, lead, explained)
        trial = st.session_state.get(state.TRIAL)
        here = frame.entry()
        if trial is None or (trial["log"], trial["values"]["of"]) != (here.id, lead):
            return
        with result:
            _result(place, lead, credit, trial["values"])


def _result(place: Place, lead: str, credit: Credit, values: Mapping[str, Any]) -> None:
    here = frame.entry()
    try:
        after = cache.credit(here.id, state.current().embedder, NAME, values, here)
    except WorkbenchError as error:
        st.error(f"This cannot be computed: {told(error)}")
        return
    found = effect(credit, after, scored_number(credit, place))
    _shown(found, place, WhatIf(**values).changes)
    _kept(found, lead, values)


def _form(place: Place, lead: str, explained: Mapping[str, Any]) -> None:
    """The form; what is sent becomes the trial."""
    own = place.trajectory
    # Another rollout or method is another form, with its own values.
    of = digest([frame.entry().id, lead, *map(str, place.step)])[:8]
    key = state.WHAT_IF.format(what="{what}", of=of)
    view = state.current()
    numbers = place.rollouts.numbers
    with st.form(key.format(what="form"), border=False):
        reward = st.number_input(
            f"Reward of this rollout (#{numbers[place.step[0]][0]})",
            value=float(own["episode_reward"]),
            key=key.format(what="reward"),
            help="Its last step gets the difference; success follows where rewards decide it.",
        )
        members = _members(place)
        without = st.multiselect(
            "Leave out rollouts",
            list(members),
            format_func=members.__getitem__,
            placeholder="none",
            key=key.format(what="without"),
            help="They count in no statistic of the group.",
        )
        peers = _peers(explained, numbers)
        without_steps = (
            st.multiselect(
                "Leave out peers",
                list(peers),
                format_func=peers.__getitem__,
                placeholder="none",
                key=key.format(what="peers"),
                help="Single steps that count in no baseline.",
            )
            if peers
            else []
        )
        changed = _fields(lead, view.params(lead), key)
        if not st.form_submit_button("See what it does", type="primary"):
            return
    rewards = {} if reward == own["episode_reward"] else {place.step[0]: reward}
    try:
        values = described(
            lead,
            view.params(lead),
            changed=changed,
            rewards=rewards,
            without=without,
            without_steps=without_steps,
        )
    except WorkbenchError as error:
        st.session_state.pop(state.TRIAL, None)
        st.error(f"This cannot be computed: {told(error)}")
        return
    st.session_state[state.TRIAL] = {"log": frame.entry().id, "values": values}


def _members(place: Place) -> dict[str, str]:
    """The scored rollouts of the group, as the list of the viewer names them."""
    rollouts = place.rollouts
    rows = rollouts.table[list(rollouts.groups[place.trajectory["group_id"]])]
    return {
        row["trajectory_id"]: f"#{rollouts.numbers[row['trajectory_id']][0]} "
        f"{outcome(row['success'])} reward {row['episode_reward']:g}"
        for row in rows.filter(pl.col("excluded").is_null()).to_dicts()
    }


def _peers(
    explained: Mapping[str, Any], numbers: Mapping[str, tuple[int, int]]
) -> dict[tuple[str, int], str]:
    """Single steps among the peers of the explanation."""
    rows = [row for term in explained["terms"] for row in term["peers"]["rows"]]
    return {
        (row["target"][0], int(row["target"][1])): f"#{numbers[row['target'][0]][0]} "
        f"step {int(row['target'][1]) + 1}"
        for row in rows
        if row["step"] is not None
    }


def _fields(lead: str, params: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Those of the method's fields that are set to another value."""
    specs = fields(type(create(lead)))
    found = {}
    places = st.columns(2)
    for number, (name, value) in enumerate(changeable(lead, params).items()):
        place = places[number % 2]
        label, own = FIELDS[name], key.format(what=f"field_{name}")
        new: Any
        if specs[name].choices:
            choices = list(specs[name].choices)
            new = place.selectbox(label, choices, choices.index(value), key=own)
        elif isinstance(value, float):
            low, high = specs[name].metadata.get("min"), specs[name].metadata.get("max")
            new = place.number_input(label, low, high, value, format="%.4g", key=own)
        else:
            new = place.text_input(label, str(value or ""), key=own).strip() or value
        if new != value:
            found[name] = new
    return found


def _shown(found: Effect, place: Place, changed: str) -> None:
    """The step and the group, before and after."""
    st.caption(escaped(f"What if: {changed or 'nothing is changed'}"))
    st.markdown(
        f"This step: {signed_number(found.before)} → **{signed_number(found.after)}**  \n"
        f"{number_of(found.changed, 'step')} in {number_of(found.groups, 'group')} of the log get "
        "another advantage."
    )
    numbers = place.rollouts.numbers
    st.dataframe(
        found.rollouts.select(
            pl.Series("rollout", [f"#{numbers[t][0]}" for t in found.rollouts["trajectory_id"]]),
            "before",
            "after",
            pl.col("flips").alias("signs that flip"),
        ),
        hide_index=True,
        height=min(38 + 35 * found.rollouts.height, 180),
        column_config={
            name: st.column_config.NumberColumn(f"mean, {name}", format="%+.3f")
            for name in ("before", "after")
        },
        alt="Mean advantage of each rollout of the group before and after the change.",
    )


def _kept(found: Effect, lead: str, values: Mapping[str, Any]) -> None:
    """Keeping it under a name, and the steps whose signs flip."""
    of = state.WHAT_IF.format(what="name", of=digest(values)[:8])
    name = st.text_input("Name of the variant", _suggested(values), key=of, max_chars=40)
    with st.container(horizontal=True):
        if st.button("Keep it", help="It is then among the methods of every page."):
            _keep(name, values)
            st.rerun()
        if found.flips:
            flips = f"{number_of(found.flips, 'sign')} would flip: keep it and list them"
            if st.button(flips, type="tertiary"):
                filtering.show(f"flip:{lead},{_keep(name, values)}")


def _keep(name: str, values: Mapping[str, Any]) -> str:
    """Keeps it in the workspace and shows it among the methods of the view."""
    method = frame.variants().put(name, values)
    methods = state.current().methods
    state.update(methods=methods if method in methods else (*methods, method))
    state.tell("success", f"Kept as {method}: {WhatIf(**values).changes}.")
    return method


def _suggested(values: Mapping[str, Any]) -> str:
    """A short name for a change."""
    of = str(values["of"]).replace(":", "-")
    kinds = {"rewards": "reward", "without": "without", "without_steps": "peers", "fields": "set"}
    return "-".join([of, *(kinds[k] for k in kinds if k in values)])
