"""Arguments that every benchmark has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.errors import ParameterError, UnknownNameError

REFERENCE = "grpo"
"""Method of the paired differences, where it is among those measured."""


def require_positive(**numbers: int | None) -> None:
    """Refuse numbers below 1; None is left to a default.

    Raises:
        ParameterError: With the first such number.
    """
    for what, number in numbers.items():
        if number is not None and number < 1:
            raise ParameterError(f"{what} must be at least 1, got {number}")


def reference_among(methods: Mapping[str, Any], wanted: str | None) -> str:
    """The method of the paired differences: as wanted, else `grpo`, else the first.

    Raises:
        UnknownNameError: It is not among those measured.
    """
    chosen = wanted or (REFERENCE if REFERENCE in methods else next(iter(methods)))
    if chosen not in methods:
        raise UnknownNameError("reference", chosen, methods)
    return chosen
