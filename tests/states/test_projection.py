"""Where steps are on a map of states."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from logs import Described, steps

from workbench.errors import MissingDependencyError, UnknownNameError
from workbench.states import projection
from workbench.states.projection import SIDE, has_umap, places
from workbench.states.space import Space
from workbench.workspace.artefacts import Artefacts

ROOMS = ("kitchen stove", "garden tree", "hall mirror", "attic trunk", "cellar wine", "bath tub")


def space(described: Described | None = None) -> Space:
    given = described or {
        "g": {
            f"t{number}": [(f"the {room} {room}", "go", float(number == 0)) for room in ROOMS]
            for number in range(3)
        }
    }
    return Space(steps(given), embedder="tfidf")


def test_the_same_log_lies_at_the_same_places_inside_the_square():
    found = places(space())
    assert found.shape == (18, 2)
    assert found.dtype == np.uint16
    assert found.max() < SIDE
    assert np.array_equal(found, places(space()))


def test_steps_of_one_state_lie_round_it_and_apart():
    found = places(space()).astype(float).reshape(3, len(ROOMS), 2)
    # Steps of a state are 16, 16·√2 units from its first; states are far from each other.
    apart = np.linalg.norm(found - found[:1], axis=2)
    assert apart[1] == pytest.approx(16.0, abs=1.0)
    assert apart[2] == pytest.approx(16.0 * np.sqrt(2), abs=1.0)
    # A sunflower's: each is 137.5 degrees, π(3 - √5), further round than the one before.
    for rank in (1, 2):
        angle = np.arctan2(*(found[rank] - found[0])[:, ::-1].T)
        off = (np.degrees(angle) - 137.5 * rank + 180) % 360 - 180
        assert np.abs(off).max() < 4.0
    centres = found[0]
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    assert between[~np.eye(len(ROOMS), dtype=bool)].min() > 60


def test_one_state_is_in_the_middle():
    one = space({"g": {"a": [("x", "p", 1.0)], "b": [("x", "q", 0.0)]}})
    assert places(one)[0].tolist() == [SIDE / 2, SIDE / 2]


def test_a_projection_is_kept_and_found_again(tmp_path):
    made = []
    where = space()

    def store(build):
        def counted():
            made.append(1)
            return build()

        return Artefacts(tmp_path).projection("pca", where, counted)

    first, second = places(where, store=store), places(where, store=store)
    assert np.array_equal(first, second)
    assert made == [1]


def test_kinds_that_do_not_exist_or_are_not_installed_are_refused():
    with pytest.raises(UnknownNameError, match="projection"):
        places(space(), "tsne")
    if not has_umap():
        with pytest.raises(MissingDependencyError, match="map"):
            places(space(), "umap")


@pytest.mark.skipif(not has_umap(), reason="the extra map is not installed")
@pytest.mark.filterwarnings("ignore:Tensorflow not installed")
def test_umap_gives_the_same_places_again():
    assert np.array_equal(places(space(), "umap"), places(space(), "umap"))


@pytest.mark.parametrize(("states", "few", "start"), [(6, 5, "random"), (70, 15, "spectral")])
def test_umap_compares_with_its_fifteen_nearest_or_all_others(
    monkeypatch: pytest.MonkeyPatch, states: int, few: int, start: str
):
    asked: dict[str, Any] = {}

    class Umap:
        def __init__(self, **options: Any) -> None:
            asked.update(options)

        def fit_transform(self, vectors: Any) -> Any:
            return np.arange(2.0 * vectors.shape[0]).reshape(-1, 2)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    monkeypatch.setattr(projection, "has_umap", lambda: True)
    texts = [(f"the {number} room{number}", "go", float(number == 0)) for number in range(states)]
    places(space({"g": {"a": texts, "b": texts}}), "umap")
    assert asked == {
        "n_neighbors": few,
        "init": start,
        "metric": "cosine",
        "random_state": 0,
        "n_jobs": 1,
    }
