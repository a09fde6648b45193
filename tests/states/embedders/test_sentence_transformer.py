"""Vectors of a sentence-transformers model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minilm import encode, needs_minilm
from narrow import some

from workbench.errors import ArtefactError, ParameterError
from workbench.states.embedders.chunking import cut_texts
from workbench.states.embedders.model_files import _packaged_minilm
from workbench.states.embedders.registry import resolve
from workbench.states.embedders.sentence_transformer import SentenceEmbedder, _batches
from workbench.states.embedders.vector_cache import VectorCache

PLACES = ["kitchen", "garden", "hall", "cellar"]
TEXTS = [f"You are in the {place} with {n} mugs" for place in PLACES for n in (1, 2, 3)]
TEXTS += ["look", "go north", "A much longer text about a mug: " + "and so on, " * 9]


@pytest.fixture(scope="session")
def loaded() -> Any:
    """The real model, loaded once."""
    return SentenceEmbedder()._model


@pytest.fixture
def minilm(loaded: Any) -> Any:
    """Makes embedders that share the loaded model and count the texts that they encode."""

    def make(cache: VectorCache | None = None, **keywords: Any) -> SentenceEmbedder:
        embedder = SentenceEmbedder(cache=cache, **keywords)
        embedder.__dict__["_model"] = loaded
        encoded: list[str] = []
        forward = embedder._forward

        def counted(batch: list[str]) -> Any:
            encoded.extend(batch)
            return forward(batch)

        embedder.__dict__ |= {"encoded": encoded, "_forward": counted}
        return embedder

    return make


@needs_minilm
def test_a_long_text_is_pooled_from_its_windows(minilm):
    sentences = ["the kettle is on the stove", "a dog sleeps in the garden", "rain falls at night"]
    long = " and ".join(sentences * 40)
    embedder = minilm()
    pooled = encode(embedder, ["short", long])[1]
    (windows,) = cut_texts([long], embedder._model.tokenizer, 254)
    assert len(windows.texts) == 3
    assert str(embedder.windows_report) == (
        "1 of 2 texts exceed the model's window of 256 tokens and were pooled from 3 windows"
    )
    vectors = encode(minilm(), windows.texts)
    by_hand = sum(n * v for n, v in zip(windows.tokens, vectors, strict=True))
    assert pooled == pytest.approx(by_hand / np.linalg.norm(by_hand), abs=1e-7)


@needs_minilm
def test_vectors_are_those_of_the_model(minilm, loaded):
    vectors = encode(minilm(), TEXTS)
    assert vectors.dtype == np.float64
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    reference = loaded.encode(TEXTS, show_progress_bar=False, normalize_embeddings=True)
    assert np.abs(vectors - reference).max() < 1e-6


@needs_minilm
def test_a_vector_does_not_change_with_its_batch_or_the_number_of_threads(minilm):
    import torch

    order = np.random.default_rng(0).permutation(len(TEXTS))
    threads = torch.get_num_threads()
    together = encode(minilm(), TEXTS)
    assert torch.get_num_threads() == threads
    shuffled = encode(minilm(), [TEXTS[row] for row in order])
    assert shuffled.tobytes() == together[order].tobytes()
    alone = np.concatenate([encode(minilm(), [text]) for text in TEXTS])
    assert alone.tobytes() == together.tobytes()
    try:
        torch.set_num_threads(1)
        assert encode(minilm(), TEXTS).tobytes() == together.tobytes()
    finally:
        torch.set_num_threads(threads)


@needs_minilm
def test_paraphrases_are_nearer_than_unrelated_texts(minilm):
    vectors = encode(
        minilm(),
        [
            "The mug is on the kitchen table.",
            "There is a cup on top of the table in the kitchen.",
            "Quarterly revenue fell by nine percent.",
        ],
    )
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.7
    assert similarity[0, 2] < 0.2


@needs_minilm
def test_odd_texts_work(minilm):
    texts = ["", "   ", "日本語のテキスト", "x" * 100_000, "a,b;" * 3000, "same words " * 20_000]
    embedder = minilm()
    vectors = encode(embedder, texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    # Repeated windows are encoded once.
    assert len(embedder.encoded) < 30
    assert embedder.windows_report.longer == 2


@needs_minilm
def test_segments_and_repeated_texts_share_one_encoding(minilm):
    embedder = minilm()
    texts = ["look", "go north", "look"]
    vectors = embedder.encode(texts, np.array([1, 5, 2]), np.array([0, 2, 3]))
    assert sorted(embedder.encoded) == ["go north", "look"]
    assert vectors[0].tobytes() == vectors[2].tobytes()
    assert encode(embedder, []).shape[0] == 0


@needs_minilm
def test_what_is_cached_is_not_encoded_again(minilm, tmp_path):
    cache = VectorCache(tmp_path)
    long = "word " * 600
    first = minilm(cache)
    vectors = encode(first, [*TEXTS[:6], long])
    second = minilm(cache)
    assert encode(second, [*TEXTS[:6], long]).tobytes() == vectors.tobytes()
    assert second.encoded == []
    assert second.windows_report == first.windows_report

    # A log that shares half of its texts gets the same bytes for them.
    overlapping = minilm(cache)
    both = encode(overlapping, TEXTS[3:9])
    assert sorted(overlapping.encoded) == sorted(TEXTS[6:9])
    assert both.tobytes() == encode(minilm(), TEXTS[3:9]).tobytes()


@needs_minilm
def test_cached_vectors_need_no_model(minilm, tmp_path):
    vectors = encode(minilm(VectorCache(tmp_path)), TEXTS[:2])
    bare = SentenceEmbedder("minilm", VectorCache(tmp_path))
    assert encode(bare, TEXTS[:2]).tobytes() == vectors.tobytes()
    assert "_model" not in vars(bare)


@needs_minilm
def test_an_interrupted_encoding_goes_on_where_it_was(minilm, tmp_path):
    texts = [*TEXTS, "word " * 600]
    undisturbed = encode(minilm(), texts)

    def interrupt(stage: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    cache = VectorCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        encode(minilm(cache, flush_seconds=0), texts, progress=interrupt)
    kept = sum(len(np.load(shard)) for shard in (tmp_path / minilm().key).iterdir())
    assert 0 < kept < len(texts)

    seen: list[tuple[str, int, int]] = []
    resumed = minilm(cache)
    vectors = encode(resumed, texts, progress=lambda *at: seen.append(at))
    assert vectors.tobytes() == undisturbed.tobytes()
    assert 0 < len(resumed.encoded) < len(texts)
    count = len(resumed.encoded)
    assert (seen[1], seen[-1]) == (("embed", 0, count), ("embed", count, count))


@needs_minilm
@pytest.mark.parametrize(("seconds", "files"), [(0, 2), (3600, 1)])
def test_vectors_are_kept_as_often_as_asked_and_at_the_end(minilm, tmp_path, seconds, files):
    # A short and a long text are two batches.
    encode(minilm(VectorCache(tmp_path), flush_seconds=seconds), ["short", "word " * 60])
    assert len(list((tmp_path / minilm().key).iterdir())) == files


@needs_minilm
def test_the_window_enters_the_key_and_is_checked(minilm):
    assert minilm(window=32).key != minilm().key
    embedder = minilm(window=32)
    encode(embedder, ["word " * 100])
    # 30 words per window beside the two special tokens.
    assert (embedder.windows_report.windows, embedder.windows_report.limit) == (4, 32)
    with pytest.raises(ParameterError, match="at most the model's 256"):
        encode(SentenceEmbedder(window=1000), ["x"])
    with pytest.raises(ParameterError, match="1 or more tokens"):
        encode(minilm(window=2), ["x"])


def test_counts_and_starts_must_fit_the_texts():
    embedder = resolve("tfidf")
    for counts, starts in [([1], [0, 2]), ([1, -1], [0, 2]), ([1, 1], [0, 1]), ([1, 1], [1, 2]),
                           ([1, 1], []), ([1, 1], [0, 2, 1, 2])]:  # fmt: skip
        with pytest.raises(ParameterError, match="must"):
            embedder.encode(["a", "b"], np.array(counts), np.array(starts))


@needs_minilm
def test_a_model_is_loaded_as_data_alone(monkeypatch):
    import sentence_transformers

    asked: dict[str, Any] = {}

    def model(folder: str, **options: Any) -> Any:
        asked.update(options, name=Path(folder).name)
        raise OSError("seen")

    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", model)
    with pytest.raises(ArtefactError, match="can load: OSError: seen"):
        encode(SentenceEmbedder(), ["x"])
    assert asked == {
        "name": some(_packaged_minilm()).name,
        "device": "cpu",
        "local_files_only": True,
        "trust_remote_code": False,
        "model_kwargs": {"use_safetensors": True},
    }


def test_a_batch_has_at_most_16_texts_and_1024_tokens_all_of_equal_length():
    of_length = {2000: 2, 400: 5, 8: 20}
    tokens = {f"{size} {k:02}": size for size, count in of_length.items() for k in range(count)}
    found = [(tokens[batch[0]], len(batch)) for batch in _batches(tokens)]
    # 1024 tokens are two texts of 400; one that is longer is alone.
    assert found == [(2000, 1), (2000, 1), (400, 2), (400, 2), (400, 1), (8, 16), (8, 4)]
    assert [text for batch in _batches(tokens) for text in batch] == sorted(
        tokens, key=lambda text: (-tokens[text], text)
    )
