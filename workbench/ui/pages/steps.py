"""Steps page: the steps that the filter leaves, to sort, to look at and to open."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from workbench.errors import FilterError, WorkbenchError
from workbench.files import digest
from workbench.log.steps import Index, Real
from workbench.ui import cache, command, filtering, frame, reading, state
from workbench.ui.header import header
from workbench.ui.text import each, told
from workbench.ui.viewer import components
from workbench.ui.viewer.turns import done

SHOWN = 500
"""Steps that are sent at once; more come when they are asked for."""

_HEAD, _LINE = 400, 160
_TEXTS = ("observation", "action", "thought", "done", "mark", "note")


def page() -> None:
    """The page."""
    commands = header("Steps")
    with commands, st.container(horizontal=True):
        with st.popover("Methods", icon=":material/balance:"):
            frame.methods_picker("steps", may_be_empty=True)
        place_of_commands = st.container(width="content")
    reading.hear(state.STEP_TABLE)
    rows, advantages = _rows(), _advantages()
    with place_of_commands:
        command.popover(*command.scores(frame.entry(), list(advantages)))
    table = _table(rows, advantages)
    components.show_steps(
        table,
        key=state.STEP_TABLE,
        on_sort_change=lambda: state.update(sort=str(st.session_state[state.STEP_TABLE].sort)),
        on_more_change=_more,
        on_open_change=_open,
        on_said_change=lambda: reading.hear(state.STEP_TABLE),
    )
    if st.session_state.pop(state.OPENED, False):
        frame.go_to("rollouts")


def _rows() -> Index:
    """The rows in the view's order; an order that does not exist is reported and dropped."""
    try:
        return filtering.rows()
    except FilterError as error:
        st.warning(f"The steps are in the log's order: {told(error)}")
        state.update(sort="")
        return filtering.rows()


def _advantages() -> dict[str, Real]:
    """The advantage of every step of the log under each method of the view that can score it."""
    found = {}
    for name in state.current().methods:
        try:
            found[name] = filtering.advantage(name)
        except WorkbenchError as error:
            st.warning(told(error))
    return found


def _more() -> None:
    st.session_state[state.SHOWN] = st.session_state.get(state.SHOWN, SHOWN) + SHOWN


def _open() -> None:
    # A page cannot be changed in a callback: the run that follows does it.
    trajectory, index = st.session_state[state.STEP_TABLE].open
    state.update(step=(str(trajectory), int(index)), beside="")
    st.session_state[state.OPENED] = True


def _table(rows: Index, advantages: dict[str, Real]) -> dict[str, Any]:
    here, view = frame.entry(), state.current()
    log = cache.stored(here.id, here).frame
    at = _place(rows, log)
    count = max(st.session_state.get(state.SHOWN, SHOWN), -(-(at + 1) // SHOWN) * SHOWN)
    shown = rows[:count]
    facts = cache.step_facts(here.id, here)
    texts = [n for n in ("observation", "action", "thought") if n in log.columns]
    names = ["group_id", "trajectory_id", "step_index", "reward", *texts]
    part = log.select(names)[shown]
    part = part.with_columns(
        each(part["action"], lambda action: done(action)[:_LINE]).alias("done"),
        *(_beginning(name) for name in texts),
    )
    numbers = cache.rollouts(here.id, here).numbers
    part = part.with_columns(
        facts[name].gather(shown).alias(name) for name in ("outcome", "length")
    )
    if frame.marks().version:
        part = part.hstack(frame.marked()[shown])
    of_step = (
        np.stack([found[shown] for found in advantages.values()], axis=1) if advantages else None
    )
    made = []
    for number, row in enumerate(part.iter_rows(named=True)):
        credit = [] if of_step is None else of_step[number].tolist()
        made.append(
            {
                "group": row["group_id"],
                "trajectory": row["trajectory_id"],
                "number": numbers[row["trajectory_id"]],
                "step": row["step_index"],
                "length": row["length"],
                "outcome": row["outcome"],
                "reward": row["reward"]
                if row["reward"] is None or np.isfinite(row["reward"])
                else None,
                "advantage": [float(f"{a:.6g}") if np.isfinite(a) else None for a in credit],
                **{name: row.get(name) for name in _TEXTS},
            }
        )
    told = {
        "rows": made,
        "total": len(rows),
        "at": at,
        "sort": view.sort,
        "methods": list(advantages),
        "scale": [
            cache.scale(here.id, view.embedder, name, view.params(name), here).largest
            for name in advantages
        ],
    }
    return {**told, "key": digest(told)[:16], "heard": reading.heard()}


def _beginning(name: str) -> pl.Expr:
    """The first characters of a text, with "…" where it goes on."""
    text = pl.col(name)
    goes_on = pl.when(text.str.len_chars() > _HEAD).then(pl.lit("…")).otherwise(pl.lit(""))
    return pl.concat_str(text.str.slice(0, _HEAD), goes_on).alias(name)


def _place(rows: Index, log: pl.DataFrame) -> int:
    """Place of the view's step in the list; the first where it is not there."""
    here, step = frame.entry(), state.current().step
    rollouts = cache.rollouts(here.id, here)
    if step is None or step[0] not in rollouts.row:
        return 0
    row = int(rollouts.table["start"][rollouts.row[step[0]]]) + step[1]
    at = np.flatnonzero(rows == row)
    # Far down a long list it is not looked up: everything before it would have to be sent.
    return int(at[0]) if len(at) and at[0] < 4 * SHOWN else 0
