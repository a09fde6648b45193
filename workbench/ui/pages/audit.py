"""Is the credit any good? An audit of the view's methods on the log of the view."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import streamlit as st

from workbench.analysis.audit import GROUPS, MEASURES, Audit
from workbench.analysis.audit.findings import Finding
from workbench.analysis.tuning.tunable import tunable_methods
from workbench.log.credit import Credit
from workbench.plots import audit as plots
from workbench.ui import cache, command, frame, roles, settings, state, work, worlds
from workbench.ui.header import header
from workbench.ui.text import each, escaped, told
from workbench.ui.verdict import SEVERITY, STEPS_OF
from workbench.wording import Progress, number_of, shortened
from workbench.workspace.chosen import LUCK

_OF_FILTER = (
    "An audit covers the whole log: it resamples the rollouts of whole groups. Its counts "
    "are links to their steps."
)
LISTED = 50  # steps in the table
NOTES = 6
FIRST = "held_out_gain"  # what the chart shows before anything is chosen


def page() -> None:
    """The page."""
    commands = header("Audit", _OF_FILTER)
    view, entry = state.current(), frame.entry()
    frame.methods_picker("audit")
    credits = frame.credits(*view.methods)
    with commands:
        command.popover(*_commands(tuple(credits)))
    fields = {name: view.params(name) for name in credits}
    place, waiting = st.container(), st.container()
    key = json.dumps([entry.id, view.embedder, "audit", fields], sort_keys=True)
    so_far = cache.slot(f"{key} so far")
    states: list[Any] = []

    def show(found: Audit, growing: int | None) -> None:
        # Each state in a place of its own: one drawn over another would leave rows of it behind.
        if states:
            states[-1].empty()
        states.append(place.empty())
        with states[-1].container():
            _findings(found, growing)

    def grown(progress: Progress) -> Audit:
        growing = cache.audits(entry.id, view.embedder, fields, entry, progress=progress)
        for number, found in enumerate(growing):
            so_far["audit"] = found
            show(found, number)
        return found

    audit = work.long(key, "Auditing", waiting, grown)
    show(so_far["audit"], None if audit else -1)
    if audit is None:
        return
    _badge(audit)
    _parts(audit, credits)


def _parts(audit: Audit, credits: Mapping[str, Credit]) -> None:
    """The rest of the audit, a tab a question."""
    log = cache.stored(frame.entry().id, frame.entry()).frame
    parts: dict[str, Callable[[], None]] = {
        "How do the credits compare?": lambda: _measure(audit),
        "Which credit is luck of the draw?": lambda: _steps(audit),
    }
    if roles.there_are(log):
        parts["Whose credit is it?"] = lambda: roles.section(log, credits)
    parts["What trained in simulated worlds?"] = lambda: worlds.section(audit.credits)
    parts["Every number"] = lambda: _everything(audit)
    for tab, part in zip(st.tabs(list(parts)), parts.values(), strict=True):
        with tab:
            part()


def _commands(names: tuple[str, ...]) -> list[str]:
    entry = frame.entry()
    files = {name: f"{name.replace(':', '-')}.parquet" for name in names}
    scored = [command.score(entry, name, file) for name, file in files.items()]
    given = [part for file in files.values() for part in ("--credit", file)]
    return [*scored, command.workbench("audit", entry.source, *given, "--explain")]


def _findings(audit: Audit, growing: int | None) -> None:
    """Findings, the worst first.

    Args:
        audit: The audit, whole or as far as it is.
        growing: Number of this state while it grows, −1 where it was stopped, None once whole.
    """
    st.subheader("What is wrong?")
    if not audit.findings:
        so_far = "" if growing is None else "So far n" if growing >= 0 else "As far as it went, n"
        st.markdown(f"{so_far or 'N'}one of the known defects was found.")
        return
    with st.container(border=True, gap="small"):
        for number, finding in enumerate(audit.findings):
            _finding(finding, f"{growing}_{number}")
    if growing is None:
        return
    st.caption(
        "More may come: other rollouts are still being drawn."
        if growing >= 0
        else "Stopped: the effect of other rollouts is not known."
    )


def _finding(finding: Finding, key: str) -> None:
    text, buttons = st.columns([4, 1], vertical_alignment="center")
    of = escaped(finding.credit or "the log")
    text.markdown(
        f"{SEVERITY[finding.severity]} · **{of}** · {escaped(finding.name.replace('-', ' '))}: "
        f"{told(finding.text)}  \n:gray[→ {told(finding.action)}]"
    )
    with buttons:
        if finding.name in STEPS_OF:
            steps = STEPS_OF[finding.name].format(credit=finding.credit)
            frame.link("Show the steps", "steps", filter=steps, sort="")
        if finding.fields and finding.credit is not None:
            now = {**state.current().params(finding.credit), **finding.fields}
            st.button(
                f"Set {settings.assigned(finding.fields)}",
                key=state.MEND.format(finding=key),
                on_click=settings.give,
                args=(finding.credit, now),
                help="On every page; the value before is shown, and Tune can reset it.",
            )
        if finding.name == "worse-than-the-mean" and finding.credit in tunable_methods():
            frame.link("Tune it", "tune", tuned=finding.credit, trying=None)


def _badge(audit: Audit) -> None:
    """Method that reproduces the trainer's own numbers, where the log has them."""
    for row in audit.frame.filter(measure="closest_to_logged").to_dicts():
        st.markdown(
            f"The trainer's own advantage is nearest to **{told(row['where'])}**: "
            f"{row['value']:.1%} of {row['count']:,} steps within 1e-4, {escaped(row['note'])}."
        )


