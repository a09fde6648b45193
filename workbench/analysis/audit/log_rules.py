"""Rules that find defects and limits of a log in its readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.analysis.audit.statistics import Reading


@dataclass(frozen=True)
class Readings:
    """The readings of one credit, or of the log, by measure and place."""

    all: Sequence[Reading]

    def get(self, measure: str, where: str | None = None) -> Reading | None:
        """The first reading of a measure with a value; `where` names its place."""
        for reading in self.all:
            at = where is None or reading.where == where
            if reading.measure == measure and at and reading.value is not None:
                return reading
        return None

    def value(self, measure: str, where: str | None = None) -> float | None:
        """Its value; None where there is none."""
        found = self.get(measure, where)
        return None if found is None else found.value


Found = tuple[str, str, dict[str, float]]
"""Text, action and evidence of a finding."""


def _giant_state(seen: Readings) -> Found | None:
    held = seen.get("giant_state")
    if held is None or held.value is None or held.value <= 0.25:
        return None
    return (
        f"One text is the state of {held.value:.0%} of the later steps of {held.where}: "
        f"{held.note}. A comparison inside it mixes situations.",
        "Log a state_key that tells them apart; for similarities put the last action into the "
        "state text (--last-actions 1 --state '{actions} {observation}').",
        {"giant_state": held.value},
    )


def _dead_groups(seen: Readings) -> Found | None:
    dead = seen.value("dead_groups", "")
    if dead is None or dead <= 0.5:
        return None
    return (
        f"{dead:.0%} of the groups are dead: their rewards do not differ.",
        "Sample tasks of middling difficulty or more rollouts; see dead_groups for the kinds.",
        {"dead_groups": dead},
    )


def _singletons(seen: Readings) -> Found | None:
    alone = seen.value("singleton_rate", "")
    if alone is None or alone <= 0.5:
        return None
    return (
        f"{alone:.0%} of the steps are in a state that occurs once in its group: exact keys give "
        "them no step term.",
        "Use similarities (proxmo, or a key by similarity), or a state text that repeats.",
        {"singleton_rate": alone},
    )


def _mixed_policies(seen: Readings) -> Found | None:
    mixed = seen.value("mixed_policies")
    if not mixed:
        return None
    return (
        f"{mixed:.0%} of the groups hold trajectories of several models or policy versions: their "
        "baseline credits the better policy, not the better action.",
        "Put the policy into group_id, or import each run into a log of its own.",
        {"mixed_policies": mixed},
    )


def _merged_groups(seen: Readings) -> Found | None:
    merged = seen.get("merged_groups")
    if merged is None or not merged.value:
        return None
    return (
        f"The trainer's own advantage contradicts {merged.value:.0%} of the groups "
        f"({merged.note}): tasks may be merged that differ in what the log lacks, such as an "
        "image.",
        "Tell the tasks apart in group_id; where the trainer centres over its batch, sums other "
        "than 0 are its own.",
        {"merged_groups": merged.value},
    )


def _likely_secrets(seen: Readings) -> Found | None:
    by_kind = {
        reading.where: reading for reading in seen.all if reading.measure == "likely_secrets"
    }
    if not by_kind:
        return None
    counted = ", ".join(
        f"{reading.value:,.0f} by the form of a {kind} ({reading.note})"
        for kind, reading in by_kind.items()
    )
    return (
        f"The log holds what may be secret: {counted}.",
        "Before it is shared: --redact likely, for reports and exports. It knows forms, not "
        "meanings.",
        {kind: reading.value or 0.0 for kind, reading in by_kind.items()},
    )


OF_LOG: dict[str, tuple[str, Callable[[Readings], Found | None]]] = {
    "mixed-policies": ("error", _mixed_policies),
    "merged-groups": ("error", _merged_groups),
    "dead-groups": ("warning", _dead_groups),
    "singletons": ("warning", _singletons),
    "giant-state": ("warning", _giant_state),
    "likely-secrets": ("warning", _likely_secrets),
}
