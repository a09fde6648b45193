"""The app: pages that show what the functions of the package return; with app.py the only ones
that import streamlit.
"""
