"""Embedders: state texts in, vectors out; their protocol and look-up by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ParameterError, UnknownNameError
from workbench.states.embedders.chunking import WindowsReport
from workbench.states.embedders.fast import PREFIX, FastEmbedder
from workbench.states.embedders.model_files import MINILM
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.states.embedders.tfidf import ProxmoTfidfEmbedder, TfidfEmbedder, Vectors
from workbench.states.embedders.vector_cache import VectorCache
from workbench.wording import Progress, silent

DEFAULT_EMBEDDER = MINILM
EMBEDDERS: dict[str, Callable[[], Embedder]] = {
    "tfidf": TfidfEmbedder,
    "tfidf-proxmo": ProxmoTfidfEmbedder,
}


class Embedder(Protocol):
    """Interface of embedders: state texts to vectors."""

    @property
    def name(self) -> str:
        """Name that the user typed, or the registry name."""

    @property
    def key(self) -> str:
        """Everything that decides the vectors, as a name for a folder."""

    @property
    def counts_copies(self) -> bool:
        """True if `counts` should count duplicated rows of a log."""

    @property
    def windows_report(self) -> WindowsReport | None:
        """Counts of texts longer than the model's window; None where it has none."""

    def encode(
        self,
        texts: Sequence[str],
        counts: NDArray[np.int64],
        starts: NDArray[np.int64],
        progress: Progress = silent,
    ) -> Vectors:
        """Vectors of length 1, or 0 for a text with nothing in it.

        Args:
            texts: State texts, distinct within a segment. (U,).
            counts: How many steps have each text. (U,) int64.
            starts: Where each segment (group) starts, and U. (G+1,) int64.
            progress: Told how many texts or windows of how many are done, stage "embed".

        Returns:
            (U, D) float64, dense or sparse.
        """


def resolve(name: str, cache: VectorCache | None = None) -> Embedder:
    """The embedder of a name; nothing is loaded before it encodes.

    Args:
        name: `all-MiniLM-L6-v2` (or `minilm`), `tfidf`, `tfidf-proxmo`, or the id or folder of
            any other sentence-transformers model; "fast:" before it runs it by OpenVINO.
        cache: Where vectors are kept; TF-IDF needs none.

    Returns:
        The embedder.

    Raises:
        UnknownNameError: It is nearly the name of one and no folder.
    """
    require_embedder(name)
    if name.startswith(PREFIX):
        return FastEmbedder(name.removeprefix(PREFIX), cache)
    make = EMBEDDERS.get(name)
    return make() if make else SentenceEmbedder(name, cache)


def require_embedder(name: str) -> None:
    """Refuse what is no name of an embedder, before a log is read.

    Raises:
        ParameterError: It is empty.
        UnknownNameError: It is nearly the name of one and no folder.
    """
    name = name.removeprefix(PREFIX)
    if not name.strip():
        raise ParameterError(f"an embedder must be named, such as {DEFAULT_EMBEDDER!r} or 'tfidf'")
    known = [*EMBEDDERS, "minilm"]
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    if close and name not in known and not Path(name).exists():
        raise UnknownNameError("embedder", name, [*known, DEFAULT_EMBEDDER])
