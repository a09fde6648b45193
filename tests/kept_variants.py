"""Removal of what-if variants, which the whole process would keep."""

from __future__ import annotations

from workbench.methods import METHODS


def forget(*names: str) -> None:
    """Takes kept variants (all without names) out of the registry, which the process shares."""
    known = METHODS["what-if"].dialects
    assert isinstance(known, dict)
    for dialect in [name.partition(":")[2] for name in names] or list(known):
        del known[dialect]
