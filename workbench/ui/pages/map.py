"""Map page: every step on a plane; a drawn region is the filter of all pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from workbench.analysis.disputes import disputed
from workbench.analysis.filters import joined, quoted, without_map
from workbench.errors import WorkbenchError
from workbench.log.steps import Real
from workbench.states.projection import has_umap
from workbench.ui import cache, command, filtering, frame, state
from workbench.ui.header import header
from workbench.ui.text import told
from workbench.ui.viewer import components
from workbench.ui.viewer.plane import Coloured, plane_payload
from workbench.ui.viewer.turns import done
from workbench.wording import number, number_of, shortened

_OF_FILTER = "Steps that the filter leaves out stay grey. A box or a lasso becomes a part of it."
_COLOURS = {
    "advantage": "advantage",
    "return": "return of the rollout",
    "disagreement": "disagreement of methods",
    "success": "success of the rollout",
    "depth": "depth in the rollout",
}
_KINDS = {"pca": "PCA: directions", "umap": "UMAP: neighbourhoods"}
_SEEN, _DONE = 400, 160


def page() -> None:
    """The page."""
    commands = header("Map", _OF_FILTER)
    with commands, st.container(horizontal=True):
        colour, kind = _pickers()
        command.popover(*command.scores(frame.entry(), state.current().methods))
    frame.require_vectors()
    _canvas(colour, kind)
    if st.session_state.pop(state.OPENED, False):
        frame.go_to("rollouts")


def _chosen() -> tuple[str, str]:
    """Colour and projection of the view."""
    colour, _, kind = state.current().map.partition("/")
    return colour or state.MAP_COLOURS[0], kind or state.MAP_KINDS[0]


def _pickers() -> tuple[str, str]:
    colour, kind = _chosen()
    with st.popover(f"By {_COLOURS[colour].split(' ')[0]}", icon=":material/palette:"):
        keys = [state.MAP_OPTION.format(option=name) for name in ("colour", "kind")]
        for key, value in zip(keys, (colour, kind), strict=True):
            st.session_state[key] = value

        def choose() -> None:
            state.update(map="/".join(st.session_state[key] for key in keys))

        st.radio("Colour", list(_COLOURS), format_func=_COLOURS.get, key=keys[0], on_change=choose)
        if has_umap():
            st.radio("Layout", list(_KINDS), format_func=_KINDS.get, key=keys[1], on_change=choose)
        else:
            st.session_state[keys[1]] = kind
            st.caption(
                "Laid out by PCA: the two directions in which states differ most. UMAP, which "
                "keeps neighbours together, is an extra of the package: map."
            )
        frame.methods_picker("map")
    return colour, kind


def _canvas(colour: str, kind: str) -> None:
    here, view = frame.entry(), state.current()
    try:
        places = cache.places(here.id, view.embedder, kind, here)
        coloured = _coloured(colour)
    except WorkbenchError as error:
        st.error(f"There is no such map: {told(error)}")
        return
    row = cache.steps(here.id, here).row
    kept = filtering.usable()
    plane = plane_payload(places, coloured, None if kept is None else kept.mask[row])
    components.show_map(
        {
            "plane": plane,
            "peek": _peek(row, coloured),
            "selected": _selection(f"{view.embedder}/{kind}"),
        },
        key=state.MAP,
        on_select_change=lambda: _select(kind),
        on_hover_change=lambda: st.session_state.update(
            {state.MAP_PEEK: int(st.session_state[state.MAP].hover)}
        ),
        on_open_change=lambda: _open(row),
    )
    lost = cache.stored(here.id, here).frame.height - len(row)
    if lost:
        st.caption(f"{number_of(lost, 'step')} of rollouts that are not scored are not on the map.")


def _coloured(colour: str) -> Coloured:
    """The values that steps are coloured by."""
    here, view = frame.entry(), state.current()
    row = cache.steps(here.id, here).row
    facts = cache.step_facts(here.id, here)
    if colour == "advantage":
        lead = view.lead if view.lead in view.methods else view.methods[-1]
        return Coloured(
            name=f"advantage, {lead}", values=filtering.advantage(lead)[row], palette="credit"
        )
    if colour == "disagreement":
        methods = view.methods
        apart = disputed(np.stack([filtering.advantage(name) for name in methods]))
        says = f"How far {', '.join(methods)} are apart, in deviations, where signs are opposite."
        return Coloured(name=_COLOURS[colour], values=apart[row], palette="amount", says=says)
    if colour == "success":
        won = facts["outcome"].replace_strict({"won": 1.0, "failed": 0.0}, default=np.nan)
        return Coloured(name="success", values=_numbers(won)[row], palette="outcome")
    if colour == "return":
        return Coloured(name="return", values=_numbers(facts["return"])[row], palette="amount")
    depth = cache.stored(here.id, here).frame["step_index"] + 1
    return Coloured(name="step", values=_numbers(depth)[row], palette="amount")


def _numbers(values: pl.Series) -> Real:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _peek(row: Any, coloured: Coloured) -> dict[str, Any] | None:
    """The step under the pointer."""
    point = st.session_state.get(state.MAP_PEEK)
    if point is None or not 0 <= point < len(row):
        return None
    here = frame.entry()
    log = cache.stored(here.id, here).frame
    step = log.select("group_id", "trajectory_id", "step_index", "observation", "action").row(
        int(row[point]), named=True
    )
    count, of = cache.rollouts(here.id, here).numbers[step["trajectory_id"]]
    group = cache.group_names(here.id, here)[step["group_id"]]
    value = float(coloured.values[point])
    shown = f"{value:+.3g}" if coloured.palette == "credit" else number(value, 3)
    if coloured.palette == "outcome":
        shown = {1.0: "✓ succeeded", 0.0: "✗ failed"}.get(value, "? not known")
    return {
        "point": point,
        "where": f"{group} · #{count} of {of} · step {step['step_index'] + 1}",
        "value": shown if np.isfinite(value) else "–",
        "seen": step["observation"][:_SEEN],
        "done": shortened(done(step["action"]), _DONE),
    }


def _selection(name: str) -> list[list[float]]:
    """The corners of the region in the filter, where it was drawn on this map."""
    start = f"map:{quoted(name)},"
    term = next((t for t in state.current().filter.split() if t.startswith(start)), "")
    try:
        numbers = [float(part) for part in term.removeprefix(start).split(",") if part]
    except ValueError:
        return []  # the bar says what is wrong with it
    if len(numbers) == 4:
        left, low, right, high = numbers
        return [[left, low], [right, low], [right, high], [left, high]]
    return [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=False)]


def _select(kind: str) -> None:
    """Set the drawn region as the filter's, in place of an earlier one; an empty one keeps it."""
    view = state.current()
    corners = [int(value) for value in st.session_state[state.MAP].select["corners"]]
    others = without_map(view.filter)
    name = quoted(f"{view.embedder}/{kind}")
    term = f"map:{name},{','.join(map(str, corners))}" if corners else ""
    state.update(filter=joined(others, term))


def _open(row: Any) -> None:
    # A page cannot be changed in a callback: the run that follows does it.
    here = frame.entry()
    at = int(row[int(st.session_state[state.MAP].open)])
    log = cache.stored(here.id, here).frame
    step = (log["trajectory_id"][at], int(log["step_index"][at]))
    state.update(step=step, beside="")
    st.session_state[state.OPENED] = True
