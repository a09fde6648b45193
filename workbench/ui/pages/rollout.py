"""Why did this step get that credit? A rollout as a transcript beside its credit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import streamlit as st

from workbench.analysis.rollouts import Place, Rollouts, lanes, outcome, own_name
from workbench.errors import ParameterError
from workbench.log.credit import Credit
from workbench.log.steps import Real
from workbench.plots import rollout as plots
from workbench.ui import cache, command, explanation, frame, state
from workbench.ui.text import escaped
from workbench.ui.transcript import go_to, transcript
from workbench.wording import number, shortened


def page() -> None:
    """The page."""
    here = frame.entry()
    place = _place(cache.rollouts(here.id, here))
    commands = _header(place)
    _pickers(place)
    excluded = place.trajectory["excluded"]
    if excluded is not None:
        st.info(f"No method scores this rollout: {escaped(excluded)}.")
    scored = _credits() if excluded is None else {}
    credit = lanes(scored, place) if scored else None
    if credit is not None:
        _strip(place, scored, credit)
    left, right = st.columns(2, gap="medium")
    with right:
        method = _explained(place, scored)
    with left:
        st.subheader("What happened?", anchor=False)
        task = _logged(place, "task")
        if task:
            st.caption(f"Task: {escaped(shortened(task[:1000], 200))}")
        transcript(place, cache.stored(here.id, here).frame, credit, list(scored))
    if scored:
        explanation.nearest(place)
    with commands:
        command.popover(*_commands(place, method, list(scored)))


def _place(rollouts: Rollouts) -> Place:
    """The step of the view; one that is not in the log is said and left."""
    step = state.current().step
    try:
        return rollouts.place(step)
    except ParameterError as error:
        assert step is not None
        first = (step[0], 0) if step[0] in rollouts.row else None
        st.warning(f"The address names a step that is not here: {escaped(str(error))}.")
        state.update(step=first)
        return rollouts.place(first)


def _logged(place: Place, column: str) -> str | None:
    """A column of the current step, where the log has it."""
    log = cache.stored(frame.entry().id, frame.entry()).frame
    value: str | None = log[column][place.log_row] if column in log.columns else None
    return value


def _header(place: Place) -> Any:
    """Title, place and steps back and forth; returns where the commands go."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title("Rollout", width="content", anchor=False)
        st.space("stretch")
        _move(place, "step", -1, "Previous step", "k")
        of = place.trajectory["length"]
        st.markdown(
            f"**step {place.index + 1} of {of}**",
            width="content",
            help=f"Counted from 1 on this page; in the log, in addresses and on the command line "
            f"this is step_index {place.index}.",
        )
        _move(place, "step", 1, "Next step", "j")
        return st.container(width="content")


def _move(
    place: Place,
    what: Literal["step", "rollout", "group"],
    by: int,
    name: str,
    shortcut: str,
    *,
    type: Literal["secondary", "tertiary"] = "secondary",
) -> None:
    target = place.beside(what, by)
    st.button(
        name,
        key=state.MOVE.format(what=what, by=by),
        icon=":material/chevron_left:" if by < 0 else ":material/chevron_right:",
        icon_position="left" if by < 0 else "right",
        type=type,
        shortcut=shortcut,
        disabled=target is None,
        on_click=go_to,
        args=(target,),
    )


def _pickers(place: Place) -> None:
    groups, rollouts, shown = st.columns([8, 9, 12], gap="small")
    table, group = place.rollouts.table, place.trajectory["group_id"]
    of_group = place.rollouts.groups[group]
    ids = table["trajectory_id"]
    with groups:
        firsts = {name: ids[rows[0]] for name, rows in place.rollouts.groups.items()}
        same = {name: name for name in firsts}
        _picker("Group", state.GROUP_PICKER, same, group, firsts.__getitem__)
    with rollouts:
        names = {ids[row]: _name(table.row(row, named=True)) for row in of_group}
        _picker("Rollout", state.TRAJECTORY_PICKER, names, place.step[0], str)
    with shown:
        frame.methods_picker("rollout", label="Methods", may_be_empty=True)
    with st.container(horizontal=True, gap="small"):
        _move(place, "group", -1, "Previous group", "shift+g", type="tertiary")
        _move(place, "group", 1, "Next group", "g", type="tertiary")
        _move(place, "rollout", -1, "Previous rollout", "shift+k", type="tertiary")
        _move(place, "rollout", 1, "Next rollout", "shift+j", type="tertiary")


def _picker(
    label: str, key: str, names: Mapping[str, str], value: str, trajectory: Callable[[str], str]
) -> None:
    """A choice of a group or a rollout; leads to the first step of its trajectory."""
    st.session_state[key] = value
    st.selectbox(
        label,
        list(names),
        key=key,
        format_func=names.__getitem__,
        on_change=lambda: go_to((trajectory(st.session_state[key]), 0)),
    )


def _name(trajectory: Mapping[str, Any]) -> str:
    """A rollout in a picker: how it ended, its reward, its name."""
    name = own_name(trajectory["trajectory_id"], trajectory["group_id"])
    reward = f"reward {number(trajectory['episode_reward'], 3)}"
    if trajectory["excluded"] is not None:
        reward = "not scored"
    return f"{outcome(trajectory['success'])} {reward} · {name}"


def _credits() -> dict[str, Credit]:
    chosen = state.current().methods
    if not chosen:
        st.info("Choose a method to see the credit of these steps.")
        return {}
    return frame.credits(*chosen)


def _strip(place: Place, credits: Mapping[str, Credit], credit: Real) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Which steps get the credit?", anchor=False)
        own_scale = st.toggle(
            "Own scale per method",
            key=state.OWN_SCALE,
            help="Methods have different units. On one shared scale their sizes can be compared; "
            "on its own scale each lane shows its shape.",
        )
    figure = plots.strip(credit, list(credits), place.index, own_scale=own_scale)
    st.plotly_chart(
        figure,
        key=state.STRIP,
        on_select=lambda: _cell_selected(place),
        selection_mode="points",
        config={"displayModeBar": False},
        alt=f"Credit of {place.trajectory['length']} steps under {', '.join(credits)}; "
        f"step {place.index + 1} is marked",
    )


def _cell_selected(place: Place) -> None:
    points = st.session_state[state.STRIP]["selection"]["points"]
    if points:
        go_to((place.step[0], int(points[0]["x"]) - 1))


def _explained(place: Place, credits: Mapping[str, Credit]) -> str | None:
    """The credit of the step under one method; returns which."""
    st.subheader("Why this credit?", anchor=False)
    if not credits:
        st.caption("Nothing scores this step.")
        return None
    method = explanation.chosen(credits)
    explanation.explanation(place, method, credits[method])
    return method


def _commands(place: Place, method: str | None, shown: list[str]) -> list[str]:
    here, view = frame.entry(), state.current()
    step = f"{place.step[0]}:{place.step[1]}"
    if method is None:
        return [command.workbench("facts", here.source)]
    chosen = [*command.params(view.params(method)), *command.space(here, method)]
    cached = ["--cache", str(here.workspace / "embeddings")]
    return [
        command.workbench("explain", here.source, "-m", method, "--step", step, *chosen),
        command.workbench(
            "neighbours", here.source, "--step", step, "--embedder", view.embedder, *cached
        ),
        *(command.score(here, name, f"{name.replace(':', '-')}.parquet") for name in shown),
    ]
