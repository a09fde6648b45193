"""Temperatures in octaves: halving τ squares an exponential, so a grid of them costs few."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from workbench.log.steps import Real


def exponentials(gap: Real, temperatures: Sequence[float]) -> Iterator[tuple[int, Real]]:
    """e^{gap / τ} for each temperature, as (its place, (r, n)); to be used before the next.

    e^{gap / (τ/2)} is the square of e^{gap / τ}. As the largest gap of a row is 0, what underflows
    is negligible; a rounding error doubles with each square and stays below 1e-12 after ten.
    """
    for first, *others in octaves(temperatures):
        near = np.exp(gap / temperatures[first])
        yield first, near
        for k in others:
            np.multiply(near, near, out=near)
            yield k, near


def octaves(temperatures: Sequence[float]) -> list[list[int]]:
    """Places of the temperatures in chains in which each is half the one before."""
    return _octaves(tuple(temperatures))


@lru_cache(maxsize=8)
def _octaves(temperatures: tuple[float, ...]) -> list[list[int]]:
    chains: list[list[int]] = []
    for k in sorted(range(len(temperatures)), key=lambda k: -temperatures[k]):
        half = [c for c in chains if temperatures[c[-1]] == 2.0 * temperatures[k]]
        if half:
            half[0].append(k)
        else:
            chains.append([k])
    return chains


def temperature_stops(lowest: float = 0.01, highest: float = 10.0) -> tuple[float, ...]:
    """Temperatures 0.1 · 2^(k/8) within limits, coldest first.

    The eighths of an octave are rounded to four digits, so that a τ is short in an address and on
    a command line; whole octaves are exact, so that the next is the square of the one before.

    Example:
        >>> temperature_stops(0.1, 0.2)
        (0.1, 0.1091, 0.1189, 0.1297, 0.1414, 0.1542, 0.1682, 0.1834, 0.2)
    """
    eighths = [round(0.1 * 2 ** (k / 8), 4) for k in range(8)]
    whole = range(math.floor(math.log2(lowest / 0.1)), math.ceil(math.log2(highest / 0.1)) + 1)
    stops = [eighth * 2.0**octave for octave in whole for eighth in eighths]
    return tuple(stop for stop in stops if lowest <= stop <= highest)


STOPS = temperature_stops()
