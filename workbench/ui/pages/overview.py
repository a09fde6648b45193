"""Overview page: a log's import report, its facts, its groups."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import streamlit as st

from workbench.errors import Problem
from workbench.files import MANIFEST
from workbench.log.facts import GROUP_KINDS, Facts
from workbench.plots import log as plots
from workbench.ui import cache, command, filtering, frame, state, upload, votes
from workbench.ui.header import header
from workbench.ui.hints import in_words, of_error
from workbench.ui.library import LogEntry
from workbench.ui.text import each, escaped, show
from workbench.ui.verdict import area as verdict_area
from workbench.wording import number_of, shortened
from workbench.workspace.artefacts import StoredLog

_CHART = {"displayModeBar": False}
_OF_FILTER = "The filter narrows the list of groups; facts and charts are of the whole log."
_MANY_FILES, _MANY_SIZES = 12, 8
_OUTCOMES = {"won": "Succeeded", "failed": "Failed", "unknown": "Not known"}
_COUNTED = {"won": "succeeded", "failed": "failed", "unknown": "unknown"}
_ORIGINS = {
    "success": "Success is what the log says.",
    "episode reward": "The log does not name success; a full episode reward counts as one.",
    "success, else episode reward": "Where the log does not name success, a full episode reward "
    "counts as one.",
    None: "Success is not known.",
}


def page() -> None:
    """The page."""
    entry = frame.entry()
    stored = cache.stored(entry.id, entry)
    facts = cache.log_facts(entry.id, entry)
    with header("Overview", _OF_FILTER):
        command.popover(*_commands(stored))
    st.subheader(escaped(shortened(entry.name, 60)), anchor=False)
    st.markdown(escaped(facts.sentence()))
    verdict = st.container()  # filled last: nothing waits for it
    upload.area()
    _import_report(stored.report)
    votes.area(stored)
    _kinds(facts)
    left, right = st.columns(2, gap="large")
    with left:
        _lengths(facts)
    with right:
        _recurrence(facts)
    _details(facts)
    _groups()
    with verdict:
        verdict_area(facts)


def _commands(stored: StoredLog) -> list[str]:
    """Commands that import these files the same way, and check and count them."""
    inputs = json.loads((stored.folder / MANIFEST).read_text(encoding="utf-8"))["inputs"]
    files = list(stored.report["files"])
    if len(files) > _MANY_FILES:
        files = [frame.entry().source]
    options = [
        *(["--format", inputs["format"]] if inputs["format"] else []),
        *(["--map", "mapping.json"] if inputs["mapping"] else []),
        *(["--quarantine", "set-aside.parquet"] if inputs["quarantine"] else []),
        *(["--skip-bad"] if inputs["skip_bad"] else []),
        *(part for reason in inputs.get("untrained", ()) for part in ("--untrained", reason)),
        *(["--keep-masked"] if inputs.get("keep_masked") else []),
        *(
            part
            for name in ("max_unpacked", "max_nesting")
            if inputs.get(name)
            for part in (f"--{name.replace('_', '-')}", str(inputs[name]))
        ),
        *(["--rewards", stored.report["rewards"]] if stored.report.get("rewards") else []),
    ]
    log = files[0] if len(files) == 1 and not options else "log.parquet"
    mapping = json.dumps(inputs["mapping"], indent=2, ensure_ascii=False)
    return [
        *([f"cat > mapping.json <<'END'\n{mapping}\nEND"] if inputs["mapping"] else []),
        command.workbench("import", *files, *options, "-o", "log.parquet"),
        command.workbench("validate", log),
        command.workbench("facts", log),
    ]


def _import_report(report: Mapping[str, Any]) -> None:
    """Import report; open where something was left out."""
    dropped = sum(problem["count"] for problem in report["dropped"])
    set_aside = report["quarantined_rows"]
    excluded = sum(report["excluded"].values())
    label = [f"{report['rows']:,} of {report['rows_read']:,} rows are in the log"]
    label += [f"{number_of(dropped, 'record')} left out"] * bool(dropped)
    label += [f"{number_of(set_aside, 'row')} set aside"] * bool(set_aside)
    label += [f"{number_of(excluded, 'trajectory')} not scored"] * bool(excluded)
    with st.expander(
        f"Import report: {', '.join(label)}",
        expanded=bool(dropped or set_aside),
        icon=":material/receipt_long:",
    ):
        show("\n".join(_report_lines(report)))
        if len(report["rollouts"]) > 1:
            st.markdown("**How many rollouts has a group?**")
            sizes = {int(size): count for size, count in report["rollouts"].items()}
            st.plotly_chart(
                plots.rollouts(sizes),
                config=_CHART,
                alt=f"Groups by number of rollouts, from {min(sizes)} to {max(sizes)} rollouts.",
            )


def _report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report as text, with the files' names in place of their paths."""
    files = report["files"]
    sizes = [
        f"{size} in {number_of(count, 'group')}"
        for size, count in list(report["rollouts"].items())[:_MANY_SIZES]
    ]
    lines = [
        ("format", report["format"]),
        ("files", ", ".join(files[:_MANY_FILES]) + ", …" * (len(files) > _MANY_FILES)),
        ("rows", f"{report['rows_read']:,} read, {report['rows']:,} in the log"),
        ("groups", f"{report['groups']:,} with {report['trajectories']:,} trajectories"),
        ("group sizes", ", ".join(sizes) + ", …" * (len(report["rollouts"]) > _MANY_SIZES)),
        *(
            ("reconstructed", f"{what} of {share:.1%} of the rows")
            for what, share in report.get("reconstructed", {}).items()
        ),
        *(("not scored", f"{n:,} × {why}") for why, n in report["excluded"].items()),
        *(("left out", _problem(problem)) for problem in report["dropped"]),
        *(("set aside", _problem(problem)) for problem in report["quarantined"]),
        *(("renamed", f"{old} became {new}") for new, old in report["renamed"].items()),
        *(("note", in_words(notice)) for notice in report["notices"]),
    ]
    return [of_error(upload.named_shortly(f"{label:<18}{text}", files)) for label, text in lines]


