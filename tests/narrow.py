"""Checked assumptions of tests about a value: a number, or not None."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def number(value: object) -> float:
    """A number of a frame or a series, whose type may be any of a cell's."""
    assert isinstance(value, int | float), value
    return value


def some(value: T | None) -> T:
    """A value that is there."""
    assert value is not None
    return value
