"""Compare page: two or more methods on the log of the view."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from workbench.analysis.compare import Comparison, sign_table, why_unranked
from workbench.analysis.filters import joined
from workbench.errors import WorkbenchError
from workbench.log.credit import Credit
from workbench.log.steps import Index, Steps
from workbench.methods import METHODS
from workbench.methods.variants import differences
from workbench.plots import methods as plots
from workbench.ui import cache, command, filtering, frame, marks, runs, state
from workbench.ui.filtering import Kept
from workbench.ui.header import header
from workbench.ui.text import escaped, told
from workbench.wording import number_of

Pair = tuple[str, str]

LISTED = 20  # disagreements in the table
RUNS = "Runs and checkpoints"


def page() -> None:
    """The page."""
    commands = header("Compare")
    chosen, pair = _pickers()
    credits = frame.credits(*chosen)
    if len(credits) < 2:
        st.info(
            "Pick two or more methods to compare them."
            if pair is None
            else "Fewer than two of these methods can score this log: pick others."
        )
        runs.section(tuple(credits), None)
        return
    assert pair is not None
    with commands:
        command.popover(*_commands(pair))
    if not set(pair) <= set(credits):
        pair = tuple(credits)[:2]  # type: ignore[assignment]
    kept = filtering.usable()
    if kept is not None and not kept.count:
        st.info("No step of this log passes the filter, so there is nothing to compare.")
        return
    comparison = _comparison(tuple(credits), kept)
    if comparison is None:
        return
    rows = comparison.pairs.filter(left=pair[0], right=pair[1])
    largest = comparison.disagreements.filter(left=pair[0], right=pair[1]).head(LISTED)
    _excluded(comparison)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _scatter(pair, credits, rows, largest, kept)
    with right:
        _matrix(comparison, pair)
        _signs(pair, credits, rows, kept)
    parts: dict[str, Callable[[], None]] = {
        "Where do they disagree most?": lambda: _disagreements(pair, largest),
        "In which groups do they rank alike?": lambda: _groups(pair, comparison),
        "What is different in them?": lambda: _fields(pair),
        RUNS: lambda: runs.section(tuple(credits), pair),
        "Do they agree with marks?": lambda: marks.section(tuple(credits)),
    }
    shown = RUNS if state.current().runs else None
    for tab, part in zip(st.tabs(list(parts), default=shown), parts.values(), strict=True):
        with tab:
            part()


def _pickers() -> tuple[tuple[str, ...], Pair | None]:
    """The methods of the view, and the two of them that are looked at."""
    view = state.current()
    left, right = st.columns([3, 2], gap="large")
    with left:
        frame.methods_picker("compare")
    pairs = {" and ".join(two): two for two in itertools.combinations(view.methods, 2)}
    if not pairs:
        return view.methods, None
    known = list(pairs.values())
    pair = view.pair if view.pair and view.pair in known else known[0]
    if len(pairs) > 1:
        st.session_state[state.PAIR] = " and ".join(pair)
        right.selectbox(
            "Two at a time",
            list(pairs),
            key=state.PAIR,
            on_change=lambda: state.update(pair=pairs[st.session_state[state.PAIR]]),
        )
    return view.methods, pair


def _commands(pair: Pair) -> list[str]:
    entry = frame.entry()
    files = [f"{name.replace(':', '-')}.parquet" for name in pair]
    scored = [command.score(entry, name, file) for name, file in zip(pair, files, strict=True)]
    return [*scored, command.workbench("compare", *files, "--top", str(LISTED), "--groups")]


def _comparison(chosen: tuple[str, ...], kept: Kept | None) -> Comparison | None:
    """The methods compared over the steps that the filter leaves."""
    view, entry = state.current(), frame.entry()
    fields = {name: view.params(name) for name in chosen}
    mask = None if kept is None else pl.Series(kept.mask)
    try:
        return cache.comparison(entry.id, view.embedder, fields, mask, entry)
    except WorkbenchError as error:
        st.error(told(error))
        return None


def _excluded(comparison: Comparison) -> None:
    if comparison.compared < comparison.steps:
        out = comparison.steps - comparison.compared
        st.caption(
            f"{comparison.compared:,} of {comparison.steps:,} steps are compared; {out:,} are of "
            "trajectories that no method scores."
        )


def _scatter(
    pair: Pair,
    credits: Mapping[str, Credit],
    rows: pl.DataFrame,
    largest: pl.DataFrame,
    kept: Kept | None,
) -> None:
    st.subheader(
        "Do they rank the steps alike?",
        help="Spearman's rank correlation: +1 is the same order, 0 none, −1 the reverse.",
    )
    st.markdown(_rank_in_words(pair, rows))
    one, other = (credits[name] for name in pair)
    shown = _shown(one, kept)
    marked = np.searchsorted(shown, _numbers(one.steps, largest))
    figure = plots.scatter(one.advantage[shown], other.advantage[shown], pair, marked)
    alt = f"Credit of each step under {pair[0]} against its credit under {pair[1]}."
    event = st.plotly_chart(
        figure,
        key=state.SCATTER,
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
        alt=alt,
    )
    many = len(shown) > plots.MOST_POINTS
    what = "a marked step" if many else "a point"
    st.caption(f"Click {what} to read it in its rollout. On the dotted line both say the same.")
    for point in event["selection"]["points"]:
        if "customdata" in point and "z" not in point:
            step = one.steps.identity(int(shown[int(np.ravel(point["customdata"])[0])]))
            frame.open_step(str(step["trajectory_id"]), int(step["step_index"]))


def _shown(credit: Credit, kept: Kept | None) -> Index:
    """Numbers of the scored steps that the filter leaves."""
    if kept is None:
        return np.arange(len(credit.steps), dtype=np.int64)
    return np.flatnonzero(kept.mask[credit.steps.row])


def _numbers(steps: Steps, rows: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers of the steps that rows name."""
    ids = rows.select("trajectory_id", "step_index").iter_rows()
    return np.array([steps.find(trajectory, index) for trajectory, index in ids], dtype=np.int64)


