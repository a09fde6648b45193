"""The graph of a log's transitions under exact states and actions."""

from __future__ import annotations

from typing import Any

from workbench.log.steps import Steps
from workbench.methods.parts.transitions import Transitions, transitions
from workbench.states.space import Space


def graph_of(of: Steps, **params: Any) -> Transitions:
    """The transitions of steps, paid by their own rewards."""
    space = Space(of, embedder="tfidf")
    return transitions(of, space.state_key(), space.action_key(), reward=of.reward, **params)
