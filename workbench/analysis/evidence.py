"""What training on simulated worlds has shown of credits, as the package carries it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

CONTROL = "return-to-go"
"""What every credit is compared with: it reads nothing, and is the safe choice."""

_NORMAL = 1.96  # of a 95 % interval


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One world in one condition.

    Args:
        world, condition: Which.
        seeds: Trainings of each credit.
        area: Of the control: mean success over the course of the training.
        difference: Credit -> its area less the control's, seed by seed: mean and standard error.
    """

    world: str
    condition: str
    seeds: int
    area: float
    difference: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A credit against the control, in the mean over worlds, each the mean over its conditions.

    Args:
        credit: Its name.
        gain: Area less the control's.
        low, high: 95 % interval of the mean over these worlds; it says nothing of other worlds.
        worlds, seeds: How many worlds, and trainings a condition at least.
        by_world: World -> gain.
    """

    credit: str
    gain: float
    low: float
    high: float
    worlds: int
    seeds: int
    by_world: Mapping[str, float]


@cache
def cells() -> tuple[Cell, ...]:
    """The cells of the package's own table, which `benchmarks/advice.py` writes."""
    text = resources.files(__package__).joinpath("evidence.json").read_text(encoding="utf-8")
    return cells_of(json.loads(text))


def cells_of(table: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Cells as JSON holds them."""
    return tuple(
        Cell(**{**cell, "difference": {k: (m, e) for k, (m, e) in cell["difference"].items()}})
        for cell in table["cells"]
    )


def standings(known: Sequence[Cell], credits: Collection[str] | None = None) -> list[Standing]:
    """Credits by their gain, best first; those that some cell lacks are left out.

        gain = mean over worlds of the mean over conditions        se² = Σ (weight · se_cell)²

    Args:
        known: Cells.
        credits: Which credits; all by default.
    """
    worlds: dict[str, list[Cell]] = {}
    for cell in known:
        worlds.setdefault(cell.world, []).append(cell)
    found = []
    for credit in sorted({name for cell in known for name in cell.difference}):
        if credits is not None and credit not in credits:
            continue
        if any(credit not in cell.difference for cell in known):
            continue
        of_world = {
            world: sum(cell.difference[credit][0] for cell in group) / len(group)
            for world, group in worlds.items()
        }
        error = math.hypot(
            *(cell.difference[credit][1] / len(worlds) / len(worlds[cell.world]) for cell in known)
        )
        gain = sum(of_world.values()) / len(of_world)
        found.append(
            Standing(
                credit=credit,
                gain=gain,
                low=gain - _NORMAL * error,
                high=gain + _NORMAL * error,
                worlds=len(worlds),
                seeds=min(cell.seeds for cell in known),
                by_world=of_world,
            )
        )
    return sorted(found, key=lambda one: (-one.gain, one.credit))


def best(known: Sequence[Cell], credits: Collection[str] | None = None) -> Standing | None:
    """The credit to train with: the best one whose interval is above 0; None for the control."""
    above = [one for one in standings(known, credits) if one.low > 0]
    return above[0] if above else None


def regrets(known: Sequence[Cell]) -> list[dict[str, Any]]:
    """What following the advice would have lost in each cell, had its world not been seen.

        regret = max over credits of the area there − area of what the other worlds advise

    Returns:
        One row a cell: world, condition, advised, best, regret, and control, which is what always
        taking the control would have lost.
    """
    rows = []
    for cell in known:
        others = [other for other in known if other.world != cell.world]
        chosen = best(others) if others else None
        gains = {name: mean for name, (mean, _) in cell.difference.items()} | {CONTROL: 0.0}
        top = max(gains, key=lambda name: (gains[name], name))
        advised = chosen.credit if chosen else CONTROL
        rows.append(
            {
                "world": cell.world,
                "condition": cell.condition,
                "advised": advised,
                "best": top,
                "regret": gains[top] - gains[advised],
                "control": gains[top],
            }
        )
    return rows
