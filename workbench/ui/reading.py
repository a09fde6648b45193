"""Messages between the rollout viewer and the app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from workbench.analysis.rollouts import Place, Rollouts
from workbench.errors import WorkbenchError
from workbench.log.columns import known
from workbench.log.steps import Index
from workbench.ui import cache, frame, state, tokens
from workbench.ui.hints import of_error
from workbench.ui.viewer.payload import GroupOfLog, find
from workbench.ui.viewer.why import nearest as nearest_rows

NEAREST = 10
WINDOW = 100
"""Steps of the list that the browser has on each side of the one that is read."""

_OWN = {"group_id", "trajectory_id", "step_index", "observation", "action", "messages", "tools"}
_OWN |= {"task", "thought", "next_observation", "reward", "success", "agent_id", "role", "round"}
_TOKENS = ("prompt_ids", "response_ids", "response_mask", "response_logprobs")
_MOST_TOKENS, _MOST_VALUE = 4000, 4000


def order(wanted: tuple[Any, ...]) -> Mapping[str, Any]:
    """The order that makes the viewer show what the view says.

    The viewer moves by itself and says so; whatever else moved the view, such as Back, a link or a
    peer, makes an order with the next number.

    Args:
        wanted: Trajectory, step, leading method and the trajectory next to it.
    """
    now = st.session_state.setdefault(state.VIEWER_ORDER, {"seq": 0})
    if st.session_state.get(state.VIEWER_KNOWN) != wanted:
        trajectory, step, lead, beside = wanted
        now = {"seq": now["seq"] + 1, "goto": [trajectory, step], "lead": lead, "beside": beside}
        st.session_state[state.VIEWER_ORDER] = now
        st.session_state[state.VIEWER_KNOWN] = wanted
    return {**now, "answers": st.session_state.get(state.VIEWER_ASKED, {}), "heard": heard()}


def at(methods: Sequence[str]) -> None:
    """The reader stays at a step."""
    said = st.session_state[state.VIEWER].at
    lead = said["lead"] if said["lead"] in methods else ""
    step = (str(said["trajectory"]), int(said["step"]))
    st.session_state[state.VIEWER_KNOWN] = (*step, lead or None, said["beside"])
    # A viewer that is redrawn, as after Back, obeys the last order: it is to end up here.
    last = st.session_state.get(state.VIEWER_ORDER, {"seq": 0})
    here = {"goto": list(step), "lead": lead or None, "beside": said["beside"]}
    st.session_state[state.VIEWER_ORDER] = {**last, **here}
    state.update(
        step=step, lead="" if [lead] == list(methods[-1:]) else lead, beside=said["beside"]
    )


def to_group(rollouts: Rollouts) -> None:
    """The reader goes on into another group: its first rollout, or its last on the way back."""
    said = st.session_state[state.VIEWER].group
    groups = list(rollouts.groups)
    rows = rollouts.groups[groups[min(max(int(said["group"]), 0), len(groups) - 1)]]
    row = rows[-1] if said["last"] else rows[0]
    state.update(step=(rollouts.table["trajectory_id"][row], 0), beside="")


def to_step() -> None:
    """The reader goes on in the list that he came from, into another group."""
    trajectory, index = st.session_state[state.VIEWER].step
    state.update(step=(str(trajectory), int(index)), beside="")


def to_peer() -> None:
    """The reader goes to a step that the explanation names."""
    trajectory, index = st.session_state[state.WHY].step
    state.update(step=(str(trajectory), int(index)))


def hear(key: str, of: GroupOfLog | None = None) -> None:
    """Do what a component has said and this session has not yet heard.

    For callbacks, and for each run as well: a callback that the next key interrupts is not called
    again, and what it left undone is done then.

    Args:
        key: Key of the component; it says all that it knows to be unheard, each with a number.
        of: The group that is read, for what is asked of it.
    """
    component = st.session_state.get(key)
    if of is not None:
        _tell_again(of)
    for said in (component.get("said") if component else None) or ():
        if int(said["n"]) <= heard():
            continue
        if said["kind"] in {"mark", "note"}:
            _put(said)
        elif of is not None and said["group"] == of.group:
            _answer(said, of)
        st.session_state[state.HEARD] = int(said["n"])


def heard() -> int:
    """The number of the last thing that this session has heard of its components."""
    number: int = st.session_state.get(state.HEARD, 0)
    return number


def _put(said: Mapping[str, Any]) -> None:
    """Keep a mark or a note."""
    here, trajectory, index = frame.entry(), str(said["trajectory"]), int(said["step"])
    what = {str(said["kind"]): str(said[said["kind"]])}
    try:
        place = cache.rollouts(here.id, here).place((trajectory, index))
        action = cache.stored(here.id, here).frame["action"][place.log_row]
        frame.marks().put((trajectory, index), action, **what)
    except (WorkbenchError, OSError) as error:
        state.tell("error", f"This {said['kind']} is not kept: {of_error(error)}")


def _tell_again(of: GroupOfLog) -> None:
    """Lay out again the requested part of steps' columns, where the tokenizer is another now."""
    told = st.session_state.get(state.VIEWER_ASKED, {})
    if told.get("group") != of.group or told["tokenizer"] == tokens.chosen():
        return
    told["tokenizer"] = tokens.chosen()
    for key in [key for key in told if key.startswith("columns:")]:
        told[key] = _columns(of.steps.row(int(key.partition(":")[2]), named=True))


