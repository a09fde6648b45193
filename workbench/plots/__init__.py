"""Figures of the app: frames and arrays in, plotly figures out. Pure; no Streamlit here."""
