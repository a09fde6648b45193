"""Experiment trackers: where the numbers of a run or an audit go, besides what is printed.

Example of a module of another package, named under the entry-point group `workbench.trackers`:

    @tracker("mine", description="What it is; what PLACE means.")
    class Mine:
        def __init__(self, place: str) -> None: ...

        def log(self, values: Mapping[str, float], step: int) -> None: ...

        def close(self) -> None: ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from workbench.errors import ParameterError
from workbench.registry import Registry


class Tracker(Protocol):
    """A store of numbers by name and step."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep numbers of one training step."""

    def close(self) -> None:
        """Write what is not written yet."""


@dataclass(frozen=True)
class TrackerInfo:
    """A registry entry.

    Args:
        make: Opens the tracker at a place.
        description: One line: what it is, and what a place is.
    """

    make: Callable[[str], Tracker]
    description: str


TRACKERS: Registry[TrackerInfo] = Registry(
    "tracker", folder="workbench.workspace.trackers", group="workbench.trackers"
)

T = TypeVar("T", bound=Callable[[str], Tracker])


def tracker(name: str, *, description: str) -> Callable[[T], T]:
    """Add a tracker under its name."""

    def add(make: T) -> T:
        TRACKERS.add(name, TrackerInfo(make, description))
        return make

    return add


def split_target(target: str) -> tuple[str, str]:
    """Tracker and place of `TRACKER:PLACE`.

    Raises:
        UnknownNameError: There is no such tracker.
        ParameterError: No place is named.
    """
    name, _, place = target.partition(":")
    _ = TRACKERS[name]
    if not place:
        raise ParameterError(f"--log-to takes TRACKER:PLACE such as {name}:runs/, got {target!r}")
    return name, place


def track(target: str, values: Mapping[str, float | None], step: int) -> None:
    """Give numbers to a tracker; what is not known or not finite is left out.

    Args:
        target: `TRACKER:PLACE`.
        values: Name -> number.
        step: The training step that they are of.

    Raises:
        WorkbenchError: There is no such tracker, or its package is not installed.
    """
    name, place = split_target(target)
    opened = TRACKERS[name].make(place)
    try:
        known = {key: value for key, value in values.items() if value is not None}
        opened.log({k: float(v) for k, v in known.items() if math.isfinite(v)}, step)
    finally:
        opened.close()
