"""Sections of an audit, and the form of their measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["share", "correlation", "number"]


GROUPS: Mapping[str, str] = {
    "coverage": "whether the log has what a comparison of states needs",
    "spread": "where the credit puts its differences",
    "consistency": "whether the credit agrees with rollouts that it has not seen",
    "placebo": "whether the credit follows what should not matter",
    "uncertainty": "how the credit changes with the other rollouts of a group",
    "population": "what the conventions of the method do on this log",
    "agreement": "how the credit compares with numbers of the log",
    "power": "how many groups it takes to tell two credits apart",
    "privacy": "what likely should not leave the house with the log",
}
"""The sections of an audit, in order."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One thing that an audit measures.

    Args:
        name: Its name in frames and JSON.
        group: Key of `GROUPS`.
        kind: "share" (of 1), "correlation" (−1 to 1) or "number".
        meaning: What the number says, in one line.
        action: What to do about it, in one line.
        places: What the `where` of its readings names; empty where it has one reading.
        listed: Shown one per line with place and note, not in the table of its section.
    """

    name: str
    group: str
    kind: Kind
    meaning: str
    action: str
    places: str = ""
    listed: bool = False
