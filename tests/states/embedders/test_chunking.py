"""Long texts in windows, and their vectors pooled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.states.embedders import chunking
from workbench.states.embedders.chunking import cut_texts, pool


class WordTokenizer:
    """A fast tokenizer in miniature: words of letters, four letters a token."""

    def __call__(self, texts: list[str], *, return_offsets_mapping: bool, **_: Any) -> Any:
        import re

        words = [[m.span() for m in re.finditer(r"\w+|[^\w\s]", text)] for text in texts]
        spans = [
            [
                (a, min(a + 4, end), word)
                for word, (begin, end) in enumerate(row)
                for a in range(begin, end, 4)
            ]
            for row in words
        ]

        class Encoding(dict):
            def word_ids(self, row: int) -> list[int]:
                return [word for _, _, word in spans[row]]

        encoding = Encoding(input_ids=[[0] * len(row) for row in spans])
        if return_offsets_mapping:
            encoding["offset_mapping"] = [[(a, b) for a, b, _ in row] for row in spans]
        return encoding


def test_cuts_fall_on_space_then_between_words_then_inside_a_word():
    # Windows of 2 tokens: "aa bb" | "cc"; no space: "a-" | "b-" | "c"; 12 letters: 3 tokens.
    texts = ["aa bb cc", "a-b-c", "abcdefghijkl", "aa", ""]
    cut = cut_texts(texts, WordTokenizer(), 2)
    assert [windows.texts for windows in cut] == [
        ("aa bb", "cc"),
        ("a-", "b-", "c"),
        ("abcdefgh", "ijkl"),
        ("aa",),
        ("",),
    ]
    assert [windows.tokens for windows in cut] == [(2, 1), (2, 2, 1), (2, 1), (1,), (0,)]


@given(st.text(alphabet="ab-. \n日", max_size=60), st.integers(1, 5))
def test_windows_leave_nothing_out(text, limit):
    (windows,) = cut_texts([text], WordTokenizer(), limit)
    assert "".join("".join(windows.texts).split()) == "".join(text.split())
    assert max(windows.tokens) <= limit


def test_pooling_weighs_windows_by_their_tokens():
    # 3·(1, 0) + 4·(0, 1) = (3, 4), of length 5.
    vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert pool(vectors, [3, 4]).tolist() == pytest.approx([0.6, 0.8])
    assert pool(np.array([[1], [-1]], dtype=np.float32), [1, 1]).tolist() == [0]


def test_token_lists_of_about_so_many_characters_are_held_at_once(monkeypatch):
    asked = []

    class Watched(WordTokenizer):
        def __call__(self, texts, **options):
            asked.append(texts)
            return super().__call__(texts, **options)

    monkeypatch.setattr(chunking, "_CHARACTERS_AT_ONCE", 10)
    texts = ["abcde", "fghij", "k", "l" * 20, "m"]
    # 5 + 5 reach 10; 1 + 20 pass it.
    parts = [["abcde", "fghij"], ["k", "l" * 20], ["m"]]
    assert [one.texts for one in cut_texts(texts, Watched(), 8)] == [(text,) for text in texts]
    assert asked == parts
