"""The advice at the top of the first page."""

from __future__ import annotations

import streamlit as st

from workbench.errors import LogError
from workbench.ui import cache, frame
from workbench.ui.text import escaped, told


def area() -> None:
    """The advice in a sentence, why and how sure; the evidence on request."""
    from workbench.analysis.advice import texts_of

    entry = frame.entry()
    try:
        found = cache.advice(entry.id, entry)
    except LogError:
        return  # no step is scored, which the page says already
    with st.container(border=True, gap="small"):
        st.markdown(f"**{escaped(found.headline())}**")
        rows = texts_of(found)
        st.caption(told(f"Because {found.why}. How sure: {found.sure}."))
        for number, text in enumerate(found.first):
            st.markdown(f":material/flag: {'Then' if number else 'First'}: {told(text)}.")
        with st.expander("What of this log the advice rests on"):
            evidence = rows[2 + len(found.first) :]
            st.text("\n".join(f"{label.capitalize()}: {text}" for label, text in evidence))
