"""Vectors kept on disk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import ArtefactError
from workbench.states.embedders.vector_cache import Entry, VectorCache, text_hash


def entry(*values: float, windows: int = 1) -> Entry:
    return Entry(np.array(values, dtype=np.float32), windows)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=5), min_size=1, max_size=5, unique=True))
def test_a_cache_gives_back_what_it_was_given(tmp_path_factory, texts):
    cache = VectorCache(tmp_path_factory.mktemp("cache"))
    entries = {text_hash(text): entry(i, -i, windows=i + 1) for i, text in enumerate(texts)}
    for one in entries.items():
        cache.append("k", dict([one]))
    found = cache.load("k", [*entries, text_hash("never stored")])
    assert found.keys() == entries.keys()
    for key, (vector, windows) in entries.items():
        assert found[key].vector.tolist() == vector.tolist()
        assert found[key].windows == windows
    first = next(iter(entries))
    assert cache.load("k", [first]).keys() == {first}
    assert cache.load("other", entries) == {}


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
        cache.load("k", [])
    assert shard.read_bytes() == content
