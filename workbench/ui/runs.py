"""Several logs or updates side by side, the first of them the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import streamlit as st

from workbench.analysis.runs import Run, checkpoints, tasks, updates_column
from workbench.errors import WorkbenchError
from workbench.log.steps import Real
from workbench.plots.runs import over_updates
from workbench.ui import cache, frame, state
from workbench.ui.library import LogEntry
from workbench.ui.text import each, escaped, told
from workbench.wording import number_of, own_names, shortened


def section(methods: Sequence[str], pair: tuple[str, str] | None) -> None:
    """The runs of the chosen logs: per update, and per task against the baseline."""
    entries = _chosen()
    runs = [
        _run(entry, name, methods) for entry, name in zip(entries, _names(entries), strict=True)
    ]
    lead = methods[-1]
    table = checkpoints(runs, lead, pair)
    if table["update"].is_not_null().any() and table.height > table["run"].n_unique():
        st.plotly_chart(
            over_updates(table),
            config={"displayModeBar": False},
            alt="Success, live groups, steps with credit and opposite signs over the updates.",
        )
    for run in runs:
        if updates_column(run.log) is None:
            st.caption(f"{escaped(run.name)} does not count its updates, so it is one point.")
    _points(table, lead, pair)
    _tasks(runs)


def _chosen() -> list[LogEntry]:
    """The logs that are set side by side: the view's, else the one that is shown."""
    view, library = state.current(), frame.library()
    known = frame.known_logs()
    wanted = [log for log in view.runs if library.find(log)] or [frame.entry().id]
    if lost := len(view.runs) - len([log for log in view.runs if library.find(log)]):
        st.warning(f"{number_of(lost, 'log')} of the address cannot be found here any more.")
    st.session_state[state.RUNS] = wanted
    entries = {log: library.find(log) for log in dict.fromkeys([*known, *wanted])}
    names = {log: entry.name for log, entry in entries.items() if entry}
    st.multiselect(
        "Logs, the first is the baseline",
        list(names),
        key=state.RUNS,
        format_func=names.__getitem__,
        on_change=lambda: state.update(runs=tuple(st.session_state[state.RUNS])),
        help="Logs of the command line, and those added in this session. A log of several runs or "
        "updates is split by run_id and train_step.",
    )
    return [entry for log in wanted if (entry := entries[log]) is not None]


def _names(entries: Sequence[LogEntry]) -> list[str]:
    """Names of the logs, with their ids where names are equal."""
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        names = [f"{entry.name} {entry.id[:6]}" for entry in entries]
    return [shortened(name, 40) for name in own_names(names)]


def _run(entry: LogEntry, name: str, methods: Sequence[str]) -> Run:
    """A log with the advantages of the methods that can score it; others with the reason."""
    log = cache.stored(entry.id, entry).frame
    found: dict[str, Real] = {}
    for method in methods:
        try:
            found[method] = _advantage(entry, method, log.height)
        except WorkbenchError as error:
            st.warning(f"{escaped(method)} cannot score {escaped(name)}: {told(error)}")
    return Run(name=name, log=log, advantages=found)


def _advantage(entry: LogEntry, method: str, rows: int) -> Real:
    view = state.current()
    embedder = view.embedder
    if cache.needs_vectors(method) and not cache.has_vectors(entry.id, embedder, entry):
        embedder = "tfidf"  # embedding a log that nobody opened would take minutes unasked
        if view.embedder != "tfidf":
            st.caption(
                f"{escaped(method)} on {escaped(entry.name)} is by TF-IDF; open it to embed it."
            )
    credit = cache.credit(entry.id, embedder, method, view.params(method), entry)
    whole = np.full(rows, np.nan)
    whole[credit.steps.row] = credit.advantage
    return whole


def _points(table: pl.DataFrame, lead: str, pair: tuple[str, str] | None) -> None:
    labels = {
        "success": "success",
        "live_share": "live groups, %",
        "effective_share": f"steps with credit by {lead}, %",
        "flip_share": f"opposite signs of {' and '.join(pair)}, %" if pair else "opposite signs, %",
    }
    shown = table.select(
        "run",
        "update",
        "rollouts",
        *((100 * pl.col(name)).alias(label) for name, label in labels.items()),
        "groups",
        "steps",
    ).rename({"success": "success, %"})
    if shown["update"].null_count() == shown.height:
        shown = shown.drop("update")
    known = [name for name in shown.columns if shown[name].is_not_null().any()]
    st.dataframe(
        shown.select(known),
        hide_index=True,
        placeholder="–",
        column_config={
            name: st.column_config.NumberColumn(format="%.1f") for name in known if "%" in name
        },
        alt="One row per run and update: success, live groups, steps with credit, opposite signs.",
    )


def _tasks(runs: Sequence[Run]) -> None:
    """Each task's success in every run, the largest change against the baseline first."""
    table = tasks(runs)
    base, *others = table.columns[1:]
    if not others:
        st.caption(
            "Choose another log above, or one of several runs, to compare them task by task."
        )
        return
    for name in others:
        lacking = table.filter(pl.col(name).is_null() & pl.col(base).is_not_null()).height
        more = table.filter(pl.col(name).is_not_null() & pl.col(base).is_null()).height
        if lacking or more:
            st.caption(
                f"{escaped(name)} lacks {number_of(lacking, 'task')} of {escaped(base)}, and has "
                f"{more:,} that {escaped(base)} lacks; they are shown, and not compared."
            )
    change = pl.max_horizontal((pl.col(name) - pl.col(base)).abs() for name in others)
    shown = table.sort(change, descending=True, nulls_last=True, maintain_order=True).select(
        "task",
        *((100 * pl.col(name)).alias(f"{name}, %") for name in [base, *others]),
        *((100 * (pl.col(name) - pl.col(base))).alias(f"{name} − {base}") for name in others),
    )
    shown = shown.with_columns(each(shown["task"], lambda text: shortened(text, 120)))
    st.dataframe(
        shown,
        hide_index=True,
        placeholder="–",
        height=300,
        column_config={
            "task": st.column_config.TextColumn(width=420),
            **{
                name: st.column_config.NumberColumn(format="%.0f" if "%" in name else "%+.0f")
                for name in shown.columns[1:]
            },
        },
        alt=f"Success on each task in every run; the largest change against {base} first.",
    )
