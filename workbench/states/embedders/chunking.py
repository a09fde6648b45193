"""Texts longer than a model's window, cut into windows at word boundaries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ParameterError

_CHARACTERS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Windows:
    """The windows of one text.

    Args:
        texts: The windows, in order; the text itself where it fits.
        tokens: How many tokens each has, special ones left out.
    """

    texts: tuple[str, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class WindowsReport:
    """Counts of texts that did not fit the model's window.

    Args:
        texts: Distinct texts.
        longer: How many of them are longer than the window.
        windows: Into how many windows those were cut.
        limit: Tokens of a window, special ones included; None where the model has no limit or
            was not loaded because every vector was in the cache.

    Example:
        >>> print(WindowsReport(texts=9, longer=2, windows=7, limit=256))
        2 of 9 texts exceed the model's window of 256 tokens and were pooled from 7 windows
    """

    texts: int
    longer: int
    windows: int
    limit: int | None

    def __str__(self) -> str:
        size = f" of {self.limit} tokens" if self.limit is not None else ""
        return (
            f"{self.longer} of {self.texts} texts exceed the model's window{size} "
            f"and were pooled from {self.windows} windows"
        )


def cut_texts(texts: Sequence[str], tokenizer: Any, limit: int) -> list[Windows]:
    """Cut each text into windows of at most `limit` tokens, nothing left out.

    A cut falls on white space; where a window has none, between the tokenizer's words; inside a
    word longer than a window, between tokens. What the tokenizer itself makes of a word is the
    model's own affair: BERT's reads a word of more than 100 characters as one unknown token.

    Args:
        texts: (U,).
        tokenizer: A fast tokenizer of transformers; None where the model takes any length and
            has none, so that every text is one window.
        limit: Tokens of a window without special ones.

    Returns:
        (U,) windows; an empty text has one window of no token.
    """
    if tokenizer is None:
        return [Windows((text,), (1,)) for text in texts]
    if limit < 1:
        raise ParameterError(f"a window must hold 1 or more tokens, got {limit}")
    cut: list[Windows] = []
    for part in _parts(texts):
        for text, tokens in zip(part, _token_counts(part, tokenizer), strict=True):
            fits = tokens <= limit
            cut.append(Windows((text,), (tokens,)) if fits else _cut(text, tokenizer, limit))
    return cut


def pool(vectors: NDArray[np.float32], tokens: Sequence[int]) -> NDArray[np.float32]:
    """One vector of length 1 for a text from those of its windows.

        v = Σ_w n_w v_w / |Σ_w n_w v_w|,  n_w the number of tokens of window w

    Args:
        vectors: (W, D) float32.
        tokens: (W,).

    Returns:
        (D,) float32; zero where the windows cancel.
    """
    return unit(np.asarray(tokens, dtype=np.float64) @ vectors.astype(np.float64))


def unit(vector: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The vector at length 1; a zero vector stays."""
    exact = vector.astype(np.float64)
    length = float(np.sqrt((exact**2).sum()))
    return (exact / length if length else exact).astype(np.float32)


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts in order, about a million characters at a time: token lists are large."""
    part: list[str] = []
    characters = 0
    for text in texts:
        part.append(text)
        characters += len(text)
        if characters >= _CHARACTERS_AT_ONCE:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _token_counts(texts: Sequence[str], tokenizer: Any) -> list[int]:
    return [len(ids) for ids in _tokens(list(texts), tokenizer)["input_ids"]]


def _tokens(texts: list[str], tokenizer: Any, *, offsets: bool = False) -> Any:
    return tokenizer(
        texts,
        add_special_tokens=False,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=offsets,
        verbose=False,
    )


def _cut(text: str, tokenizer: Any, limit: int) -> Windows:
    # A piece on its own may have more tokens than inside its text (some tokenizers mark the
    # start of a text), so that the pieces are counted again and cut shorter if need be.
    size = limit
    while True:
        pieces = _pieces(text, tokenizer, size)
        tokens = _token_counts(pieces, tokenizer)
        if max(tokens) <= limit:
            return Windows(tuple(pieces), tuple(tokens))
        if size == 1:
            raise ParameterError(f"the tokenizer finds no piece of {limit} or fewer tokens")
        size = size * 9 // 10


def _pieces(text: str, tokenizer: Any, limit: int) -> list[str]:
    """Cut a text of more than `limit` tokens greedily."""
    encoding = _tokens([text], tokenizer, offsets=True)
    begins = np.array(encoding["offset_mapping"][0], dtype=np.int64)[:, 0]
    words = np.array([-1 if word is None else word for word in encoding.word_ids(0)])
    space = np.array([c.isspace() for c in text])
    after_space = space[begins] | space[np.maximum(begins - 1, 0)]
    new_word = np.concatenate([[True], words[1:] != words[:-1]])
    cuts = [0]
    kinds = [np.flatnonzero(after_space), np.flatnonzero(new_word)]
    while len(begins) - cuts[-1] > limit:
        cuts.append(_last_cut(kinds, cuts[-1], cuts[-1] + limit))
    edges = [0, *begins[cuts[1:]].tolist(), len(text)]
    pieces = [text[a:b].strip() for a, b in pairwise(edges)]
    return [piece for piece in pieces if piece]


def _last_cut(kinds: Sequence[NDArray[np.int64]], begin: int, end: int) -> int:
    """The last token in (begin, end] at which the best kind of boundary lies."""
    for boundaries in kinds:
        place = int(np.searchsorted(boundaries, end, side="right")) - 1
        if place >= 0 and boundaries[place] > begin:
            return int(boundaries[place])
    return end
