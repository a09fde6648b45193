"""Similarities between the texts of small logs, from given or random vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.log.steps import Real, Steps, Truth
from workbench.states.keys import labels
from workbench.states.peer_rows import PeerRule
from workbench.states.proximity import proximity_baselines
from workbench.states.similarity import Similarity, States


def states_of(found: Steps) -> States:
    """Distinct observations of every group: groups are adjacent, so anchor keys number them."""
    state = labels(found, found.column("observation"))
    first = np.unique(state, return_index=True)[1]
    start = np.searchsorted(found.group[first], np.arange(found.groups + 1))
    return States(state, start, found.column("observation").gather(first).to_list())


def similarity_of(found: Steps, vector: dict[str, Any]) -> Similarity:
    states = states_of(found)
    return Similarity(states, np.array([vector[text] for text in states.text], dtype=np.float64))


def random_similarity(found: Steps, rng: np.random.Generator, width: int = 3) -> Similarity:
    """Unit vectors in all directions, one in eight of them 0; equal texts have equal ones."""
    vector = {}
    for text in sorted(set(found.column("observation"))):
        drawn = rng.normal(size=width)
        vector[text] = drawn / np.linalg.norm(drawn) * (rng.random() > 1 / 8)
    return similarity_of(found, vector)


def proximity_baseline(
    similarity: Similarity,
    found: Steps,
    value: Real,
    weight: Real,
    *,
    temperature: float,
    peers: PeerRule,
) -> tuple[Real, Truth]:
    """The baselines at one temperature."""
    baselines, has_peers = proximity_baselines(
        similarity, found, value, weight, temperatures=(temperature,), peers=peers
    )
    return baselines[0], has_peers
