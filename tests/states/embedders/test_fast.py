"""MiniLM under OpenVINO: the vectors of torch but for rounding, the same bytes every time."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from minilm import encode, needs_minilm
from narrow import some
from places import DATA

from workbench.errors import ArtefactError, MissingDependencyError, UnknownNameError
from workbench.states.embedders import fast
from workbench.states.embedders.fast import NEAREST, FastEmbedder
from workbench.states.embedders.registry import resolve
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.states.embedders.vector_cache import VectorCache

# Not imported here: the embedder decides what of it is.
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra fast is not installed"
)


@pytest.fixture(scope="module")
def embedder() -> FastEmbedder:
    return FastEmbedder("minilm")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    seen = pl.read_parquet(DATA / "household.parquet")["observation"].unique(maintain_order=True)
    return [*seen.head(60), "", "日本語", "word " * 700]


@needs_openvino
@needs_minilm
def test_every_vector_is_near_that_of_torch(embedder: FastEmbedder, texts: list[str]):
    found, torch = encode(embedder, texts), encode(SentenceEmbedder("minilm"), texts)
    assert (found * torch).sum(axis=1).min() >= NEAREST
    assert some(embedder.windows_report).longer == 1
    assert "openvino_telemetry" in sys.modules
    assert sys.modules["openvino_telemetry"] is None


@needs_openvino
@needs_minilm
def test_a_vector_does_not_change_with_its_batch(embedder: FastEmbedder, texts: list[str]):
    whole = encode(embedder, texts)
    some = [5, 17, 62]
    assert np.array_equal(encode(embedder, [texts[n] for n in some]), whole[some])


@needs_openvino
@needs_minilm
def test_cached_vectors_need_no_model(
    embedder: FastEmbedder, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cached = resolve("fast:all-MiniLM-L6-v2", VectorCache(tmp_path))
    assert cached.key == embedder.key != SentenceEmbedder("minilm").key
    first = encode(cached, texts[:9])
    monkeypatch.setattr(FastEmbedder, "_model", property(lambda self: pytest.fail("loaded")))
    again = resolve("fast:all-MiniLM-L6-v2", VectorCache(tmp_path))
    assert np.array_equal(encode(again, texts[:9]), first)


@needs_openvino
@needs_minilm
def test_vectors_that_are_not_those_of_torch_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast, "NEAREST", 1.1)
    with pytest.raises(ArtefactError, match=r"below 1\.1\. Hint: take the embedder all-MiniLM"):
        encode(FastEmbedder("minilm"), ["a text"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"trajectory-workbench\[fast\]"):
        _ = FastEmbedder("minilm").key
    with pytest.raises(UnknownNameError, match="did you mean 'minilm'"):
        resolve("fast:minilmm")
