"""Embedders: state texts in, vectors out."""
