"""Tuning the similarity threshold of a state key on held-out rollouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from workbench.analysis.prediction import mean_of_others, peer_weight
from workbench.errors import ParameterError
from workbench.log.segments import discounted_returns
from workbench.log.steps import Index, Real, Steps
from workbench.methods import Method
from workbench.methods.capabilities import discount
from workbench.methods.parts.fields import BackupMethod
from workbench.methods.parts.transitions import transitions
from workbench.states.keys import parse_state_key
from workbench.states.keys.similar import Similar
from workbench.states.keys.text import Exact
from workbench.states.space import Space

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
EXACT = 1.0
"""The value that stands for exact keys: with a rising threshold clusters end in them."""


@dataclass(frozen=True, kw_only=True)
class KeyThreshold:
    """The threshold of the state key by similarity that a method runs with.

    The baseline of a step is what its cluster says without its trajectory:

        mean of G over the steps that other trajectories of the group have in the cluster
        (n · V + plain) / (n + 1)         for a method that backs values up, n those steps

    V is closed over the transitions of the other trajectories, whatever the method's depth. Where
    no other trajectory was in the cluster, both are the plain mean of the others. That mean counts
    as one more step besides V: V of a rarely met state predicts a single return worse than the
    plain mean does, and keys under which no two steps meet would win by falling back to it (found
    on three simulated households and helpdesks that `workbench bench tuning` does not draw). A mean
    of G is taken as it is, as the methods take it that have one for a baseline. It also stands in
    for what others compare inside a state, such as `graphgpo`'s hops.

    Clusters are those of the whole group. Texts hold no returns, so the trajectory held out may
    take part in them.

    Args:
        method: The method, with any state key.
        key: The key by similarity; its threshold is what is left open.
    """

    method: Method
    key: Similar

    tunable: ClassVar[str] = "state_key"
    tunable_symbol: ClassVar[str] = "threshold"
    finest: ClassVar[str] = "exact keys"

    @classmethod
    def of(cls, method: Method) -> KeyThreshold:
        """The threshold of a method's state key; of the key's defaults where that is exact.

        Raises:
            ParameterError: The method takes no state key, or has one without a threshold.
        """
        spec = str(method.values.get(cls.tunable))
        key = parse_state_key(spec)
        if isinstance(key, Exact):
            key = Similar()
        if not isinstance(key, Similar):
            raise ParameterError(
                f"state_key={spec} has no threshold that can be tuned. Hint: -p state_key=similar"
            )
        return cls(method=method, key=key)

    @property
    def present(self) -> float:
        """The threshold that the method runs with; `EXACT` for exact keys."""
        exact = isinstance(parse_state_key(str(self.method.values[self.tunable])), Exact)
        return EXACT if exact else self.key.threshold

    def candidates(self, space: Space) -> Sequence[float]:
        """Thresholds to try, and `EXACT`."""
        return (*THRESHOLDS, EXACT)

    def setting(self, value: float) -> str:
        """The state key of a threshold."""
        if value == EXACT:
            return Exact().spec
        return replace(self.key, threshold=value).spec

    def peer_weight(self, steps: Steps) -> Real:
        """Weight of each step as a peer. (S,) float64."""
        return peer_weight(self.method, steps)

    def target(self, steps: Steps) -> Real:
        """Return of each step, discounted as the method does. (S,) float64."""
        paid = steps.reward
        if isinstance(self.method, BackupMethod):
            paid = self.method.step_reward(steps)
        return discounted_returns(paid, steps.step_index, discount(self.method))

    def held_out_baselines(
        self, steps: Steps, space: Space, score: Real, weight: Real, values: Sequence[float]
    ) -> Iterator[tuple[int, Real]]:
        """Cluster baselines from the other trajectories, at each threshold."""
        backed_up = isinstance(self.method, BackupMethod)
        for k, value in enumerate(values):
            state = space.state_key(self.setting(value))
            if backed_up:
                yield k, self._values(steps, state, score, weight)
            else:
                yield k, mean_of_others(steps, score, weight, state)

    def _values(self, steps: Steps, state: Index, score: Real, weight: Real) -> Real:
        """V of each step's cluster without its trajectory, and the plain mean as one more step."""
        assert isinstance(self.method, BackupMethod)
        graph = transitions(
            steps,
            state,
            state,
            reward=self.method.step_reward(steps),
            truncated_as=self.method.truncated_as,
        )
        centre = self.target(steps) - score
        value, evidence = np.zeros(len(steps)), np.zeros(len(steps))
        first = np.searchsorted(steps.trajectory_group, steps.group)
        number = steps.trajectory - first
        # The first trajectories of all groups are held out together, then the second ones, …
        for gone in range(int(number.max()) + 1):
            own = number == gone
            others = replace(graph, weight=np.where(own, 0.0, graph.weight))
            value[own] = others.values(self.method.continuation)[state[own]]
            evidence[own] = others.visits[state[own]]
        plain = mean_of_others(steps, score, weight)
        return (evidence * (value - centre) + plain) / (evidence + 1.0)