def _rank_in_words(pair: Pair, rows: pl.DataFrame) -> str:
    row = rows.row(0, named=True)
    if row["spearman"] is None:
        return f"There is nothing to rank: {escaped(why_unranked(rows)[0])}."
    return f"Rank correlation **{row['spearman']:+.2f}** over {row['steps']:,} steps."


def _matrix(comparison: Comparison, pair: Pair) -> None:
    """Every two methods; a click chooses the two that are looked at."""
    if len(comparison.names) < 3:
        return
    st.subheader("Which methods agree?")
    st.plotly_chart(
        plots.rank_matrix(comparison.names, comparison.pairs, chosen=pair),
        key=state.MATRIX,
        on_select=lambda: _choose_pair(comparison.names),
        selection_mode="points",
        config={"displayModeBar": False},
        alt="Rank correlation of the credits of every two methods; a click looks at the two.",
    )


def _choose_pair(names: Sequence[str]) -> None:
    """Looks at the two methods of the cell that was clicked."""
    for point in st.session_state[state.MATRIX]["selection"]["points"]:
        two = sorted((str(point["x"]), str(point["y"])), key=names.index)
        state.update(pair=(two[0], two[1]))


def _signs(
    pair: Pair, credits: Mapping[str, Credit], rows: pl.DataFrame, kept: Kept | None
) -> None:
    st.subheader("Do the signs differ?")
    row = rows.row(0, named=True)
    st.markdown(
        f"**{row['sign_flips']:,}** of {row['steps']:,} steps ({row['sign_flip_share'] or 0:.2%}) "
        "get opposite signs."
    )
    if row["sign_flips"]:
        both = joined(state.current().filter, f"flip:{pair[0]},{pair[1]}")
        label = f"Show the {number_of(row['sign_flips'], 'step')}"
        frame.link(label, "steps", filter=both, sort=f"-|{pair[1]}|")
    one, other = (credits[name] for name in pair)
    shown = _shown(one, kept)
    counts = sign_table(one.advantage[shown], other.advantage[shown])
    st.caption(f"Steps by {escaped(pair[0])} (rows) and by {escaped(pair[1])} (columns).")
    table: dict[str, list[Any]] = {"": ["▲ above 0", "= 0", "▼ below 0"]}
    table |= {sign: counts[:, k].tolist() for k, sign in enumerate(("▲", "=", "▼"))}
    event = st.dataframe(
        pl.DataFrame(table),
        key=state.SIGNS,
        on_select="rerun",
        selection_mode="single-cell",
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(name, format="localized") for name in [*table][1:]
        },
        alt=f"Steps by the sign of {pair[0]} and the sign of {pair[1]}.",
    )
    st.caption("Choose a cell to list its steps.")
    compared = {"▲": ">0", "=": "=0", "▼": "<0"}
    for line, column in event["selection"]["cells"]:
        if column in compared:
            signs = (f"{pair[0]}{[*compared.values()][line]}", f"{pair[1]}{compared[column]}")
            filtering.show(joined(state.current().filter, *signs))


