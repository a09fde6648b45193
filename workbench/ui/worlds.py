"""Results of credits in training on simulated worlds, next to an audit of them here."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from workbench.analysis.evidence import CONTROL, cells, standings
from workbench.ui.text import escaped
from workbench.wording import number_of


def section(credits: Sequence[str]) -> None:
    """The standing of each credit that was trained with; those of the audit are marked."""
    known = standings(cells())
    worlds = list(known[0].by_world)
    st.caption(
        f"Not of this log: a small policy trained in {number_of(len(worlds), 'simulated world')}, "
        f"mean success over the course of the training less that of {CONTROL}, which reads "
        "nothing; seeds are those of a condition. The interval says nothing of other worlds or of "
        "a language model."
    )
    rows = [
        {
            "credit": one.credit,
            "audited here": one.credit in credits,
            "gain": one.gain,
            "95 % from": one.low,
            "to": one.high,
            "beyond noise": "better" if one.low > 0 else "worse" if one.high < 0 else "",
            **one.by_world,
            "seeds": one.seeds,
        }
        for one in known
    ]
    signed = st.column_config.NumberColumn(format="%+.3f")
    st.dataframe(
        pl.DataFrame(rows),
        hide_index=True,
        column_config=dict.fromkeys(("gain", "95 % from", "to", *worlds), signed),
        alt="Each credit that was trained with on simulated worlds: its gain over return-to-go.",
    )
    unknown = [name for name in credits if name not in {CONTROL, *(one.credit for one in known)}]
    if unknown:
        st.caption(f"Nothing was trained with {escaped(', '.join(unknown))}.")
    st.caption(
        "How near each credit comes to the true advantage of these worlds is another order than "
        "this one; docs/benchmarks.md has both."
    )
