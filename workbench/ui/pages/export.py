"""Give me the batch: a method, a target, its options; what is in the file, and the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from workbench.errors import WorkbenchError
from workbench.exporters import Exporter
from workbench.exporters.archive import FOLDER, Archive
from workbench.exporters.base import TARGETS
from workbench.exporters.checklist import balance, checklist
from workbench.exporters.worth import Worth
from workbench.methods.variants import variants
from workbench.ui import cache, command, export_options, export_preview, frame, state
from workbench.ui.header import header
from workbench.ui.hints import in_words, of_error
from workbench.ui.text import escaped

TOP_GROUPS = 10
_OF_FILTER = (
    "Only what the filter leaves is trained. The rest of those rollouts goes along as context, and "
    "rollouts without any stay out; advantages are those of the whole log."
)
_VERDICTS = {"holds": "✓ fine", "look": "! look", "n/a": "○ n/a"}


def page() -> None:
    """The page."""
    commands = header("Export", _OF_FILTER)
    method, target, options = _pickers()
    _ = frame.credits(method)
    with commands:
        command.popover(_commands(method, target, options))
    batch = _batch(method, target, options)
    if batch is None:
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        _checks(batch)
    with right:
        _download(batch, method, target)
        _turn_off(batch)
    export_preview.rows(batch, target)
    _worth(batch)
    _balance(batch)
    _manifest(batch)
    if frame.allow_paths():
        _write(method, target, options)


def _default_method(methods: Sequence[str]) -> str:
    """ProxMO, whose settings are tuned here, where it is among the methods; else the last one."""
    return "proxmo" if "proxmo" in methods else methods[-1]


def _pickers() -> tuple[str, Exporter, dict[str, Any]]:
    """Method, target and its options, as the view has them."""
    view, known = state.current(), TARGETS
    method = view.export.get("method", _default_method(view.methods))
    target = known[view.export.get("to", state.DEFAULT_TARGET)]
    places = st.columns(2)
    _picker(places[0], "Method", "method", variants(), method)
    _picker(places[1], "For", "to", list(known), target.name)
    options = export_options.chosen(target)
    applied = ", ".join(f"{name} {value}" for name, value in view.params(method).items())
    fields = f"{method} with {applied}" if applied else f"{method} as it is by default"
    st.caption(f"{escaped(fields)}. {escaped(target.description)}")
    return method, target, options


def _picker(place: Any, label: str, part: str, values: list[str], value: str) -> None:
    key = state.EXPORT.format(option=part)
    st.session_state[key] = value
    place.selectbox(
        label,
        values,
        key=key,
        on_change=lambda: export_options.choose({part: st.session_state[key]}),
    )


def _set_options(target: Exporter, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that differ from the target's defaults."""
    defaults = target.options
    return {name: value for name, value in options.items() if value != defaults[name]}


def _commands(method: str, target: Exporter, options: Mapping[str, Any]) -> str:
    entry = frame.entry()
    file = f"{method.replace(':', '-')}.parquet"
    export = command.workbench(
        "export",
        entry.source,
        "--credit",
        file,
        "--to",
        target.name,
        *command.params(_set_options(target, options)),
        *(["--marks", str(entry.workspace)] if options.get("marked", "all") != "all" else []),
        "-o",
        f"{FOLDER}/",
    )
    return f"{command.score(entry, method, file)} &&\n{export}"


def _batch(method: str, target: Exporter, options: Mapping[str, Any]) -> Archive | None:
    view, entry = state.current(), frame.entry()
    scored, to = (method, view.params(method)), (target.name, options)
    try:
        return cache.batch(entry.id, view.embedder, scored, to, entry)
    except WorkbenchError as error:
        st.error("There is no batch to give.")
        st.code(of_error(error), language=None, wrap_lines=True)
        return None


def _checks(batch: Archive) -> None:
    st.subheader("Is the batch sound?")
    found = checklist(batch.manifest)
    st.table(
        [
            {
                "check": finding.check,
                "what was found": escaped(
                    f"{_VERDICTS[finding.verdict]}: {in_words(finding.says)}"
                ),
            }
            for finding in found
        ],
        border="horizontal",
        hide_index=True,
        hide_header=True,
        alt="The checks of the batch, made before it is given out.",
    )


def _download(batch: Archive, method: str, target: Exporter) -> None:
    st.subheader("How large is it?")
    counts, size = batch.manifest.counts, sum(batch.sizes.values())
    tokens = f", {counts['tokens']:,} tokens" if "tokens" in counts else ""
    st.markdown(f"**{_bytes(size)}**: {counts.get('rows', 0):,} rows{tokens}.")
    stem = Path(frame.entry().name).stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{stem}-{method}-{target.name}").strip("-.")
    st.download_button(
        "Download batch (.zip)",
        lambda: batch.content,
        file_name=f"{name}.zip",
        mime="application/zip",
        key=state.EXPORT.format(option="download"),
        on_click="ignore",
        type="primary",
        icon=":material/download:",
        help=f"{', '.join(batch.sizes)} in a folder {FOLDER}/",
    )


