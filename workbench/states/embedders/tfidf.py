"""TF-IDF vectors of state texts, per group or, as in the released ProxMO code, over the batch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ParameterError
from workbench.wording import Progress, silent

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from workbench.states.embedders.chunking import WindowsReport

Vectors: TypeAlias = Union[NDArray[np.float64], "csr_array"]


@dataclass(frozen=True, kw_only=True)
class TfidfEmbedder:
    """Words weighted by how rare they are among the steps of their own group.

        x_iw = tf_iw · (ln((1 + N) / (1 + df_w)) + 1),  each row divided by its length

    tf_iw is how often text i holds word w, N the number of steps of the segment, df_w how many of
    them hold w. Every segment has its own N and df: what other groups say changes nothing.

    **Degenerate cases.** A text without a word has a zero row, whose similarity is 0 to
    everything, itself included. Without any word at all every row is zero. In a segment of one
    text every idf is 1.

    **Conventions.** Lower case; a token is a run of word characters, one character counts ("drawer
    1" and "drawer 2" differ); smoothed idf as in scikit-learn's TfidfVectorizer; no limit on the
    number of words.

    **Differs from** the released ProxMO code, which fits once over the batch, drops one-character
    tokens and keeps 1024 words: `ProxmoTfidfEmbedder`.

    Source: the representation named in ProxMO (GithubX-F/ProxMO-RL), fitted within a group.

    Args:
        name: Its registry name.
        token_pattern: Regular expression of a word.
        max_features: Keep the words with the highest total count; None keeps all.
        per_segment: Whether N and df are counted within each segment.
        counts_copies: Whether `counts` should count duplicated rows of a log.
    """

    name: str = "tfidf"
    token_pattern: str = r"(?u)\b\w+\b"
    max_features: int | None = None
    per_segment: bool = True
    counts_copies: bool = False

    @property
    def windows_report(self) -> WindowsReport | None:
        """None: a text is never cut."""
        return None

    @property
    def key(self) -> str:
        """Everything that decides the vectors of given texts and counts."""
        fields = json.dumps(["tfidf-1", asdict(self)], sort_keys=True)
        return f"tfidf-{hashlib.sha256(fields.encode()).hexdigest()[:32]}"

    def encode(
        self,
        texts: Sequence[str],
        counts: NDArray[np.int64],
        starts: NDArray[np.int64],
        progress: Progress = silent,
    ) -> csr_array:
        """TF-IDF rows.

        Args:
            texts: State texts, distinct within a segment. (U,).
            counts: How many steps have each text. (U,) int64.
            starts: Where each segment starts, and U. (G+1,) int64.
            progress: Told once, at the end.

        Returns:
            (U, V) float64; V is 1 where no text has a word.
        """
        from scipy.sparse import csr_array

        check_segments(texts, counts, starts)
        terms = self._term_counts(texts)
        if terms is None:
            rows = csr_array((len(texts), 1), dtype=np.float64)
        else:
            if self.max_features is not None:
                terms = terms[:, _most_frequent(terms, counts, self.max_features)]
            ends = starts if self.per_segment else np.array([0, len(texts)])
            rows = _weigh(terms, counts, np.repeat(np.arange(len(ends) - 1), np.diff(ends)))
        progress("embed", len(texts), len(texts))
        return rows

    def _term_counts(self, texts: Sequence[str]) -> csr_array | None:
        """How often each text holds each word, words in alphabetical order; None without any."""
        from scipy.sparse import csr_array
        from sklearn.feature_extraction.text import CountVectorizer

        distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        word = re.compile(self.token_pattern)
        if not any(word.search(text.lower()) for text in distinct):
            return None
        vectorizer = CountVectorizer(token_pattern=self.token_pattern)
        terms = csr_array(vectorizer.fit_transform(list(distinct)))
        # Sums run over a row's words in alphabetical order whatever words other groups have.
        terms.sort_indices()
        return terms[np.array([distinct[text] for text in texts])]


@dataclass(frozen=True, kw_only=True)
class ProxmoTfidfEmbedder(TfidfEmbedder):
    """TF-IDF as the released ProxMO code computes it: one fit over every step of the batch.

        x_iw = tf_iw · (ln((1 + N) / (1 + df_w)) + 1),  each row divided by its length

    N and df_w count the rows of all segments, duplicated rows included; only the 1024 words with
    the highest total count are kept. It equals
    `TfidfVectorizer(max_features=1024).fit_transform(rows)`.

    **Degenerate cases.** As in `TfidfEmbedder`; an empty vocabulary gives zero rows where the
    released code sets the whole step term to 0.

    **Differs from** the released code: words that tie at the cut are taken in alphabetical order;
    there, an unstable sort decides, which depends on the processor.

    Source: GithubX-F/ProxMO-RL 496efa7, `proxmo/core_proxmo.py`, `step_soft_reward`.
    """

    name: str = "tfidf-proxmo"
    token_pattern: str = r"(?u)\b\w\w+\b"
    max_features: int | None = 1024
    per_segment: bool = False
    counts_copies: bool = True


def check_segments(
    texts: Sequence[str], counts: NDArray[np.int64], starts: NDArray[np.int64]
) -> None:
    """Refuse counts and offsets that do not fit the texts.

    Args:
        texts: (U,).
        counts: (U,) int64, not negative; 0 where no step of a text is in the group statistics.
        starts: (G+1,) int64, from 0 to U, not falling.
    """
    if len(counts) != len(texts) or (len(counts) and int(np.min(counts)) < 0):
        raise ParameterError(f"counts must be {len(texts)} numbers, none negative")
    if len(starts) < 1 or starts[0] != 0 or starts[-1] != len(texts) or np.any(np.diff(starts) < 0):
        raise ParameterError(f"starts must rise from 0 to {len(texts)}")


def _most_frequent(terms: csr_array, counts: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """The `limit` columns of highest total count, in alphabetical order; ties by alphabet."""
    total = terms.T @ counts
    kept: NDArray[np.int64] = np.sort(np.argsort(-total, kind="stable")[:limit])
    return kept


def _weigh(terms: csr_array, counts: NDArray[np.int64], segment: NDArray[np.int64]) -> csr_array:
    """Multiply by the idf of each row's segment and divide rows by their length.

    Args:
        terms: Word counts. (U, V) int.
        counts: Steps of each text. (U,) int64.
        segment: Segment of each text. (U,) int64.

    Returns:
        (U, V) float64.
    """
    from scipy.sparse import csr_array

    texts, words = terms.shape
    row = np.repeat(np.arange(texts), np.diff(terms.indptr))
    pairs, pair = np.unique(segment[row] * words + terms.indices, return_inverse=True)
    document_frequency = np.bincount(pair, weights=counts[row], minlength=len(pairs))[pair]
    steps = np.bincount(segment, weights=counts, minlength=1)[segment[row]]
    values = terms.data * (np.log((1 + steps) / (1 + document_frequency)) + 1)
    length = np.sqrt(np.bincount(row, weights=values**2, minlength=texts))
    # Every stored row entry is positive, so that no length that is used here is 0.
    return csr_array((values / length[row], terms.indices, terms.indptr), shape=terms.shape)
