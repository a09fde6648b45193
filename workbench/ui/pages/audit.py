"""Is the credit any good? An audit of the view's methods on the log of the view."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from workbench.analysis.audit import GROUPS, MEASURES, Audit
from workbench.plots import audit as plots
from workbench.ui import cache, command, frame, state
from workbench.ui.header import header
from workbench.ui.text import escaped, told
from workbench.wording import number_of, shortened
from workbench.workspace.chosen import LUCK

_OF_FILTER = (
    "An audit is of the whole log: what it draws are other rollouts for whole groups. Its counts "
    "are links to their steps."
)
_STEPS_OF = {
    "dead-groups": "-kind:live",
    "penalty-only-credit": "kind:penalty_only",
    "credit-of-equals": "kind:all_fail,all_pass,constant_reward,one_rollout",
    "unstable-signs": "unstable:{credit}",
}
"""Finding -> the filter of the steps that it is about, where there is one."""

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
    audit = cache.audited(entry.id, view.embedder, fields, entry)
    st.caption(
        "What can be said without knowing the truth. The controls know nothing of merit: "
        "a number that they reach too says nothing for a credit."
    )
    _findings(audit)
    _badge(audit)
    _measure(audit)
    _steps(audit)
    _everything(audit)


def _commands(names: tuple[str, ...]) -> list[str]:
    entry = frame.entry()
    files = {name: f"{name.replace(':', '-')}.parquet" for name in names}
    scored = [command.score(entry, name, file) for name, file in files.items()]
    given = [part for file in files.values() for part in ("--credit", file)]
    return [*scored, command.workbench("audit", entry.source, *given, "--explain")]


def _findings(audit: Audit) -> None:
    st.subheader("What is wrong?")
    if not audit.findings:
        st.markdown("None of the known defects was found.")
        return
    with st.container(border=True, gap="small"):
        for finding in audit.findings:
            of = escaped(finding.credit or "the log")
            st.markdown(
                f"**{of}** · {escaped(finding.name.replace('-', ' '))}: {told(finding.text)}  \n"
                f":gray[→ {told(finding.action)}]"
            )
            if finding.name in _STEPS_OF:
                steps = _STEPS_OF[finding.name].format(credit=finding.credit)
                frame.link("Show the steps", "steps", filter=steps, sort="")


def _badge(audit: Audit) -> None:
    """Which method made the trainer's own numbers, where the log has them."""
    for row in audit.frame.filter(measure="closest_to_logged").to_dicts():
        st.markdown(
            f"The trainer's own advantage is nearest to **{told(row['where'])}**: "
            f"{row['value']:.1%} of {row['count']:,} steps within 1e-4, {escaped(row['note'])}."
        )


def _measure(audit: Audit) -> None:
    st.subheader("How do the credits compare?")
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
    """What a reader of some readings should know; credits of which the same holds together."""
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
    st.subheader("Which credit is luck of the draw?")
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
    with st.expander("Every number"):
        for group, meaning in GROUPS.items():
            rows = audit.frame.filter(group=group)
            if rows.height:
                st.markdown(f"**{group.capitalize()}**: {meaning}.")
                st.dataframe(
                    _table(rows),
                    hide_index=True,
                    placeholder="–",
                    alt=f"Every reading of {group}.",
                )
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


def _table(rows: pl.DataFrame) -> Any:
    """One line a reading, texts of the log shortened."""
    numbers = ("value", "low", "high", "shuffled_low", "shuffled_high")
    return rows.select(
        pl.col("measure").str.replace_all("_", " "),
        pl.col("credit").fill_null("log"),
        pl.col("where").map_elements(shortened, pl.String),
        *(pl.col(name).round_sig_figs(4).alias(name.replace("_", " ")) for name in numbers),
        "count",
        pl.col("note").map_elements(shortened, pl.String),
    )
