"""People's marks against methods' signs, and the steps most worth judging next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from workbench.analysis.disputes import agreement, disputed
from workbench.ui import cache, filtering, frame
from workbench.wording import number_of


def section(methods: Sequence[str]) -> None:
    """Agreement of methods' signs with marks, and links to marked and disputed steps."""
    advantages = {name: filtering.advantage(name) for name in methods}
    mark = frame.marked()["mark"]
    count = mark.len() - mark.null_count()
    if not count:
        st.caption(
            "Nobody has marked a step of this log. Where a step is read, m marks it: pivotal for "
            "the better (+), pivotal for the worse (−), or not at all; e writes a note."
        )
    else:
        st.dataframe(
            agreement(advantages, mark),
            hide_index=True,
            placeholder="–",
            column_config={"share": st.column_config.NumberColumn(format="percent")},
            alt="Marked steps per method: signs that agree with the mark, zeros, signs against it.",
        )
    _lost()
    apart = disputed(np.stack([*advantages.values()]))
    open_steps = int((np.isfinite(apart) & mark.is_null().to_numpy()).sum())
    with st.container(horizontal=True, gap="small"):
        if count:
            frame.link(f"Marked: {number_of(count, 'step')}", "steps", filter="mark:any", sort="")
        if open_steps:
            label = f"Most disputed and not marked: {number_of(open_steps, 'step')}"
            queue = f"mark:none flip:{','.join(methods)}"
            frame.link(label, "steps", methods=tuple(methods), filter=queue, sort="-disputed")


def _lost() -> None:
    """Say how many marks this log does not show, since their steps do something else now."""
    here, found = frame.entry(), frame.marks()
    other = cache.marked(here.id, str(found.root), found.version, here)[1]
    if other:
        st.caption(
            f"{number_of(other, 'mark')} of this workspace are of steps that have another action "
            "in this log; they are kept, and not shown here."
        )
