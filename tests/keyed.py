"""Labels of the steps of small logs under a key."""

from __future__ import annotations

from logs import Described, steps

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