def _problem(problem: Mapping[str, Any]) -> str:
    times = f"{problem['count']:,} × " if problem["count"] > 1 else ""
    return times + in_words(str(Problem(**problem)))


def _kinds(facts: Facts) -> None:
    st.subheader("What can a group method learn from?", anchor=False)
    shown = [kind for kind, count in facts.group_kinds.items() if count or kind == "live"]
    with st.container(horizontal=True, gap="small"):
        for kind in shown:
            label = f"{plots.KIND_LABELS[kind]}: {number_of(facts.group_kinds[kind], 'group')}"
            frame.link(label, "steps", filter=f"kind:{kind}")
    st.caption(". ".join(f"{plots.KIND_LABELS[kind]}: {GROUP_KINDS[kind]}" for kind in shown) + ".")


def _lengths(facts: Facts) -> None:
    st.subheader("How long are trajectories, and which succeed?", anchor=False)
    entry, length = frame.entry(), facts.lengths
    text = (
        f"From {length['minimum']} to {length['maximum']} steps, "
        f"median {length['median']:g}, mean {length['mean']:.1f}."
    )
    histogram = cache.log_lengths(entry.id, entry)
    event = st.plotly_chart(
        plots.lengths(histogram),
        key=state.LENGTHS_CHART,
        on_select="rerun",
        selection_mode="points",
        config=_CHART,
        alt=f"Lengths of trajectories by outcome. {text}",
    )
    for point in event["selection"]["points"]:
        shortest, longest = histogram.select("shortest", "longest").row(point["point_index"])
        filtering.show(f"length>={shortest} length<={longest}")
    st.caption(f"{text} {_ORIGINS[facts.success['source']]} A click on a bar lists its steps.")
    with st.container(horizontal=True, gap="small"):
        for outcome, label in _OUTCOMES.items():
            count = int(histogram[_COUNTED[outcome]].sum())
            if count:
                rollouts = number_of(count, "rollout")
                frame.link(f"{label}: {rollouts}", "steps", filter=f"outcome:{outcome}")


