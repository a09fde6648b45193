"""What the credit of one step is made of: waterfall, terms in words, peers, nearest states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from workbench.analysis.rollouts import Place, fact_rows, peer_rows, scored_number, sentence
from workbench.errors import WorkbenchError
from workbench.log.credit import Credit, Explanation
from workbench.plots import rollout as plots
from workbench.ui import cache, frame, state
from workbench.ui.text import escaped
from workbench.ui.transcript import go_to, signed
from workbench.wording import number, shortened

NEAREST = 10

_NARROW = 62  # pixels

_TERMS = {"episode": "The whole rollout", "step": "This step"}


def chosen(credits: Mapping[str, Credit]) -> str:
    """The method whose credit is explained, by a control over those shown."""
    names = list(credits)
    if st.session_state.get(state.EXPLAINED) not in names:
        st.session_state[state.EXPLAINED] = names[-1]
    method = st.segmented_control(
        "Method",
        names,
        key=state.EXPLAINED,
        required=True,
        format_func=escaped,
        label_visibility="collapsed",
    )
    return method or names[-1]


def explanation(place: Place, method: str, credit: Credit) -> None:
    """Everything behind the advantage of a step under one method."""
    found = credit.explain(scored_number(credit, place))
    st.plotly_chart(
        plots.waterfall(found.parts, found.advantage),
        config={"displayModeBar": False},
        alt=_in_words(method, found),
    )
    for term, value in found.terms.items():
        words = escaped(sentence(term, found.facts[term]))
        st.markdown(f"**{_TERMS.get(term, escaped(term))}** {signed(value)} · {words}")
    for note in credit.notes:
        st.caption(escaped(note))
    _peers(place, found)
    with st.expander("All numbers of each term"):
        st.dataframe(fact_rows(found.facts), hide_index=True, alt="The facts behind each term")


def _in_words(method: str, found: Explanation) -> str:
    parts = ", ".join(f"{part.term} {part.name} {part.value:+.3g}" for part in found.parts)
    return f"Waterfall under {method}: {parts}; advantage {found.advantage:+.3g}"


def _peers(place: Place, found: Explanation) -> None:
    st.subheader("Whom is it compared with?")
    for term in found.terms:
        peers = peer_rows(found, term)
        kind = "rollouts" if term == "episode" else "steps"
        title = f"**{_TERMS.get(term, escaped(term))}**: "
        if not peers.count:
            st.markdown(f"{title}nobody, there are no peers")
            continue
        rest = peers.count - peers.rows.height
        more = (
            f", the heaviest {peers.rows.height} here; {rest:,} more weigh {number(peers.rest, 3)}"
        )
        st.markdown(f"{title}{peers.count:,} {kind}{more if rest else ''}")
        rows = peers.rows
        empty = [name for name in ("similarity", "step") if rows[name].is_null().all()]
        _links(
            rows.drop(empty),
            peers.targets,
            state.PEERS_TABLE.format(term=term, row=place.log_row),
            f"Peers of the {term} term with weight and value",
        )
    st.caption(
        "Weight times value, summed, is the baseline. (this) is the step itself, (own) its "
        "rollout. Select a row to go there."
    )


def nearest(place: Place) -> None:
    """The nearest states of the log, computed when someone opens them."""
    box = st.expander(
        "Nearest states anywhere in this log", key=state.NEIGHBOURS, on_change="rerun"
    )
    if not box.open:
        return
    with box:
        frame.require_vectors()
        view, here = state.current(), frame.entry()
        space = cache.space(here.id, view.embedder, here)
        try:
            step = space.steps.find(*place.step)
            found = space.nearest(step, NEAREST)
        except WorkbenchError as error:
            st.error(escaped(str(error)))
            return
        rows = found.select(
            found["text"].map_elements(_brief, pl.String).alias("state"),
            "similarity",
            "steps",
            "groups",
            pl.col("mean_episode_reward").alias("mean reward"),
        )
        targets = tuple(found.select("trajectory_id", "step_index").iter_rows())
        key = state.NEIGHBOURS_TABLE.format(row=place.log_row)
        _links(rows, targets, key, "Nearest states with similarity")
        st.caption(
            f"Similarity of {escaped(view.embedder)} over all groups; its own state comes first. "
            "Select a row to go to the first step in that state."
        )


def _brief(text: str) -> str:
    return shortened(text[:800], 200)


def _links(rows: pl.DataFrame, targets: Sequence[tuple[str, int]], key: str, alt: str) -> None:
    """A table whose rows lead to steps."""
    config: dict[Any, Any] = {
        name: st.column_config.NumberColumn(format="%.3f", width=_NARROW)
        for name in ("weight", "similarity", "value")
    }
    config |= {"rollout": st.column_config.TextColumn(width=110)}
    config |= {"step": st.column_config.NumberColumn(width=46)}
    config |= {"state": st.column_config.TextColumn(width="large")}
    st.dataframe(
        rows,
        key=key,
        hide_index=True,
        column_config=config,
        selection_mode="single-row",
        on_select=_selected(key, targets),
        height=min(36 * rows.height + 38, 260),
        alt=alt,
    )


def _selected(key: str, targets: Sequence[tuple[str, int]]) -> Callable[[], None]:
    def follow() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            go_to(targets[rows[0]])

    return follow
