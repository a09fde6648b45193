"""Credits that only a simulator can give: against the true value of the policy in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.bench.episodes import Episode, play_on
from workbench.bench.policies import Policy
from workbench.log.segments import discounted_returns, td_errors
from workbench.log.steps import Index, Real
from workbench.simulate import Task

SAMPLES = 8
"""Continuations of each history, over which its value is a mean."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Rewards and true values of the steps of some episodes.

    Args:
        reward: Of each step. (S,)
        index: Place of each step in its episode. (S,)
        value: V of each step's history under the policy that goes on from it. (S,)
        gamma: Discount of the values.
    """

    reward: Real
    index: Index
    value: Real
    gamma: float

    @property
    def advantage(self) -> Real:
        """r_t + γ V_{t+1} − V_t. (S,)."""
        return td_errors(self.reward, self.value, self.index, self.gamma)

    @property
    def beyond_value(self) -> Real:
        """Discounted return less V. (S,)."""
        return discounted_returns(self.reward, self.index, self.gamma) - self.value


ORACLES: Mapping[str, Callable[[Truth], Real]] = {
    "oracle-advantage": lambda truth: truth.advantage,
    "oracle-value": lambda truth: truth.beyond_value,
}
"""Name in the tables -> credit."""


def truth_of(
    tasks: Sequence[Task],
    episodes: Sequence[Episode],
    policy: Policy,
    *,
    horizon: int,
    gamma: float,
    seed: Sequence[int],
    samples: int = SAMPLES,
) -> Truth:
    """The values of a policy at every step of episodes, by playing on from what it had read.

    The value is that of the history, which the policy reads, and not of the latent state alone: the
    wording of what came before decides what it does next.

        V_t = mean over fresh continuations of Σ_k γ^k r_{t+k}        standard error ∝ 1/√samples

    Args:
        tasks: The tasks of the episodes.
        episodes: Finished ones.
        policy: Who goes on.
        horizon: Steps after which an episode is cut off.
        gamma: Discount per step.
        seed: Of all randomness.
        samples: Continuations of each step.
    """
    places = [(each, t) for each in episodes for t in range(len(each.rewards))]
    total = len(places) * samples
    begun = [each.until(t) for each, t in places for _ in range(samples)]
    left = np.repeat([horizon - t for _, t in places], samples)
    rng = np.random.default_rng([*seed, 0])
    words = np.random.default_rng([*seed, 1])
    play_on(
        begun,
        tasks,
        policy,
        left=left,
        moves=rng.random((horizon, 2, total)),
        words=[words] * total,
    )
    paid = [np.array(each.rewards) for each in begun]
    value = np.array([rewards @ gamma ** np.arange(len(rewards)) for rewards in paid])
    return Truth(
        reward=np.array([reward for each in episodes for reward in each.rewards]),
        index=np.array([t for _, t in places]),
        value=value.reshape(len(places), samples).mean(axis=1),
        gamma=gamma,
    )
