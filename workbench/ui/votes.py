"""Who counts and who trains: the choices that a log is read again with."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import streamlit as st

from workbench.errors import WorkbenchError
from workbench.files import MANIFEST
from workbench.log.facts import finish_reasons
from workbench.ui import frame, state
from workbench.ui.text import show
from workbench.wording import number_of
from workbench.workspace.artefacts import StoredLog

_BY = "finish_reason="


def area(stored: StoredLog) -> None:
    """Choices for a log that says why its rollouts stopped, or masks some; else nothing."""
    reasons, masked = finish_reasons(stored.frame), _masked(stored.frame)
    if not reasons and not masked:
        return
    inputs = json.loads((stored.folder / MANIFEST).read_text(encoding="utf-8"))["inputs"]
    key = frame.entry().id
    given = inputs.get("untrained", ())
    with st.expander("Who counts and who trains", icon=":material/how_to_vote:"):
        untrained = st.multiselect(
            "Count in their group, but do not train, rollouts that stopped for",
            list(reasons),
            default=[reason for reason in reasons if f"{_BY}{reason}" in given],
            format_func=lambda reason: f"{reason} ({number_of(reasons[reason], 'rollout')})",
            key=state.UNTRAINED.format(log=key),
            disabled=not reasons,
        )
        keep_masked = st.checkbox(
            f"Count and train {number_of(masked, 'rollout')} that the log masks",
            value=bool(inputs.get("keep_masked", False)),
            key=state.KEEP_MASKED.format(log=key),
            disabled=not masked,
        )
        if st.button("Read the log again with this", key=state.READ_AGAIN.format(log=key)):
            _read_again(stored, inputs, [f"{_BY}{reason}" for reason in untrained], keep_masked)


def _masked(log: pl.DataFrame) -> int:
    """Rollouts that the source masks."""
    if "mask_reason" not in log.columns:
        return 0
    return log.filter(pl.col("mask_reason").is_not_null())["trajectory_id"].n_unique()


def _read_again(
    stored: StoredLog, inputs: dict[str, Any], untrained: list[str], keep_masked: bool
) -> None:
    """Imports the files of a log anew; what is wrong is said in place."""
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
                rewards=stored.report.get("rewards"),
            )
    except (WorkbenchError, OSError) as error:
        st.error("The log cannot be read again; it is shown as it was.")
        show(str(error))
        return
    frame.show_added(entry)
    state.tell("success", f"{entry.name} was read again and is shown here.")
    st.rerun()
