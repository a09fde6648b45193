"""Rollouts page: rollouts to read, with the explanation of a step's credit next to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from workbench.analysis.rollouts import Place, Rollouts
from workbench.errors import ParameterError, WorkbenchError
from workbench.log.credit import Credit
from workbench.ui import cache, command, filtering, frame, reading, state, what_if
from workbench.ui.header import header
from workbench.ui.text import escaped, told
from workbench.ui.viewer import components
from workbench.ui.viewer.payload import GroupOfLog, group_payload
from workbench.ui.viewer.why import why


def page() -> None:
    """The page."""
    commands = header("Rollouts")
    with commands, st.container(horizontal=True):
        with st.popover("Methods", icon=":material/balance:"):
            frame.methods_picker("rollouts", may_be_empty=True)
        place_of_commands = st.container(width="content")
    here = frame.entry()
    place = _place(cache.rollouts(here.id, here))
    credits = _credits()
    lead = _lead(list(credits))
    left, right = st.columns([7, 3], gap="small")
    with left:
        _viewer(place, credits, lead)
    with right:
        _why(place, credits, lead)
    with place_of_commands:
        command.popover(*_commands(place, lead, list(credits)))


def _place(rollouts: Rollouts) -> Place:
    """The step of the view; one that is not in the log is reported and dropped."""
    step = state.current().step
    try:
        return rollouts.place(step)
    except ParameterError as error:
        assert step is not None
        first = (step[0], 0) if step[0] in rollouts.row else None
        st.warning(f"The address names a step that is not here: {told(error)}.")
        state.update(step=first)
        return rollouts.place(first)


def _credits() -> dict[str, Credit]:
    """Credits of the methods that can score this log; others with the reason."""
    here, found = frame.entry(), {}
    if cache.rollouts(here.id, here).table["excluded"].null_count() == 0:
        st.info(
            "No rollout of this log has a usable reward: it can be read, and nothing scores it."
        )
        return {}
    for method in state.current().methods:
        try:
            if cache.needs_vectors(method):
                frame.require_vectors()
            found[method] = frame.credit(method)
        except WorkbenchError as error:
            st.warning(f"{escaped(method)} cannot score this log: {told(error)}")
    return found


def _lead(methods: list[str]) -> str | None:
    """The method whose credit leads and is explained: the view's, else the last one."""
    lead = state.current().lead
    return lead if lead in methods else methods[-1] if methods else None


def _viewer(place: Place, credits: Mapping[str, Credit], lead: str | None) -> None:
    here, view = frame.entry(), state.current()
    log = cache.stored(here.id, here).frame
    of = GroupOfLog(log, place.rollouts, place.trajectory["group_id"])
    reading.hear(state.VIEWER, of)
    kept = filtering.usable()
    fields = {name: view.params(name) for name in credits}
    version = frame.marks().version
    key = [here.id, view.embedder, fields, of.group, view.filter, version]

    def make(shown: str) -> dict[str, Any]:
        columns: dict[str, list[Any]] = {}
        if kept is not None:
            columns["kept"] = kept.mask[of.rows].tolist()
        if version:
            columns |= frame.marked()[of.rows].to_dict(as_series=False)
        scales = [
            cache.scale(here.id, view.embedder, name, params, here)
            for name, params in fields.items()
        ]
        return group_payload(of, credits, scales, shown=shown, step_columns=columns)

    group = cache.group(json.dumps(key, sort_keys=True), place.step[0], make)
    wanted = (*place.step, lead, view.beside)
    order = reading.order(wanted)
    components.show_group(
        group,
        reading.listed(filtering.rows(), place.log_row, log) if view.filter or view.sort else {},
        order,
        key=state.VIEWER,
        on_at_change=lambda: reading.at(group["methods"]),
        on_group_change=lambda: reading.to_group(place.rollouts),
        on_step_change=reading.to_step,
        on_said_change=lambda: reading.hear(state.VIEWER, of),
    )


def _why(place: Place, credits: Mapping[str, Credit], lead: str | None) -> None:
    excluded = place.trajectory["excluded"]
    if lead is None or excluded is not None:
        text = f"No method scores this rollout: {escaped(excluded)}." if excluded else ""
        st.info(text or "Choose a method to see the credit of these steps.")
        return
    here = frame.entry()
    log = cache.stored(here.id, here).frame
    told = why(place, lead, credits[lead], log)
    what_if.panel(place, lead, credits[lead], told)
    told["nearest"] = reading.nearest(place)
    components.show_why(
        told, key=state.WHY, on_step_change=reading.to_peer, on_nearest_change=reading.ask_nearest
    )


def _commands(place: Place, lead: str | None, shown: list[str]) -> list[str]:
    here, view = frame.entry(), state.current()
    step = f"{place.step[0]}:{place.step[1]}"
    if lead is None:
        return [*command.scores(here, [])]
    chosen = [*command.named(lead), *command.space(here, lead)]
    cached = ["--cache", str(here.workspace / "embeddings")]
    return [
        command.workbench("explain", here.source, *chosen[:2], "--step", step, *chosen[2:]),
        command.workbench(
            "neighbours", here.source, "--step", step, "--embedder", view.embedder, *cached
        ),
        *command.scores(here, shown),
    ]
