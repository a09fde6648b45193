"""Which threshold: state keys by similarity as something that held-out rollouts can choose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from workbench.errors import ParameterError
from workbench.estimators import Estimator, create
from workbench.keys import parse_state_key
from workbench.keys.similar import Similar
from workbench.keys.text import Exact
from workbench.prediction import mean_of_others, peer_weight
from workbench.returns import discounted_returns
from workbench.space import Space
from workbench.steps import Real, Steps

THRESHOLDS = (*(round(0.05 * k, 2) for k in range(2, 20)), 0.97, 0.98, 0.99)
EXACT = 1.0
"""The value that stands for exact keys: with a rising threshold clusters end in them."""


@dataclass(frozen=True, kw_only=True)
class KeyThreshold:
    """The threshold of the state key by similarity that a method runs with.

    The baseline of a step is the mean return of the steps in its cluster, of the group's other
    trajectories; where no other trajectory was in it, the plain mean of the others. It is the same
    for every method: what a threshold must get right is which states are worth the same. Methods
    that back values up are no exception, since their own V of a cluster mixes it with what the
    threshold makes of all later ones.

    Clusters are those of the whole group. Texts hold no returns, so the trajectory held out may
    take part in them.

    Args:
        method: The method, with any state key.
        key: The key by similarity; its threshold is what is left open.
    """

    method: Estimator
    key: Similar

    tunable: ClassVar[str] = "state_key"
    tunable_symbol: ClassVar[str] = "threshold"
    finest: ClassVar[str] = "exact keys"

    @classmethod
    def of(cls, method: Estimator) -> KeyThreshold:
        """The threshold of a method's state key; of the key's defaults where that is exact.

        Raises:
            ParameterError: The method takes no state key, or has one without a threshold.
        """
        spec = getattr(method, cls.tunable)
        key = parse_state_key(spec)
        if isinstance(key, Exact):
            key = Similar()
        if not isinstance(key, Similar):
            raise ParameterError(
                f"state_key={spec} has no threshold that can be tuned. Hint: -p state_key=similar"
            )
        return cls(method=method, key=key)

    def candidates(self, space: Space) -> Sequence[float]:
        """Thresholds to try, and `EXACT`."""
        return (*THRESHOLDS, EXACT)

    def setting(self, value: float) -> str:
        """The state key of a threshold."""
        if value == EXACT:
            return Exact().spec
        return dataclasses.replace(self.key, threshold=value).spec

    def peer_weight(self, steps: Steps) -> Real:
        """How often each step counts as a peer. (S,) float64."""
        return peer_weight(self.method, steps)

    def target(self, steps: Steps) -> Real:
        """Return of each step from the logged rewards, discounted as the method does. (S,)."""
        return discounted_returns(steps.reward, steps.step_index, _discount(self.method))

    def held_out_baselines(
        self, steps: Steps, space: Space, score: Real, weight: Real, values: Sequence[float]
    ) -> Iterator[tuple[int, Real]]:
        """The mean of each cluster over the other trajectories, at each threshold."""
        for k, value in enumerate(values):
            state = space.state_key(self.setting(value))
            yield k, mean_of_others(steps, score, weight, state)


def _discount(method: Any) -> float:
    """λ or γ of a method, or of the one it is made from; 1 where neither discounts."""
    for name in ("continuation", "gamma"):
        if hasattr(method, name):
            return float(getattr(method, name))
    return _discount(create(method.of)) if hasattr(method, "of") else 1.0
