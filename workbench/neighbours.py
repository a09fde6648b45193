"""The nearest states anywhere in a log, by FAISS: what crosses groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from workbench.errors import ArtefactError
from workbench.steps import Index, Real


class NeighbourIndex:
    """Exact nearest neighbours among the distinct states of a whole log, by FAISS.

    Args:
        vectors: One row a state, of length 1 or 0. (U, D)
    """

    def __init__(self, vectors: Real | csr_array) -> None:
        import faiss

        dense = vectors.toarray() if isinstance(vectors, csr_array) else vectors
        self._index: Any = faiss.IndexFlatIP(dense.shape[1])
        self._index.add(np.ascontiguousarray(dense, dtype=np.float32))

    def nearest(self, state: int, count: int) -> tuple[Index, Real]:
        """The `count` states nearest to a state, itself first, by cosine. (K,) int64, (K,).

        A state comes first even where another has the same vector, or its own is 0.
        """
        query = self._index.reconstruct(state)[None]
        near, at = self._index.search(query, min(count, self._index.ntotal))
        order = np.lexsort((at[0], -near[0]))
        others = order[at[0][order] != state][: len(order) - 1]
        found = np.concatenate([[state], at[0][others]])
        similarity = np.concatenate([query[0] @ query.T, near[0][others]])
        return found.astype(np.int64), similarity.astype(np.float64)

    def save(self, path: Path) -> None:
        """Writes the index in FAISS's own format."""
        import faiss

        faiss.write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path) -> NeighbourIndex:
        """Reads what `save` wrote.

        Raises:
            ArtefactError: FAISS cannot read the file.
        """
        import faiss

        index = cls.__new__(cls)
        try:
            index._index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ArtefactError(f"{path} is not a FAISS index: {error}") from error
        return index
