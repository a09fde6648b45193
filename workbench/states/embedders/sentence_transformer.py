"""Vectors of sentence-transformers models: de-duplicated, cached, resumable, same bytes."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ArtefactError, MissingDependencyError, ParameterError
from workbench.states.embedders.chunking import Windows, WindowsReport, cut_texts, pool, unit
from workbench.states.embedders.model_files import (
    MINILM,
    MINILM_DIGESTS,
    MINILM_NAMES,
    MINILM_WINDOW,
    files_digest,
    find_model,
    is_minilm,
    require_weights,
)
from workbench.states.embedders.tfidf import check_segments
from workbench.states.embedders.vector_cache import Entry, VectorCache, text_hash
from workbench.wording import Progress, silent

# Larger batches are no faster: the matrix products of 1024 tokens fill a core.
_BATCH_TOKENS, _BATCH_TEXTS = 1024, 16
_ROWS = 4096  # vectors of which two copies are in memory


class SentenceEmbedder:
    """Vectors of a sentence-transformers model, each a function of its text alone.

    A text longer than the model's window is cut into windows at word boundaries; its vector is
    the mean of theirs weighted by their tokens, at length 1. Texts are encoded without a prompt.

    **Same bytes.** A batch holds texts of exactly equal token count, so that nothing is padded,
    and each batch runs on one thread while several batches run side by side. Then a vector does
    not change with its batch, its place there, or the number of threads (measured bit for bit; with
    padding or several threads a product it changes in the seventh digit). So a resumed run and a
    log that shares texts with another one get the bytes of an undisturbed one. Another processor
    or another version of torch may give other last digits.

    **Degenerate cases.** An empty text has the vector that the model gives to no words.

    Args:
        model: `all-MiniLM-L6-v2`, or the id or folder of any sentence-transformers model; a folder
            with the files of all-MiniLM-L6-v2 is that model.
        cache: Where vectors are kept. Without it an interrupted encoding starts over.
        window: Tokens of a window, special ones included; None takes all that the model can.
        flush_seconds: How often finished vectors are written to the cache.
    """

    counts_copies = False

    def __init__(
        self,
        model: str = MINILM,
        cache: VectorCache | None = None,
        *,
        window: int | None = None,
        flush_seconds: float = 5.0,
    ) -> None:
        folder = Path(model).expanduser()
        named = model in MINILM_NAMES
        self.model = self.name = MINILM if named or is_minilm(folder) else model
        self._source = MINILM if named else model
        self.windows_report: WindowsReport | None = None
        """Of the last encoding: how many texts were longer than the window."""
        self._cache = cache
        self._window = window
        self._flush_seconds = flush_seconds
        self._tokenizer_lock = threading.Lock()

    @cached_property
    def key(self) -> str:
        """Digest of the model's files, the window, and the version of windows and pooling."""
        # MiniLM's files are checked against the pins when loaded: its key needs no file.
        files = (
            hashlib.sha256(json.dumps(MINILM_DIGESTS, sort_keys=True).encode()).hexdigest()
            if self.model == MINILM
            else files_digest(find_model(self.model))
        )
        parts = json.dumps(["sentence-1", files, self._window, "token-weighted mean"])
        return f"sentence-{hashlib.sha256(parts.encode()).hexdigest()[:32]}"

    def encode(
        self,
        texts: Sequence[str],
        counts: NDArray[np.int64],
        starts: NDArray[np.int64],
        progress: Progress = silent,
    ) -> NDArray[np.float64]:
        """Vectors of length 1; see `Embedder.encode`.

        An interruption keeps what was encoded in the cache, and the next call goes on there.
        """
        check_segments(texts, counts, starts)
        row = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        hashes = {text: text_hash(text) for text in row}
        known = self._cache.load(self.key, hashes.values()) if self._cache else {}
        missing = [text for text in row if hashes[text] not in known]
        if missing:
            self._encode(missing, known, progress)
        entries = [known[hash_] for hash_ in hashes.values()]
        longer = [entry.windows for entry in entries if entry.windows > 1]
        self.windows_report = WindowsReport(
            texts=len(row), longer=len(longer), windows=sum(longer), limit=self._limit
        )
        if not entries:
            return np.zeros((0, 1))
        every = np.empty((len(texts), len(entries[0].vector)))
        for first in range(0, len(texts), _ROWS):
            here = [entries[row[text]].vector for text in texts[first : first + _ROWS]]
            vectors = np.stack(here).astype(np.float64)
            length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
            every[first : first + _ROWS] = vectors / np.where(length > 0, length, 1.0)
        return every

    @property
    def _limit(self) -> int | None:
        """Tokens of a window, special ones included; None where unlimited or not yet known."""
        if self._window is None and self.model == MINILM:
            return MINILM_WINDOW
        own = self._model.max_seq_length if "_model" in self.__dict__ else None
        known = [limit for limit in (own, self._window) if limit is not None]
        return min(known) if known else None

    def _encode(self, texts: Sequence[str], known: dict[bytes, Entry], progress: Progress) -> None:
        """Add the vectors of texts to those known and to the cache."""
        progress("embed", 0, 0)  # to load a model and to count tokens takes a while
        cut = self._cut(texts)
        if self._cache:
            names = {text_hash(window) for windows in cut for window in windows.texts}
            known |= self._cache.load(self.key, names - known.keys())
        tokens = {
            window: count
            for windows in cut
            for window, count in zip(windows.texts, windows.tokens, strict=True)
            if text_hash(window) not in known
        }
        self._encode_windows(tokens, known, progress)
        pooled = {}
        for text, windows in zip(texts, cut, strict=True):
            if len(windows.texts) > 1:
                vectors = np.stack([known[text_hash(window)].vector for window in windows.texts])
                pooled[text_hash(text)] = Entry(pool(vectors, windows.tokens), len(vectors))
        known.update(pooled)
        if self._cache:
            self._cache.append(self.key, pooled)

    def _cut(self, texts: Sequence[str]) -> list[Windows]:
        model = self._model
        limit = self._limit
        fast = getattr(model.tokenizer, "is_fast", False)
        if limit is None:
            # Tokens are counted all the same: only texts of equal count share a batch.
            return cut_texts(texts, model.tokenizer if fast else None, sys.maxsize)
        if not fast:
            raise ParameterError(
                f"{self.name}: its tokenizer cannot tell where a word of a long text lies. "
                "Hint: take a model with a tokenizer.json"
            )
        special = model.tokenizer.num_special_tokens_to_add(pair=False)
        return cut_texts(texts, model.tokenizer, limit - special)

    def _encode_windows(
        self, tokens: dict[str, int], known: dict[bytes, Entry], progress: Progress
    ) -> None:
        """Encode windows in batches of equal token count, the longest first, and keep them.

        Longest first, because then the time left is over-estimated rather than under-estimated.
        """
        fresh: dict[bytes, Entry] = {}
        done, flushed = 0, time.monotonic()
        progress("embed", 0, len(tokens))
        try:
            # Closed at once on an interruption: a traceback would keep the threads at work.
            with closing(self._forward_all(list(_batches(tokens)))) as results:
                for batch, vectors in results:
                    for text, vector in zip(batch, vectors, strict=True):
                        fresh[text_hash(text)] = Entry(unit(vector), 1)
                    done += len(batch)
                    if self._cache and time.monotonic() - flushed >= self._flush_seconds:
                        self._keep(fresh, known)
                        fresh, flushed = {}, time.monotonic()
                    progress("embed", done, len(tokens))
        finally:
            self._keep(fresh, known)

    def _keep(self, fresh: dict[bytes, Entry], known: dict[bytes, Entry]) -> None:
        known.update(fresh)
        if self._cache:
            self._cache.append(self.key, fresh)

    def _forward_all(
        self, batches: Sequence[list[str]]
    ) -> Generator[tuple[list[str], NDArray[np.float32]], None, None]:
        """Encode batches side by side, each on one thread, and give them in order."""
        with _one_thread_an_operation() as workers:
            executor = ThreadPoolExecutor(workers)
            try:
                yield from zip(batches, executor.map(self._forward, batches), strict=True)
            finally:
                executor.shutdown(cancel_futures=True)

    def _forward(self, batch: list[str]) -> NDArray[np.float32]:
        """Encode one batch. (B,) texts to (B, D) float32."""
        import torch

        inputs = self._features(batch)
        with torch.inference_mode():
            found = self._model(inputs)["sentence_embedding"]
            vectors: NDArray[np.float32] = found.float().numpy()
        if not np.isfinite(vectors).all():
            raise ArtefactError(f"the model {self.name} gives vectors that are not finite")
        return vectors

    def _features(self, batch: list[str]) -> dict[str, Any]:
        """Input of the model for a batch."""
        # The tokenizer changes its own padding state with every call.
        with self._tokenizer_lock:
            features: dict[str, Any] = self._model.preprocess(batch)
        return features

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"the embedder {self.name} needs the package {error.name}, which is not installed. "
                "Hint: pip install sentence-transformers, or take the embedder tfidf"
            ) from error
        folder = find_model(self._source)

        bars: Any = logging
        shown = bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        try:
            model = SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # a damaged folder raises whatever its files lead to
            raise ArtefactError(
                f"{folder}: not a model that sentence-transformers can load: "
                f"{type(error).__name__}: {error}"
            ) from error
        finally:
            if shown:
                bars.enable_progress_bar()
        require_weights(folder, [name for name, _ in model.named_parameters()])
        if self._window is not None and self._window > (model.max_seq_length or self._window):
            raise ParameterError(
                f"window must be at most the model's {model.max_seq_length}, got {self._window}"
            )
        return model.eval()


def _batches(tokens: dict[str, int]) -> Iterator[list[str]]:
    """Texts in batches of equal token count, the longest first; a fixed order for given texts."""
    batch: list[str] = []
    for text in sorted(tokens, key=lambda text: (-tokens[text], text)):
        room = max(1, min(_BATCH_TEXTS, _BATCH_TOKENS // max(tokens[text], 1)))
        if batch and (tokens[text] != tokens[batch[0]] or len(batch) >= room):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


@contextmanager
def _one_thread_an_operation() -> Iterator[int]:
    """Run each torch operation on one thread; gives how many threads there were."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