def _bytes(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1e3:,.1f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"


def _balance(batch: Archive) -> None:
    st.subheader("What is in it?")
    st.dataframe(
        balance(batch.manifest),
        hide_index=True,
        column_config={
            "what": st.column_config.TextColumn("", width=130),
            "trajectories": st.column_config.NumberColumn(format="localized", width=85),
            "steps": st.column_config.NumberColumn(format="localized", width=75),
        },
        alt="Trajectories and steps of the log, of what is left out and of the batch.",
    )


def _worth(batch: Archive) -> None:
    worth = batch.worth
    st.subheader("What is the batch worth?")
    trained = f"{worth.steps:,} trained steps" + (
        f" of {worth.tokens:,} tokens" if worth.tokens is not None else ""
    )
    up = worth.positive_share or 0.0
    st.markdown(
        f"{worth.pulling:,} of {trained} pull at the policy, as much as "
        f"**{worth.effective_steps:,.0f}** of equal weight would. "
        f"{up:.0%} of the weight pushes actions up (▲), {1 - up:.0%} down (▼)."
    )
    left, right = st.columns([3, 2], gap="large")
    with right:
        export_preview.shaped(batch)
    with left:
        _by_group(worth)


def _by_group(worth: Worth) -> None:
    top = worth.groups.head(TOP_GROUPS)
    rest = f" of {worth.groups.height:,} groups" if worth.groups.height > top.height else ""
    st.caption(f"Where the weight lies, |advantage| by group: the first {top.height:,}{rest}.")
    here = frame.entry()
    names = cache.group_names(here.id, here)
    st.dataframe(
        top.select(
            pl.col("group_id").replace_strict(names, return_dtype=pl.String).alias("group"),
            "trajectories",
            "steps",
            (100 * pl.col("share")).alias("share of the weight"),
        ),
        hide_index=True,
        column_config={
            "share of the weight": st.column_config.ProgressColumn(
                format="%.1f %%", min_value=0, max_value=100 * (top["share"].to_list() or [1.0])[0]
            )
        },
        alt="Groups with the largest share of the gradient's weight.",
    )


def _turn_off(batch: Archive) -> None:
    """Settings of the selected trainer that would normalise the advantages again."""
    advice = batch.manifest.turn_off
    st.subheader("What must your trainer not do again?")
    trainer = next(iter(advice), None)
    if len(advice) > 1:
        key = state.EXPORT.format(option="trainer")
        chosen = state.current().export.get("trainer")
        st.session_state[key] = chosen if chosen in advice else None
        trainer = st.selectbox(
            "Your trainer",
            list(advice),
            key=key,
            placeholder="which one reads the batch?",
            on_change=lambda: export_options.choose({"trainer": st.session_state[key]}),
        )
    if trainer is None:
        st.caption("These advantages are final: a trainer that normalises them again undoes them.")
        return
    st.markdown(f"**{escaped(trainer)}**: {escaped(advice[trainer])}")
    st.caption("These advantages are final: a trainer that normalises them again undoes them.")


def _manifest(batch: Archive) -> None:
    with st.expander("manifest.json: how the batch was made and checked"):
        st.code(batch.manifest_text, language="json", height=400)


def _write(method: str, target: Exporter, options: Mapping[str, Any]) -> None:
    st.subheader("Or write it on this machine")
    place = st.text_input("Folder", key=state.EXPORT.format(option="folder"))
    overwrite = export_options.OF_THE_PLACE in target.options and st.checkbox(
        "Replace a finished export that is there", key=state.EXPORT.format(option="overwrite")
    )
    if not st.button("Write", disabled=not place, key=state.EXPORT.format(option="write")):
        return
    view, entry = state.current(), frame.entry()
    credit = cache.credit(entry.id, view.embedder, method, view.params(method), entry)
    place_options = {export_options.OF_THE_PLACE: True} if overwrite else {}
    folder = Path(place).expanduser()
    try:
        scored = credit.scored()
        log = cache.to_export(entry.id, view.embedder, scored, options, entry)
        target(log, scored, folder, **options, **place_options)
    except (WorkbenchError, OSError) as error:
        st.error("Nothing was written.")
        st.code(of_error(error), language=None, wrap_lines=True)
    else:
        st.success(f"Written to {escaped(str(folder.resolve()))}")
