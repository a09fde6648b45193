"""The nearest states anywhere in a log: what crosses groups.

FAISS searches dense vectors. TF-IDF over a whole log has a column per word, mostly 0: one sparse
product with the query is exact and needs no dense copy.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, load_npz, save_npz

from workbench.errors import ArtefactError
from workbench.log.steps import Index, Real


class NeighbourIndex:
    """Exact nearest neighbours among the distinct states of a whole log.

    Args:
        vectors: One row per state, of length 1 or 0. (U, D), dense or sparse
    """

    def __init__(self, vectors: Real | csr_array) -> None:
        self._index: Any = vectors if isinstance(vectors, csr_array) else _faiss_index(vectors)

    def nearest(self, state: int, count: int) -> tuple[Index, Real]:
        """The `count` states nearest to a state, itself first, by cosine. (K,) int64, (K,).

        A state comes first even where another has the same vector, or its own is 0.
        """
        at, near, own = self._search(state, count)
        order = np.lexsort((at, -near))
        others = order[at[order] != state][: min(count, len(order)) - 1]
        found = np.concatenate([[state], at[others]])
        similarity = np.concatenate([[own], near[others]])
        return found.astype(np.int64), similarity.astype(np.float64)

    def _search(self, state: int, count: int) -> tuple[Index, Real, float]:
        """Some states among which the nearest are, their cosines, and the state's with itself."""
        if isinstance(self._index, csr_array):
            near = (self._index @ self._index[[state]].T).toarray()[:, 0]
            return np.arange(len(near)), near, float(near[state])
        query = self._index.reconstruct(state)[None]
        near, at = self._index.search(query, min(count, self._index.ntotal))
        return at[0], near[0], float(query[0] @ query[0])

    def save(self, path: Path) -> None:
        """Write the index: in FAISS's own format, or sparse vectors as NumPy arrays."""
        if isinstance(self._index, csr_array):
            with path.open("wb") as file:
                save_npz(file, self._index)
        else:
            import faiss

            faiss.write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path) -> NeighbourIndex:
        """Read what `save` wrote.

        Raises:
            ArtefactError: The file is neither.
        """
        index = cls.__new__(cls)
        try:
            if zipfile.is_zipfile(path):
                index._index = csr_array(load_npz(path))
            else:
                import faiss

                index._index = faiss.read_index(str(path))
        except (RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ArtefactError(f"{path} is not an index of neighbours: {error}") from error
        return index


def _faiss_index(vectors: Real) -> Any:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    return index
