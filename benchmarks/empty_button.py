"""An app with nothing but a button that counts, to time keys and filters against."""

from __future__ import annotations

import streamlit as st

st.set_page_config(layout="wide")
st.title("Empty")
pressed = st.session_state.get("pressed", 0) + st.button("Count")
st.session_state["pressed"] = pressed
st.text(f"pressed {pressed}")
