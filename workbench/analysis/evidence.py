"""Evidence of training on simulated worlds, as the package carries it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import fmean, stdev
from typing import Any

from workbench.wording import number_of

CONTROL = "return-to-go"
"""The credit that every other is compared with: it reads nothing, and is the safe choice."""

_NORMAL = 1.96  # of a 95 % interval


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One world in one condition.

    Args:
        world, condition: Which.
        area: Of the control: mean success over the course of the training, over its seeds.
        difference: Credit -> seed -> its area less the control's.
    """

    world: str
    condition: str
    area: float
    difference: Mapping[str, Mapping[str, float]]

    def gain(self, credit: str) -> float:
        """The mean difference of a credit over its seeds."""
        return fmean(self.difference[credit].values())


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A credit against the control, in the mean over worlds, each the mean over its conditions.

    Args:
        credit: Its name.
        gain: Area less the control's.
        low, high: 95 % interval of the mean over these worlds; it says nothing of other worlds.
        worlds, seeds: How many worlds, and trainings per condition at least.
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
    return tuple(Cell(**cell) for cell in table["cells"])


def standings(known: Sequence[Cell], credits: Collection[str] | None = None) -> list[Standing]:
    """Credits by their gain, best first; those that some cell lacks are left out.

        gain = mean over worlds of the mean over conditions
        se²  = mean over worlds of se_w² / worlds            se_w over seeds of the mean of a seed

    The conditions of a seed share its tasks, so a seed of a world counts once.

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
        by_seed = {world: _by_seed(credit, group) for world, group in worlds.items()}
        of_world = {
            world: fmean(cell.gain(credit) for cell in group) for world, group in worlds.items()
        }
        error = math.hypot(*map(_error, by_seed.values())) / len(worlds)
        gain = fmean(of_world.values())
        found.append(
            Standing(
                credit=credit,
                gain=gain,
                low=gain - _NORMAL * error,
                high=gain + _NORMAL * error,
                worlds=len(worlds),
                seeds=min(len(seeds) for seeds in by_seed.values()),
                by_world=of_world,
            )
        )
    return sorted(found, key=lambda one: (-one.gain, one.credit))


def _by_seed(credit: str, of_world: Sequence[Cell]) -> list[float]:
    """The mean over conditions of each seed that all of them have."""
    shared = set.intersection(*(set(cell.difference[credit]) for cell in of_world))
    return [fmean(cell.difference[credit][seed] for cell in of_world) for seed in sorted(shared)]


def _error(values: Sequence[float]) -> float:
    """Standard error of a mean; without end for fewer than two values."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def warning(credit: str, known: Sequence[Cell] | None = None) -> str | None:
    """A warning to whoever exports a credit that trained worse than the control.

    Args:
        credit: Name of a method that ran at its defaults.
        known: Cells; those of the package by default.
    """
    for one in standings(cells() if known is None else known, {credit}):
        if one.high < 0:
            return (
                f"{credit} trained worse than {CONTROL}, which reads nothing, in "
                f"{number_of(one.worlds, 'simulated world')}: {one.gain:+.3f} [{one.low:+.3f}, "
                f"{one.high:+.3f}] in mean success over the course. `workbench advise` says which "
                "credit to take"
            )
    return None


def best(known: Sequence[Cell], credits: Collection[str] | None = None) -> Standing | None:
    """The credit to train with: the best one whose interval is above 0; None for the control."""
    above = [one for one in standings(known, credits) if one.low > 0]
    return above[0] if above else None


def regrets(known: Sequence[Cell]) -> list[dict[str, Any]]:
    """The loss by following the advice in each cell, had its world not been seen.

        regret = max over credits of the area there − area of what the other worlds advise

    Returns:
        One row per cell: world, condition, advised, best, regret, and control, which is what always
        taking the control would have lost.
    """
    rows = []
    for cell in known:
        others = [other for other in known if other.world != cell.world]
        chosen = best(others) if others else None
        gains = {name: cell.gain(name) for name in cell.difference} | {CONTROL: 0.0}
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