def _disagreements(pair: Pair, largest: pl.DataFrame) -> None:
    if not largest["standardised_difference"].abs().max():
        st.caption("Nowhere: in standard deviations, both give every step the same credit.")
        return
    st.caption(
        "Each credit in its own standard deviations, then the difference. "
        "Choose a row to read that step in its rollout."
    )
    table = largest.select(
        *frame.named(largest.select("trajectory_id", "step_index")),
        pl.col("left_advantage").alias(pair[0]),
        pl.col("right_advantage").alias(pair[1]),
        pl.col("standardised_difference").alias("difference in σ"),
    )
    event = st.dataframe(
        table,
        key=state.DISAGREEMENTS,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=320,
        column_config={
            "group": st.column_config.TextColumn(width=150),
            "rollout": st.column_config.TextColumn(width=80),
            "step": st.column_config.NumberColumn(width=50),
            "done": st.column_config.TextColumn("what was done", width=420),
            **_signed([*pair, "difference in σ"]),
        },
        alt=f"The {table.height} steps on which {pair[0]} and {pair[1]} disagree most.",
    )
    for row in event["selection"]["rows"]:
        step = largest.row(row, named=True)
        frame.open_step(step["trajectory_id"], step["step_index"])


def _signed(columns: Sequence[str]) -> dict[str, Any]:
    return {name: st.column_config.NumberColumn(name, format="%+.3f") for name in columns}


def _groups(pair: Pair, comparison: Comparison) -> None:
    rows = comparison.groups.filter(left=pair[0], right=pair[1])
    ranked = rows["spearman"].drop_nulls()
    silent = rows.height - ranked.len()
    if silent:
        reasons = why_unranked(rows.filter(pl.col("spearman").is_null())).value_counts(sort=True)
        why = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.iter_rows())
        st.caption(f"{silent:,} of {rows.height:,} groups have nothing to rank: {escaped(why)}.")
    left, right = st.columns([1, 2], gap="medium")
    if ranked.len():
        left.plotly_chart(
            plots.group_ranks(rows["spearman"]),
            config={"displayModeBar": False},
            alt=f"Groups by rank correlation of {pair[0]} and {pair[1]}.",
        )
    else:
        left.markdown("In no group is there anything to rank.")
    here = frame.entry()
    names = cache.group_names(here.id, here)
    table = rows.select(
        pl.col("group_id").replace_strict(names, return_dtype=pl.String).alias("group"),
        "steps",
        pl.col("spearman").alias("rank correlation"),
        (100 * pl.col("sign_flip_share")).alias("opposite, %"),
        why_unranked(rows).alias("nothing to rank"),
    ).sort("rank correlation", nulls_last=True)
    right.dataframe(
        table if silent else table.drop("nothing to rank"),
        hide_index=True,
        height=260,
        placeholder="–",
        column_config={
            "group": st.column_config.TextColumn(width=150),
            **_signed(["rank correlation"]),
            "opposite, %": st.column_config.NumberColumn(format="%.1f"),
        },
        alt="Every group with its rank correlation and its share of opposite signs.",
    )


def _fields(pair: Pair) -> None:
    view = state.current()
    names = [name.partition(":")[0] for name in pair]
    for name in dict.fromkeys(names):
        st.markdown(f"**{escaped(name)}**: {escaped(METHODS[name].summary)}")
    found = differences(*pair, view.params(pair[0]), view.params(pair[1]))
    if not found:
        st.caption("All their fields have the same values.")
        return
    st.dataframe(
        pl.DataFrame(
            {
                "field": [difference.field for difference in found],
                pair[0]: [difference.left for difference in found],
                pair[1]: [difference.right for difference in found],
                "meaning": [difference.meaning for difference in found],
            }
        ),
        hide_index=True,
        alt=f"Fields in which {pair[0]} and {pair[1]} differ.",
    )