def _measure(audit: Audit) -> None:
    known = [name for name in MEASURES if name in set(audit.frame["measure"])]
    chosen = state.current().measure
    chosen = chosen if chosen in known else FIRST if FIRST in known else known[0]
    left, right = st.columns([2, 3], gap="large")
    st.session_state[state.MEASURE] = chosen
    left.selectbox(
        "Measure",
        known,
        key=state.MEASURE,
        format_func=lambda name: f"{MEASURES[name].group}: {name.replace('_', ' ')}",
        on_change=lambda: state.update(measure=st.session_state[state.MEASURE]),
    )
    measure = MEASURES[chosen]
    left.markdown(measure.meaning)
    left.caption(f"What to do: {told(measure.action)}")
    left.caption(f"{measure.group.capitalize()}: {GROUPS[measure.group]}.")
    rows = audit.frame.filter(measure=chosen)
    if rows["value"].null_count() == rows.height:
        right.markdown("Nothing to measure here.")
        return
    right.plotly_chart(
        plots.readings(rows, measure.kind, audit.controls),
        config={"displayModeBar": False},
        alt=f"{chosen.replace('_', ' ')} of each credit, with its interval.",
    )
    for line in _notes(rows):
        right.caption(told(line))


def _notes(rows: pl.DataFrame) -> list[str]:
    """Notes on some readings; credits with the same note together."""
    of_note: dict[str, list[str]] = {}
    for credit, where, note in rows.select("credit", "where", "note").iter_rows():
        if note:
            said = " · ".join(part for part in (credit or "log", shortened(where)) if part)
            of_note.setdefault(note, []).append(said)
    lines = [f"{', '.join(places)}: {note}" for note, places in of_note.items()]
    return [*lines[:NOTES], *([f"and {len(lines) - NOTES} more"] if len(lines) > NOTES else [])]


def _steps(audit: Audit) -> None:
    """The largest credits among those that depend on which other rollouts were in the group."""
    size = pl.col("advantage").abs() / pl.col("advantage").std().over("credit")
    flipping = (
        audit.intervals.filter(pl.col("credit").is_in(list(audit.credits)))
        .with_columns(size=size)
        .filter(pl.col("sign_flips") >= LUCK)
        .sort("size", descending=True, maintain_order=True)
    )
    if not flipping.height:
        st.caption(
            f"No step's credit changes its sign in {LUCK:.0%} or more of the draws of other "
            "rollouts for its group."
        )
        return
    st.caption(
        f"{flipping.height:,} times a step's credit changes its sign in {LUCK:.0%} or more of "
        "the draws of other rollouts for its group: instability, not error. The largest come "
        "first, in standard deviations of their method. Choose a row to read that step."
    )
    with st.container(horizontal=True, gap="small"):
        for name, count in flipping["credit"].value_counts(sort=True).iter_rows():
            label = f"{name}: {number_of(count, 'step')}"
            frame.link(label, "steps", filter=f"unstable:{name}", sort=f"-|{name}|")
    shown = flipping.head(LISTED)
    event = st.dataframe(
        shown.select(
            "credit",
            *frame.named(shown.select("trajectory_id", "step_index")),
            "advantage",
            pl.col("low").alias("5 %"),
            pl.col("high").alias("95 %"),
            (100 * pl.col("sign_flips")).alias("sign changes"),
        ),
        key=state.UNSTABLE_STEPS,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=280,
        column_config={
            **{
                name: st.column_config.NumberColumn(name, format="%+.3f")
                for name in ("advantage", "5 %", "95 %")
            },
            "group": st.column_config.TextColumn(width=150),
            "rollout": st.column_config.TextColumn(width=80),
            "step": st.column_config.NumberColumn(width=50),
            "done": st.column_config.TextColumn("what was done", width=330),
            "sign changes": st.column_config.NumberColumn(format="%.0f %%"),
        },
        alt=f"The {shown.height} largest credits that change their sign often.",
    )
    for row in event["selection"]["rows"]:
        step = shown.row(row, named=True)
        frame.open_step(step["trajectory_id"], step["step_index"])


def _everything(audit: Audit) -> None:
    drawn = audit.sampling
    st.caption(
        f"Resampling: {drawn['groups']} of {drawn['eligible_groups']} groups with three "
        f"rollouts or more, {drawn['draws']} draws each, seed {drawn['seed']}."
    )
    for row in audit.left_out.to_dicts():
        st.caption(
            f"Left out for {escaped(row['credit'])}: {escaped(row['measures'])}; "
            f"{escaped(row['reason'])}."
        )
    known = [name for name in GROUPS if name in set(audit.frame["group"])]
    group = st.segmented_control("Part", known, default=known[0], required=True)
    st.caption(f"{GROUPS[group][:1].upper()}{GROUPS[group][1:]}.")
    st.dataframe(
        _table(audit.frame.filter(group=group)),
        hide_index=True,
        placeholder="–",
        alt=f"Every reading of {group}.",
    )


def _table(rows: pl.DataFrame) -> Any:
    """One line a reading, texts of the log shortened."""
    numbers = ("value", "low", "high", "shuffled_low", "shuffled_high")
    return rows.select(
        pl.col("measure").str.replace_all("_", " "),
        pl.col("credit").fill_null("log"),
        each(rows["where"], shortened),
        *(pl.col(name).round_sig_figs(4).alias(name.replace("_", " ")) for name in numbers),
        "count",
        each(rows["note"], shortened),
    )
