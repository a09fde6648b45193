"""Embedders that know the vector of every text, and logs for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from logs import Described

from workbench.log.steps import Index, Real, Steps
from workbench.wording import Progress, silent

TAU = 1 / math.log(2)  # e^(1/τ) = 2: an equal text counts twice as much as an orthogonal one


class Vectors:
    """An embedder with a vector for every text."""

    name = key = "vectors"
    counts_copies = False
    windows_report = None

    def __init__(self, vector: Mapping[str, Sequence[float] | Real]) -> None:
        self._vector = vector

    def encode(
        self,
        texts: Sequence[str],
        counts: Index,
        starts: Index,
        progress: Progress = silent,
    ) -> Real:
        return np.array([self._vector[text] for text in texts], dtype=np.float64)


AXES = Vectors(dict(zip("pqrs", np.eye(4).tolist(), strict=True)))


def random_vectors(found: Steps, seed: int, width: int = 3) -> Vectors:
    """Unit vectors in all directions."""
    drawn = np.random.default_rng(seed)
    vector = {}
    for text in sorted(set(found.column("observation"))):
        one = drawn.normal(size=width)
        vector[text] = one / np.linalg.norm(one)
    return Vectors(vector)


def one_step(*trajectories: tuple[str, float]) -> Described:
    """One group of trajectories of one step each, given by text and reward."""
    return {"g": {f"t{k}": [(text, "x", r)] for k, (text, r) in enumerate(trajectories)}}


def mixed_log() -> Described:
    return {
        "few": {"f0": [("p", "x", 1.0)], "f1": [("q", "x", 0.0)]},
        "equal": {f"e{k}": [("p", "x", 1.0)] for k in range(4)},
        "good": {f"g{k}": [("p", "x", float(k == 0))] for k in range(3)},
    }
