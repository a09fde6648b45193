"""Workspace: stored artefacts, and the pipeline that makes them."""
