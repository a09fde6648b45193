"""An app with nothing but a title, a slider and two charts, to time the workbench against."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import streamlit as st

STOPS = [round(0.0105 * 2 ** (k / 8), 4) for k in range(80)]


@st.fragment
def live() -> None:
    """A slider and two charts of the size that the page Tune has."""
    value = st.select_slider("τ", STOPS, value=STOPS[26])
    rng = np.random.default_rng(int(value * 1e4))
    left, right = st.columns(2)
    left.plotly_chart(go.Figure(go.Bar(y=rng.random(60))), height=260, key="bars")
    right.plotly_chart(go.Figure(go.Scatter(y=rng.random(80))), height=260, key="line")


st.set_page_config(layout="wide")
st.title("Empty")
live()
