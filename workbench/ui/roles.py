"""Credit by role and round, for logs of several agents."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import streamlit as st

from workbench.analysis.decomposition import decompose
from workbench.errors import WorkbenchError
from workbench.log.credit import Credit
from workbench.plots.decomposition import role_round_map
from workbench.ui import state
from workbench.ui.text import escaped, told
from workbench.wording import are


def there_are(log: pl.DataFrame) -> bool:
    """True if a log states, for some step, both the acting role and the round."""
    if not {"role", "round"} <= set(log.columns):
        return False
    return bool((log["role"].is_not_null() & log["round"].is_not_null()).any())


def section(log: pl.DataFrame, credits: Mapping[str, Credit]) -> None:
    """Variance of a credit by role and by round, and the mean of each."""
    names = list(credits)
    st.session_state.setdefault(state.ROLES_OF, names[-1])
    if st.session_state[state.ROLES_OF] not in names:
        st.session_state[state.ROLES_OF] = names[-1]
    left, right = st.columns([2, 3], gap="large")
    left.segmented_control("Credit", names, key=state.ROLES_OF, required=True)
    name = st.session_state[state.ROLES_OF]
    try:
        found = decompose(log, credits[name].table())
    except WorkbenchError as error:
        left.info(told(error))
        return
    left.dataframe(
        pl.DataFrame(
            {
                "the variance goes by": ["role", "round", "both together", "steps inside them"],
                "share": [found.role, found.round, found.interaction, found.within],
            }
        ),
        hide_index=True,
        column_config={"share": st.column_config.NumberColumn(format="percent")},
        alt="Shares of the variance of the credit that roles and rounds explain.",
    )
    if found.level:
        left.caption(
            f"No role and no round has more credit than another on average: {escaped(name)} is one "
            "number per rollout, or centred in each. A method that values single messages, such as "
            "vineppo, can tell them apart."
        )
    if found.left_out:
        count = are(found.left_out, "scored step", "have")
        left.caption(f"{count} no role or no round and count in nothing here.")
    right.plotly_chart(
        role_round_map(found.cells),
        config={"displayModeBar": False},
        alt=f"Mean credit of each role in each round under {name}.",
    )