def _answer(asked: Mapping[str, Any], of: GroupOfLog) -> None:
    """Lay out what the viewer asks for: a whole text, all columns of a step, a search."""
    told = st.session_state.get(state.VIEWER_ASKED, {})
    if told.get("group") != of.group:
        told = {"group": of.group, "tokenizer": tokens.chosen()}
        st.session_state[state.VIEWER_ASKED] = told
    kind, row = asked["kind"], int(asked.get("row", 0))
    if kind == "text":
        told[f"text:{row}:{asked['block']}"] = of.blocks(row)[int(asked["block"])]
    elif kind == "columns":
        told[f"columns:{row}"] = _columns(of.steps.row(row, named=True))
    elif kind == "find":
        told["find"] = {"text": asked["text"], "steps": find(of, str(asked["text"]))}


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a log says of a step besides what is shown, and its tokens."""
    shown = _OWN.union(_TOKENS)
    extra = [
        [name, _written(value)]
        for name, value in row.items()
        if name not in shown and value is not None and not _usual(name, value)
    ]
    known_of = {n: row[n][:_MOST_TOKENS] for n in _TOKENS[1:] if row.get(n) is not None}
    if row.get("logged_token_advantage") is not None:
        known_of["advantage"] = row["logged_token_advantage"][:_MOST_TOKENS]
    told: dict[str, Any] = {"columns": extra, "tokens": known_of, "count": 0, "say": ""}
    if row.get("response_ids") is not None:
        found = tokens.told(known_of["response_ids"], row.get("tokenizer"))
        known_of |= {"texts": found.texts} if found.texts is not None else {}
        told |= {"count": len(row["response_ids"]), "say": found.say}
    return told


def _usual(name: str, value: Any) -> bool:
    """True if a column has its usual value, which needs no mention."""
    column = known(name)
    return column is not None and column.default is not None and bool(value == column.default)


def _written(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (
        text if len(text) <= _MOST_VALUE else f"{text[:_MOST_VALUE]} … ({len(text):,} characters)"
    )


def listed(rows: Index, row: int, log: pl.DataFrame) -> dict[str, Any]:
    """The part of the list near a step, as the viewer reads it.

    Args:
        rows: Rows of the log in the list's order.
        row: The row that is read.
        log: The step log.
    """
    at = np.flatnonzero(rows == row)
    where = int(at[0]) if len(at) else st.session_state.get(state.LIST_AT, 0)
    st.session_state[state.LIST_AT] = where
    block = where // WINDOW
    first = max(block - 1, 0) * WINDOW
    near = rows[first : (block + 2) * WINDOW]
    ids = log.select("trajectory_id", "step_index")[near]
    return {
        "total": len(rows),
        "first": first,
        "at": where,
        "steps": [list(r) for r in ids.iter_rows()],
    }


def nearest(place: Place) -> dict[str, Any] | None:
    """The nearest states of the log to a step's; None until they are asked for."""
    if st.session_state.get(state.NEAREST_OF) != place.step:
        return None
    here, view = frame.entry(), state.current()
    frame.require_vectors()
    space = cache.space(here.id, view.embedder, here)
    try:
        found = space.nearest(space.steps.find(*place.step), NEAREST)
    except WorkbenchError as error:
        return {"problem": of_error(error)}
    return {"embedder": view.embedder, "rows": nearest_rows(found)}


def ask_nearest() -> None:
    """The reader asks for the nearest states of the step that is explained."""
    trajectory, index = st.session_state[state.WHY].nearest
    st.session_state[state.NEAREST_OF] = (str(trajectory), int(index))
