"""Clusters by similarity: what the thresholds and linkages promise."""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, steps

from workbench.log.steps import Index, Real
from workbench.states.keys import similar
from workbench.states.keys.similar import Linkage, clusters
from workbench.states.similarity import Similarity, States
from workbench.states.space import Space


def angles(*degrees: float, texts: str = "abcdefgh") -> Similarity:
    """One group whose states point at these angles of the plane."""
    radians = np.radians(degrees)
    count = len(degrees)
    states = States(np.arange(count), np.array([0, count]), list(texts[:count]))
    return Similarity(states, np.stack([np.cos(radians), np.sin(radians)], axis=1))


def cosine(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def partition(cluster: Index) -> list[int]:
    numbers: dict[int, int] = {}
    return [numbers.setdefault(one, len(numbers)) for one in cluster.tolist()]


def test_connected_follows_chains_and_complete_does_not():
    # 0, 10 and 20 degrees apart: neighbours reach the threshold of 12 degrees, the ends do not.
    chain = angles(0, 10, 20, 90)
    assert partition(clusters(chain, cosine(12), "connected")) == [0, 0, 0, 1]
    assert partition(clusters(chain, cosine(12), "complete")) == [0, 0, 1, 2]
    assert partition(clusters(chain, cosine(20), "complete")) == [0, 0, 0, 1]


def test_a_similarity_at_the_threshold_reaches_it():
    for how in ("connected", "complete"):
        assert partition(clusters(angles(0, 30), cosine(30), how)) == [0, 0]


def test_equal_distances_are_broken_by_text_whatever_the_order():
    # 0, 10, 20: the middle is as near to both ends; with "a" at 0 it joins that one.
    there = clusters(angles(0, 10, 20, texts="abc"), cosine(12), "complete")
    back = clusters(angles(20, 10, 0, texts="cba"), cosine(12), "complete")
    assert partition(there) == [0, 0, 1]
    assert partition(back) == [0, 1, 1]


def test_a_text_without_words_is_alone():
    states = States(np.arange(3), np.array([0, 3]), ["", "a", "a b"])
    vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    for how in ("connected", "complete"):
        assert partition(clusters(Similarity(states, vectors), 0.5, how)) == [0, 1, 1]


@st.composite
def similarities(draw: st.DrawFn) -> tuple[Similarity, Real]:
    size = draw(st.integers(1, 9))
    # Quarter turns of the plane and angles between: many ties.
    degrees = draw(st.lists(st.integers(0, 12), min_size=size, max_size=size))
    return angles(*(10.0 * step for step in degrees), texts="abcdefghij"), np.array(degrees)


@settings(deadline=None, max_examples=60)
@given(
    similarities(), st.integers(0, 9), st.integers(0, 4), st.sampled_from(["connected", "complete"])
)
def test_a_higher_threshold_refines_a_lower_one(
    made: tuple[Similarity, Real], wide: int, less: int, how: Linkage
):
    similarity, _ = made
    low, high = cosine(10 * wide), cosine(max(0, 10 * (wide - less)))
    coarse, fine = clusters(similarity, low, how), clusters(similarity, high, how)
    assert len({*zip(fine, coarse, strict=True)}) == len({*fine})


@settings(deadline=None, max_examples=60)
@given(similarities(), st.integers(0, 9), st.sampled_from(["connected", "complete"]))
def test_clusters_are_what_they_promise(made: tuple[Similarity, Real], wide: int, how: Linkage):
    similarity, degrees = made
    cluster = clusters(similarity, cosine(10 * wide), how)
    together = cluster[:, None] == cluster
    near = np.abs(degrees[:, None] - degrees) <= wide
    if how == "complete":
        assert near[together].all()
    else:
        # The transitive closure of nearness, by brute force.
        for _ in degrees:
            near = near @ near
        assert np.array_equal(near, together)


@settings(deadline=None, max_examples=40)
@given(similarities(), st.integers(0, 9), st.sampled_from(["connected", "complete"]), st.data())
def test_the_order_of_the_states_does_not_matter(
    made: tuple[Similarity, Real], wide: int, how: Linkage, data: st.DataObject
):
    similarity, degrees = made
    order = np.array(data.draw(st.permutations(range(len(degrees)))))
    texts = "".join(similarity.states.text[place] for place in order)
    moved = angles(*(10.0 * degrees[order]), texts=texts)
    found = clusters(similarity, cosine(10 * wide), how)
    assert partition(clusters(moved, cosine(10 * wide), how)) == partition(found[order])


def test_links_found_in_chunks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    many = angles(*rng.uniform(0, 360, 60), texts="x" * 60)
    whole = clusters(many, cosine(3), "connected")
    monkeypatch.setattr(similar, "CHUNK", 200)
    assert partition(clusters(many, cosine(3), "connected")) == partition(whole)
    assert 5 < len({*whole.tolist()}) < 60


TEXTS: Described = {
    "g": {
        "t0": [("open the red door", "press 1", 0.0), ("open the blue door", "press 2", 0.0)],
        "t1": [("sit down", "wait", 0.0)],
    }
}


def test_the_key_takes_the_spaces_embedder_or_its_own():
    space = Space(steps(TEXTS), embedder="tfidf")
    assert space.state_key("similar:threshold=0.3").tolist() == [0, 0, 1]
    assert space.state_key("similar:threshold=0.99").tolist() == [0, 1, 2]
    own = space.state_key("similar:threshold=0.3,embedder=tfidf-proxmo")
    assert own.tolist() == [0, 0, 1]
    assert space.action_key("similar:threshold=0.3").tolist() == [0, 0, 1]


def brute_first_fit(texts: list[str], threshold: float) -> list[int]:
    founders: list[str] = []
    found = []
    for text in texts:
        near = [SequenceMatcher(None, text, founder).ratio() >= threshold for founder in founders]
        if not any(near):
            founders.append(text)
        found.append(near.index(True) if any(near) else len(founders) - 1)
    return found


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.text("ab12", min_size=0, max_size=7), min_size=1, max_size=9),
    st.sampled_from([0.3, 0.5, 0.8, 0.95]),
)
def test_first_fit_is_the_originals_loop_over_rows(texts: list[str], threshold: float):
    found = steps({"g": {"t": [(text, "x", 0.0) for text in texts]}})
    key = Space(found, embedder="tfidf").state_key(f"first-fit:threshold={threshold}")
    assert partition(key) == partition(np.array(brute_first_fit(texts, threshold)))


def test_first_fit_follows_the_rows_of_the_source():
    # aab is near to aaa and to abb (ratio 2/3); aaa is not near to abb (1/3).
    described: Described = {"g": {"t": [("aaa", "x", 0.0), ("aab", "x", 0.0), ("abb", "x", 0.0)]}}
    key = "first-fit:threshold=0.6"
    assert Space(steps(described), embedder="tfidf").state_key(key).tolist() == [0, 0, 1]
    backwards = steps(described, source_row=[2, 1, 0])
    assert Space(backwards, embedder="tfidf").state_key(key).tolist() == [0, 1, 1]