def _recurrence(facts: Facts) -> None:
    st.subheader("How often does a state come back?", anchor=False)
    if facts.singleton_rate is None:
        st.caption("No step of this log is scored, so no state counts.")
        return
    text = (
        f"{100 * facts.singleton_rate:.1f} % of the steps are in a state that is nowhere else in "
        "their group: no step with the same observation to compare them with."
    )
    rates = facts.singleton_rate_by_depth
    st.plotly_chart(
        plots.recurrence(rates), config=_CHART, alt=f"Steps without a twin by depth. {text}"
    )
    st.caption(text)


def _details(facts: Facts) -> None:
    st.subheader("What else is in the log?", anchor=False)
    st.text("\n".join(f"{label.capitalize()}: {text}" for label, text in facts.details()))


def _groups() -> None:
    st.subheader("Which groups are there?", anchor=False)
    entry = frame.entry()
    groups = cache.log_groups(entry.id, entry)
    groups = groups.sort(
        each(groups["group_id"], _natural_place(entry), pl.Int64), maintain_order=True
    )
    kept = filtering.usable()
    if kept is not None:
        passing = cache.stored(entry.id, entry).frame["group_id"].filter(kept.mask).unique()
        every, groups = groups.height, groups.filter(pl.col("group_id").is_in(passing.to_list()))
        st.caption(f"{groups.height:,} of {every:,} groups have steps that pass the filter.")
    st.caption("Tick a group to read its first trajectory. A click on a heading sorts.")
    chosen = st.dataframe(
        _shown(groups),
        hide_index=True,
        column_config={
            "group": st.column_config.TextColumn(width=_width(groups)),
            "task": st.column_config.TextColumn(width="large"),
            "success": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
            "steps per rollout": st.column_config.NumberColumn(format="%.1f"),
        },
        on_select="rerun",
        selection_mode="single-row",
        key=state.GROUP_TABLE,
        alt="One row per group: rollouts, success, mean length and what it can teach.",
    )
    rows = chosen["selection"]["rows"]
    if rows:
        state.update(step=(groups["first_trajectory"][rows[0]], 0))
        frame.go_to("rollouts")


def _width(groups: pl.DataFrame) -> int:
    """Pixels for the names of groups, as far as they differ."""
    names = cache.group_names(frame.entry().id, frame.entry())
    longest = max((len(names[group]) for group in groups["group_id"]), default=0)
    return min(60 + 7 * longest, 240)


def _natural_place(entry: LogEntry) -> Callable[[str], int]:
    """Place of a group among the others as people count."""
    order = {group: place for place, group in enumerate(cache.rollouts(entry.id, entry).groups)}
    return order.__getitem__


def _shown(groups: pl.DataFrame) -> pl.DataFrame:
    def short(column: str, width: int) -> pl.Series:
        return each(groups[column], lambda text: shortened(text, width))

    tasks = {"task": short("task", 80)} if groups["task"].is_not_null().any() else {}
    here = frame.entry()
    names = cache.group_names(here.id, here)
    columns = {
        "group": groups["group_id"].replace_strict(names, return_dtype=pl.String),
        **tasks,
        "kind": groups["kind"].replace_strict(plots.KIND_LABELS, return_dtype=pl.String),
        "success": groups["success_rate"].round(3),
        "steps per rollout": groups["mean_length"],
        "rollouts": groups["rollouts"],
        **({"scored": groups["scored"]} if (groups["scored"] < groups["rollouts"]).any() else {}),
    }
    return pl.DataFrame([series.alias(name) for name, series in columns.items()])
