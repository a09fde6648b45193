"""Scales that all figures share: what is below 0 is purple and ▼, what is above is orange and ▲."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

DIVERGING: list[list[float | str]] = [
    [0.0, "#3f1a73"],
    [0.125, "#5e3c99"],
    [0.25, "#8073ac"],
    [0.375, "#b2abd2"],
    [0.5, "#eeeef0"],
    [0.625, "#fdc97f"],
    [0.75, "#f0963c"],
    [0.875, "#c9650d"],
    [1.0, "#7f3b08"],
]
"""PuOr: told apart by every kind of colour vision, light in the middle."""

BELOW, ABOVE = "#8073ac", "#e08214"
"""One colour for a negative and one for a positive number; both stand on light and on dark."""

FIRST, SECOND = "#4269d0", "#d6455d"
"""Colour of what is compared and is no credit: purple and orange are for a credit's sign."""

CORRELATION: list[list[float | str]] = [
    [0.0, "#b2182b"],
    [0.25, "#ef8a62"],
    [0.5, "#eeeef0"],
    [0.75, "#67a9cf"],
    [1.0, "#2166ac"],
]
"""RdBu, for a correlation from −1 to +1."""

SERIES = (
    ("#4269d0", "circle"),
    ("#d6455d", "square"),
    ("#2f9e77", "diamond"),
    ("#9c755f", "triangle-up"),
    ("#1ba3c6", "x"),
    ("#b07aa1", "cross"),
)
"""Colour and symbol of each of several things that are compared and are no credit."""

FRAME = "#f5c518"
"""A frame around what is chosen, which stands on light, on dark and on a scale's ends."""

GREY = "#8c8c8c"
"""Colour of axes and intervals; it is legible on light and on dark."""

ZERO_LINE = {"zeroline": True, "zerolinewidth": 1.5, "zerolinecolor": GREY}
"""An axis on which 0 can be seen."""

_LINES = ("#222222", "#e08214", "#5e3c99", "#1b7837", "#2166ac", "#b2182b", "#8c510a", "#01665e")
_DASHES = ("solid", "dash", "dot", "dashdot")
_ZERO = 1e-12


def line_colour(number: int) -> str:
    """Colour of the line with this number."""
    return _LINES[number % len(_LINES)]


def line_style(number: int) -> dict[str, str | float]:
    """Style of the line with this number: no two of the first 32 look alike."""
    dash = _DASHES[number // len(_LINES) % len(_DASHES)]
    return {"color": line_colour(number), "dash": dash, "width": 1.5}


def symmetric_range(values: ArrayLike) -> tuple[float, float]:
    """Limits around 0 that hold all finite values; (-1, 1) where all of them are 0 or none is."""
    numbers = np.asarray(values, dtype=np.float64)
    finite = np.abs(numbers[np.isfinite(numbers)])
    largest = float(finite.max()) if finite.size else 0.0
    return (-largest, largest) if largest > _ZERO else (-1.0, 1.0)


def interval(rows: pl.DataFrame, thickness: float) -> dict[str, Any]:
    """Error bars along x from `low` to `high` around `value`; none where an end is null."""
    value = rows["value"].to_numpy()
    low, high = (rows[end].fill_null(rows["value"]).to_numpy() for end in ("low", "high"))
    return {
        "type": "data",
        "array": high - value,
        "arrayminus": value - low,
        "color": GREY,
        "thickness": thickness,
    }


def sign_symbol(value: float) -> str:
    """▲ above 0, ▼ below, = at 0 (within 1e-12), and nothing for a number that is not known."""
    if not np.isfinite(value):
        return ""
    if abs(value) <= _ZERO:
        return "="
    return "▲" if value > 0 else "▼"


def signed_number(value: float) -> str:
    """A number behind the symbol of its sign, three significant digits.

    Example:
        >>> signed_number(0.25), signed_number(-1.5), signed_number(-0.0)
        ('▲ +0.25', '▼ −1.5', '= 0')
    """
    symbol = sign_symbol(value)
    if symbol in {"", "="}:
        return "= 0" if symbol else "–"
    return f"{symbol} {value:+.3g}".replace("-", "−")
