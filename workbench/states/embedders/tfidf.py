"""TF-IDF vectors of state texts, per group or, as in the released ProxMO code, over the batch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.errors import ParameterError
from workbench.wording import Progress, silent

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from workbench.states.embedders.chunking import WindowsReport

Vectors: TypeAlias = Union[NDArray[np.float64], "csr_array"]


_WORD = re.compile(r"\w")
_BLOCK = 2**16  # texts of which all words are in memory


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
        shortest: Fewest characters of a word.
        max_features: Keep the words with the highest total count; None keeps all.
        per_segment: Whether N and df are counted within each segment.
        counts_copies: Whether `counts` should count duplicated rows of a log.
    """

    name: str = "tfidf"
    shortest: int = 1
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
        fields = json.dumps(["tfidf-2", asdict(self)], sort_keys=True)
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
            (U, V) float64; V is 1 where no text has a word. A column is a word of the row's own
            segment, in alphabetical order, so that rows of two segments cannot be compared; where
            words are counted over all segments it is the same word everywhere.
        """
        from scipy.sparse import csr_array

        check_segments(texts, counts, starts)
        terms = self._term_counts(texts)
        if terms is None:
            rows = csr_array((len(texts), 1), dtype=np.float64)
        else:
            if self.max_features is not None:
                terms = terms[:, _most_frequent(terms, counts, self.max_features)]
            segment = np.zeros(len(texts), dtype=np.int64)
            if self.per_segment:
                segment = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            rows = _weigh(terms, counts, segment)
        progress("embed", len(texts), len(texts))
        return rows

    def _term_counts(self, texts: Sequence[str]) -> csr_array | None:
        """Word counts of each text, words in alphabetical order; None without any."""
        from scipy.sparse import csr_array

        place: dict[str, int] = {}
        row = np.array([place.setdefault(text.lower(), len(place)) for text in texts])
        found = _words(list(place), self.shortest)
        vocabulary = found["word"].unique().sort()
        if vocabulary.is_empty():
            return None
        numbered = vocabulary.to_frame().with_row_index("number")
        found = found.join(numbered, on="word")
        count, text, number = (found[name].to_numpy() for name in ("count", "text", "number"))
        terms = csr_array((count, (text, number)), shape=(len(place), len(vocabulary)))
        # Sums run over a row's words in alphabetical order whatever words other groups have.
        terms.sort_indices()
        return terms[row]


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
    shortest: int = 2
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


def _words(texts: Sequence[str], shortest: int) -> pl.DataFrame:
    """The words of every text, `count` of each.

    Args:
        texts: In lower case, each once.
        shortest: Fewest characters of a word.

    Returns:
        text (its place), word, count; in no order.
    """
    all_texts = pl.Series("word", texts, dtype=pl.String)
    others = {
        character
        for text in all_texts.filter(all_texts.str.len_bytes() != all_texts.str.len_chars())
        for character in text
        if not character.isascii()
    }
    # What a word is made of is Python's to say: polars counts fewer digits and more marks.
    beside = "".join(sorted(filter(_WORD.match, others)))
    pattern = f"[0-9a-z_{beside}]{{{shortest},}}"
    parts = [
        all_texts[first : first + _BLOCK]
        .str.extract_all(pattern)
        .to_frame()
        .with_row_index("text", offset=first)
        .explode("word")
        .drop_nulls()
        .group_by("text", "word")
        .agg(pl.len().cast(pl.Int64).alias("count"))
        for first in range(0, len(texts), _BLOCK)
    ]
    schema = {"text": pl.UInt32, "word": pl.String, "count": pl.Int64}
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


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
    # A pair is a word of a segment; those of a segment are adjacent, words in order.
    rank = pl.Series(segment[row] * words + terms.indices).rank("dense")
    pair = rank.to_numpy().astype(np.int64) - 1
    pairs = int(pair.max(initial=-1)) + 1
    document_frequency = np.bincount(pair, weights=counts[row], minlength=pairs)[pair]
    steps = np.bincount(segment, weights=counts, minlength=1)[segment[row]]
    values = terms.data * (np.log((1 + steps) / (1 + document_frequency)) + 1)
    length = np.sqrt(np.bincount(row, weights=values**2, minlength=texts))
    of_pair = np.empty(pairs, dtype=np.int64)
    of_pair[pair] = segment[row]
    column = pair - np.searchsorted(of_pair, of_pair)[pair]
    shape = (texts, int(column.max(initial=0)) + 1)
    # Every stored row entry is positive, so that no length that is used here is 0.
    return csr_array((values / length[row], column, terms.indptr), shape=shape)
