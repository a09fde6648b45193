"""A map of states as its canvas reads it: places, values, what the filter leaves, in few bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.files import digest
from workbench.log.steps import Real, Truth
from workbench.states.projection import SIDE, Places

MOST_POINTS = 1_000_000
"""Steps up to which each is a point; above, cells of a grid say how many steps are in them."""

CELLS = 400
_LEVELS = 254  # of a value, in one byte; 255 is for what has none


@dataclass(frozen=True, kw_only=True)
class Coloured:
    """Values that colour the steps of a map.

    Args:
        name: What it is called.
        values: One a step, NaN for none. (S,) float64
        palette: "credit" (around 0), "outcome" (1 and 0) or "amount".
        says: A sentence on what it is.
    """

    name: str
    values: Real
    palette: str
    says: str = ""

    def limits(self) -> tuple[float, float]:
        """Values at the ends of the palette; those beyond have the end's colour."""
        known = self.values[np.isfinite(self.values)]
        if self.palette == "outcome" or not known.size:
            return 0.0, 1.0
        if self.palette == "credit":
            most = float(np.quantile(np.abs(known), 0.98)) or float(np.abs(known).max()) or 1.0
            return -most, most
        low, high = (float(q) for q in np.quantile(known, (0.01, 0.99)))
        return (low, high) if high > low else (float(known.min()), float(known.max()) or 1.0)


def plane_payload(places: Places, coloured: Coloured, kept: Truth | None) -> dict[str, Any]:
    """A map for its canvas.

    Args:
        places: From `states.projection.places`. (S, 2)
        coloured: The colour of each step.
        kept: Whether the filter leaves each step; None without a filter. (S,)

    Returns:
        `side`, `limits`, `palette`, `name`, `says`, `count` and `left` (steps that the filter
        leaves); up to `MOST_POINTS` steps `x`, `y` (uint16) and `value` (uint8, 255 for none) of
        each and `kept` (bits), above a grid of `cells` × `cells` with `density` (uint8, 0 for no
        step, by the logarithm of how many), `value` (uint8, of the mean) and `kept`; all of them
        little-endian base64; and `key`, another one for another map.
    """
    low, high = coloured.limits()
    left = np.ones(len(places), dtype=bool) if kept is None else kept
    made: dict[str, Any] = {
        "side": SIDE,
        "limits": [float(f"{low:.4g}"), float(f"{high:.4g}")],
        "palette": coloured.palette,
        "name": coloured.name,
        "says": coloured.says,
        "count": len(places),
        "left": int(left.sum()),
        "filtered": kept is not None,
    }
    if len(places) <= MOST_POINTS:
        made |= {
            "x": _packed(places[:, 0].astype("<u2")),
            "y": _packed(places[:, 1].astype("<u2")),
            "value": _packed(_bytes(coloured.values, low, high)),
            "kept": _packed(np.packbits(left, bitorder="little")),
        }
    else:
        made |= _density(places, coloured.values, left, (low, high))
    return {**made, "key": digest(made)[:16]}


def _density(
    places: Places, values: Real, left: Truth, limits: tuple[float, float]
) -> dict[str, Any]:
    """The grid: of what the filter leaves where it leaves any in a cell, else of all, in grey."""
    cell = (places[:, 1].astype(np.int64) * CELLS // SIDE) * CELLS + (
        places[:, 0].astype(np.int64) * CELLS // SIDE
    )
    number = np.bincount(cell, minlength=CELLS * CELLS)
    inside = np.bincount(cell[left], minlength=CELLS * CELLS)
    known = left & np.isfinite(values)
    count = np.bincount(cell[known], minlength=CELLS * CELLS)
    total = np.bincount(cell[known], values[known], minlength=CELLS * CELLS)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    shown = np.where(inside > 0, inside, number)
    depth = np.log1p(shown) / np.log1p(max(int(shown.max()), 1))
    density = np.where(shown > 0, np.rint(1 + 254 * depth), 0).astype(np.uint8)
    return {
        "cells": CELLS,
        "density": _packed(density),
        "value": _packed(_bytes(mean, *limits)),
        "kept": _packed(np.packbits(inside > 0, bitorder="little")),
    }


def _bytes(values: Real, low: float, high: float) -> Any:
    share = (np.clip(values, low, high) - low) / ((high - low) or 1.0)
    return np.where(np.isfinite(values), np.rint(_LEVELS * share), 255).astype(np.uint8)


def _packed(array: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
