"""Rewards, and who counts and who trains: the choices that a log is read again with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from workbench.errors import WorkbenchError
from workbench.files import MANIFEST
from workbench.log.facts import finish_reasons
from workbench.ui import frame, state
from workbench.ui.hints import of_error
from workbench.ui.text import escaped, show
from workbench.wording import number_of
from workbench.workspace.artefacts import StoredLog

_BY = "finish_reason="


def area(stored: StoredLog) -> None:
    """The choices; open where no step has a reward."""
    reasons, masked = finish_reasons(stored.frame), _masked(stored.frame)
    inputs = json.loads((stored.folder / MANIFEST).read_text(encoding="utf-8"))["inputs"]
    key = frame.entry().id
    given = inputs.get("untrained", ())
    unrewarded = stored.frame["reward"].is_null().all()
    with st.expander(
        "Rewards, and who counts and trains", icon=":material/how_to_vote:", expanded=unrewarded
    ):
        if unrewarded:
            st.warning("No step has a reward, so that nothing can be scored.")
        rewards = st.file_uploader(
            "Rewards from a file",
            key=state.REWARDS.format(log=key),
            help="CSV, JSON lines or Parquet with trajectory_id and reward; success and group_id "
            "are taken too. It overrides the log.",
        )
        untrained, keep_masked = [], False
        if reasons:
            untrained = st.multiselect(
                "Count in their group, but do not train, rollouts that stopped for",
                list(reasons),
                default=[reason for reason in reasons if f"{_BY}{reason}" in given],
                format_func=lambda reason: f"{reason} ({number_of(reasons[reason], 'rollout')})",
                key=state.UNTRAINED.format(log=key),
            )
        if masked:
            keep_masked = st.checkbox(
                f"Count and train {number_of(masked, 'rollout')} that the log masks",
                value=bool(inputs.get("keep_masked", False)),
                key=state.KEEP_MASKED.format(log=key),
            )
        if stored.report.get("rewards") and rewards is None:
            name = Path(stored.report["rewards"]).name
            st.caption(f"Its rewards are from {escaped(name)}; another file takes its place.")
        if st.button("Read the log again with these", key=state.READ_AGAIN.format(log=key)):
            file = None
            if rewards is not None:
                file = frame.library().keep_upload(rewards.name, rewards.getvalue())
            _read_again(
                stored, inputs, [f"{_BY}{reason}" for reason in untrained], keep_masked, file
            )


def _masked(log: pl.DataFrame) -> int:
    """Rollouts that the source masks."""
    if "mask_reason" not in log.columns:
        return 0
    return log.filter(pl.col("mask_reason").is_not_null())["trajectory_id"].n_unique()


def _read_again(
    stored: StoredLog,
    inputs: dict[str, Any],
    untrained: list[str],
    keep_masked: bool,
    rewards: str | None,
) -> None:
    """Import the files of a log again; problems are shown in place."""
    try:
        with st.spinner("Reading …"):
            entry = frame.library().add(
                stored.report["files"],
                format=inputs["format"],
                mapping=inputs["mapping"],
                quarantine=inputs["quarantine"],
                skip_bad=inputs["skip_bad"],
                untrained=untrained,
                keep_masked=keep_masked,
                max_unpacked=inputs.get("max_unpacked"),
                max_nesting=inputs.get("max_nesting"),
                rewards=rewards or stored.report.get("rewards"),
            )
    except (WorkbenchError, OSError) as error:
        st.error("The log cannot be read again; it is shown as it was.")
        show(of_error(error))
        return
    frame.show_added(entry)
    state.tell("success", f"{entry.name} was read again and is shown here.")
    st.rerun()
