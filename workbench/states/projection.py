"""Projection: the states of a log in the plane, for a map."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse

from workbench.errors import MissingDependencyError, UnknownNameError
from workbench.log.steps import Index, Real
from workbench.states.space import Space

KINDS = ("pca", "umap")
SIDE = 10_000
"""Units of a map's side; places are whole numbers from 0 to `SIDE` - 1."""

Places = NDArray[np.uint16]
Store = Callable[[Callable[[], Real]], Real]
"""Gives the projected states from a store or, where that has none, from the function."""

_GOLDEN = np.pi * (3.0 - np.sqrt(5.0))
_SPREAD, _WIDEST = 16.0, 180.0  # units between steps of a state, and the widest such disc


def has_umap() -> bool:
    """True if the package for UMAP, an extra, is installed."""
    return find_spec("umap") is not None


def places(space: Space, kind: str = "pca", store: Store = lambda build: build()) -> Places:
    """Place of each scored step on the map.

    The distinct states of the log are projected from their vectors; the steps of a state lie round
    it on a sunflower's spiral in the log's order, so that all of them can be seen and pointed at.
    The same space gives the same places.

    Args:
        space: The log with its embedder.
        kind: "pca" (the two directions in which the vectors differ most; the larger one across) or
            "umap" (neighbours stay near each other, distances between clusters say nothing).
        store: Keeps projections of states.

    Returns:
        (S, 2) uint16: x to the right and y upwards, below `SIDE`. All in the middle where all
        states are one.

    Raises:
        UnknownNameError: No such kind.
        MissingDependencyError: UMAP is not installed.
    """
    if kind not in KINDS:
        raise UnknownNameError("projection", kind, KINDS)
    if kind == "umap" and not has_umap():
        raise MissingDependencyError(
            "UMAP is not installed. Hint: pip install 'trajectory-workbench[map]', or take PCA"
        )
    states = space.log_states
    plane = store(lambda: _projected(space, kind))
    low, high = plane.min(axis=0), plane.max(axis=0)
    room = SIDE - 2 * _WIDEST
    # Each side of its own length: what is 0 across is in the middle.
    scaled = np.where(high > low, (plane - low) / np.where(high > low, high - low, 1.0), 0.5)
    rank = _ranks(states.state)
    radius = np.minimum(_SPREAD * np.sqrt(rank), _WIDEST)
    spiral = radius[:, None] * np.stack([np.cos(rank * _GOLDEN), np.sin(rank * _GOLDEN)], axis=1)
    at = _WIDEST + room * scaled[states.state] + spiral
    found: Places = np.clip(np.rint(at), 0, SIDE - 1).astype(np.uint16)
    return found


def _ranks(state: Index) -> Index:
    """Number of each step among those of its state, from 0. (S,)."""
    order = np.argsort(state, kind="stable")
    first = np.searchsorted(state[order], state[order])
    rank = np.empty(len(state), dtype=np.int64)
    rank[order] = np.arange(len(state)) - first
    return rank


def _projected(space: Space, kind: str) -> Real:
    """The distinct states in the plane. (U, 2) float64."""
    states = space.log_states
    vectors: Any = space.embedder.encode(states.text, space.log_counts, states.start)
    if min(vectors.shape) < 3 or len(states.text) < 4:
        dense = vectors.toarray() if issparse(vectors) else np.asarray(vectors)
        dense = dense - dense.mean(axis=0)
        flat = np.zeros((len(states.text), 2))
        flat[:, : min(2, dense.shape[1])] = dense[:, :2]
        return flat
    if kind == "umap":
        from umap import UMAP

        # UMAP's compiled loops know sparse matrices, not sparse arrays.
        given = csr_matrix(vectors) if issparse(vectors) else vectors
        few = min(15, len(states.text) - 1)  # its default, or all others of a small log
        start = "spectral" if len(states.text) > 4 * few else "random"
        umap = UMAP(n_neighbors=few, init=start, metric="cosine", random_state=0, n_jobs=1)
        made = umap.fit_transform(given)
        return np.asarray(made, dtype=np.float64)
    from sklearn.decomposition import PCA

    solver = "arpack" if issparse(vectors) else "covariance_eigh"
    made = PCA(n_components=2, svd_solver=solver, random_state=0).fit_transform(vectors)
    # The last bits depend on the number of threads.
    return np.asarray(np.round(made, 6), dtype=np.float64)
