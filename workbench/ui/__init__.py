"""The app: pages over the functions of the package. Only it and app.py import streamlit."""
