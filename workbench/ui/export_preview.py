"""A batch before it is taken: rows as the trainer sees them, and what its shaping does."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.exporters import Exporter
from workbench.exporters.archive import Archive
from workbench.plots.scale import signed_number
from workbench.ui import cache, frame, state, tokens
from workbench.ui.viewer import components
from workbench.wording import number


def rows(batch: Archive, target: Exporter) -> None:
    """Three rows: tokens, or messages, by their advantage; what is masked is grey."""
    st.subheader("What does the trainer see?")
    here = frame.entry()
    names = cache.group_names(here.id, here)
    shown: list[dict[str, Any]] = []
    says: list[str] = []
    for row in batch.preview:
        pieces, of = [dict(piece) for piece in row.pieces], "messages"
        if pieces and "token" in pieces[0]:
            of = "tokens"
            found = tokens.told([piece["token"] for piece in pieces], batch.manifest.tokenizer)
            says = [*says, found.say] if found.say not in says else says
            for piece, text in zip(pieces, found.texts or (), strict=False):
                piece["text"] = text
        number, count = cache.rollouts(here.id, here).numbers[row.trajectory_id]
        shown.append(
            {
                "name": f"{names[row.group_id]} · #{number} of {count}",
                "trajectory": row.trajectory_id,
                **{n: getattr(row, n) for n in ("row", "weight", "reward", "trained", "size")},
                "skipped": list(row.skipped),
                "pieces": pieces,
                "of": of,
            }
        )
    sizes = [abs(p["advantage"]) for row in shown for p in row["pieces"] if p["advantage"]]
    what = "The rows that pull hardest up and down, and the first other one that pulls."
    by = f"Of {batch.manifest.counts.get('rows', 0):,} rows for {target.name}; grey is masked."
    say = " ".join([what, by, *says])
    components.show_preview(
        {"rows": shown, "scale": max(sizes, default=1.0), "say": say},
        key=state.EXPORT.format(option="preview"),
    )


def shaped(batch: Archive) -> None:
    """Effect of clip, share and weight, before and after."""
    if batch.plain is None:
        st.caption(
            "Clip, top share and weight are as they are by default: advantages go out as the "
            "method gives them."
        )
        return
    (plain, before), worth, after = batch.plain, batch.worth, batch.manifest.advantages

    def share(value: float | None) -> str:
        return "–" if value is None else f"{value:.1%}"

    rows = [
        ("trained steps", f"{plain.steps:,}", f"{worth.steps:,}"),
        ("steps that pull", f"{plain.pulling:,}", f"{worth.pulling:,}"),
        (
            "as much as of equal weight",
            f"{plain.effective_steps:,.0f}",
            f"{worth.effective_steps:,.0f}",
        ),
        ("weight that pushes up", share(plain.positive_share), share(worth.positive_share)),
        ("largest advantage", *(signed_number(m["maximum"]) for m in (before, after))),
        ("smallest advantage", *(signed_number(m["minimum"]) for m in (before, after))),
        ("deviation of the advantages", *(number(m["std"], 3) for m in (before, after))),
        (
            "weight of the largest group",
            *(share(float(w.groups["share"][0])) for w in (plain, worth)),
        ),
    ]
    st.caption("What clip, top share and weight do:")
    st.table(
        [{"": name, "before": old, "after": new} for name, old, new in rows],
        border="horizontal",
        hide_index=True,
        alt="The batch without and with clip, top share and weight.",
    )
