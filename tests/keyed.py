"""Labels of the steps of small logs under a key."""

from __future__ import annotations

import numpy as np
from logs import Described, steps

from workbench.log.steps import Index, Steps
from workbench.states.space import Space


def key(spec: str, *trajectories: list[tuple[str, str]]) -> list[int]:
    """Labels of trajectories given as (observation, action)."""
    described: Described = {
        "g": {
            f"t{number}": [(seen, act, 0.0) for seen, act in steps_]
            for number, steps_ in enumerate(trajectories)
        }
    }
    return Space(steps(described), embedder="tfidf").state_key(spec).tolist()


def states(steps: Steps, spec: str) -> list[int]:
    """The state key of every step."""
    return Space(steps, embedder="tfidf").state_key(spec).tolist()


def actions(steps: Steps, spec: str) -> list[int]:
    """The action key of every step."""
    return Space(steps, embedder="tfidf").action_key(spec).tolist()


def one(*texts: str) -> Described:
    """One trajectory that sees these texts."""
    return {"g": {"t": [(text, "x", 0.0) for text in texts]}}


def acted(*texts: str) -> Described:
    """One trajectory that acts like this."""
    return {"g": {"t": [("o", text, 0.0) for text in texts]}}


def refines(fine: Index, coarse: Index) -> bool:
    """True if steps that share a label of the first share one of the second."""
    return len(np.unique(np.stack([fine, coarse]), axis=1).T) == len(np.unique(fine))


def exact_key(steps: Steps) -> Index:
    """The key by text, character for character."""
    return Space(steps, embedder="tfidf").state_key("exact")
