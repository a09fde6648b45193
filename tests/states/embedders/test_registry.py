"""The lookup of embedders."""

from __future__ import annotations

import pytest

from workbench.errors import ParameterError
from workbench.states.embedders.registry import DEFAULT_EMBEDDER, resolve
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.states.embedders.tfidf import ProxmoTfidfEmbedder, TfidfEmbedder


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


def test_the_key_of_minilm_is_that_of_the_vectors_on_disk():
    # Another key would leave all that was encoded unused; it needs no file of the model.
    assert SentenceEmbedder().key == "sentence-96e917741b70da65fcc1074c19b07829"
