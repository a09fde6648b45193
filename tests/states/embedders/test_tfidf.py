"""TF-IDF by hand, against scikit-learn, and group by group."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.states.embedders.tfidf import ProxmoTfidfEmbedder, TfidfEmbedder

WORDS = st.sampled_from(["mug", "cup", "1", "2", "door", "Table", "x9", "é"])
DOCUMENTS = st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=6, unique=True)


def encode(embedder, *groups, counts=None):
    texts = [text for group in groups for text in group]
    starts = np.cumsum([0, *map(len, groups)])
    weights = np.ones(len(texts), dtype=np.int64) if counts is None else np.array(counts)
    return embedder.encode(texts, weights, starts)


def test_tfidf_by_hand():
    # N = 3 steps ("a b" twice). df(a) = 3: idf = ln(4/4) + 1 = 1. df(b) = 2: ln(4/3) + 1.
    # df(c) = 1: ln(4/2) + 1. Row 2 holds c twice.
    rows = encode(TfidfEmbedder(), ["a b", "A c, c"], counts=[2, 1]).toarray()
    b, c = log(4 / 3) + 1, 2 * (log(2) + 1)
    first = np.array([1, b, 0]) / np.hypot(1, b)
    second = np.array([1, 0, c]) / np.hypot(1, c)
    assert rows == pytest.approx(np.stack([first, second]))


def test_one_character_tokens_count_except_in_the_reference():
    texts = ["take mug 1 from drawer 1", "take mug 2 from drawer 3"]
    own, reference = (
        (rows @ rows.T).toarray()[0, 1]
        for rows in (encode(TfidfEmbedder(), texts), encode(ProxmoTfidfEmbedder(), texts))
    )
    assert own < 0.6
    assert reference == pytest.approx(1)


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_other_groups_change_nothing(before, group, after):
    alone = encode(TfidfEmbedder(), group)
    rows = slice(len(before), len(before) + len(group))
    among = encode(TfidfEmbedder(), before, group, after)[rows]
    # The same products in the same order: not one bit differs.
    assert (among @ among.T).toarray().tobytes() == (alone @ alone.T).toarray().tobytes()
    assert among.data.tobytes() == alone.data.tobytes()


@given(DOCUMENTS.filter(lambda texts: any(len(t.replace(" ", "")) > 2 for t in texts)), st.data())
def test_the_reference_equals_scikit_learn_over_all_rows(texts, data):
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = data.draw(st.lists(st.integers(1, 3), min_size=len(texts), max_size=len(texts)))
    rows = encode(ProxmoTfidfEmbedder(), texts[:1], texts[1:], counts=counts)
    expanded = np.repeat(np.arange(len(texts)), counts)
    try:
        expected = TfidfVectorizer(max_features=1024).fit_transform([texts[i] for i in expanded])
    except ValueError:  # No word of two characters at all.
        assert rows.nnz == 0
    else:
        assert np.abs(rows[expanded] - expected).max() < 1e-12


def test_the_reference_keeps_the_1024_most_frequent_words():
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Word i occurs i + 1 times, so that no two tie at the cut.
    texts = [f"w{i:04} " * (i + 1) for i in range(1100)]
    rows = encode(ProxmoTfidfEmbedder(), texts)
    expected = TfidfVectorizer(max_features=1024).fit_transform(texts)
    assert rows.shape == expected.shape == (1100, 1024)
    assert np.abs(rows - expected).max() < 1e-12


def test_ties_at_the_cut_go_by_the_alphabet():
    # dd twice; aa, bb, cc once: of those aa is taken.
    rows = encode(ProxmoTfidfEmbedder(max_features=2), ["dd dd", "cc", "bb", "aa"])
    assert (rows.toarray() > 0).tolist() == [[False, True], [False] * 2, [False] * 2, [True, False]]


def test_a_text_without_words_is_a_zero_row():
    rows = encode(TfidfEmbedder(), ["", "…!", "word"])
    assert (rows @ rows.T).toarray().tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("embedder", [TfidfEmbedder(), ProxmoTfidfEmbedder()])
@pytest.mark.parametrize("texts", [[], ["", "!"]])
def test_an_empty_vocabulary_gives_zero_rows(embedder, texts):
    rows = encode(embedder, texts)
    assert rows.shape == (len(texts), 1)
    assert rows.nnz == 0


def test_keys_tell_settings_apart():
    embedders = [TfidfEmbedder(), ProxmoTfidfEmbedder(), ProxmoTfidfEmbedder(max_features=9)]
    assert len({embedder.key for embedder in embedders}) == 3


def test_progress_is_told_at_the_end():
    seen = []
    TfidfEmbedder().encode(
        ["a", "b"], np.ones(2, dtype=np.int64), np.array([0, 2]), lambda *at: seen.append(at)
    )
    assert seen == [("embed", 2, 2)]
