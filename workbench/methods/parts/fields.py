"""Fields that methods share, in classes to derive from.

A method derives from those whose fields it has, and declares the others itself. Each lies at most
two levels above it, so all fields of a method stand in its own file and here.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.errors import ParameterError
from workbench.log.segments import discounted_returns
from workbench.log.steps import Real, Steps
from workbench.methods.base import Method, create
from workbench.parameters import parameter
from workbench.states.keys import parse_action_key, parse_state_key
from workbench.states.space import Space

Population = Literal["trajectories", "steps", "first_row"]


@dataclass(frozen=True, kw_only=True)
class OutcomeMethod(Method, ABC):
    """A method that compares a trajectory's reward with those of others.

    The fields are conventions on which code bases differ; the defaults are the right ones.
    """

    population: Population = parameter(
        "trajectories",
        "what statistics run over: trajectories; step rows; or each trajectory's first row of the "
        "source with that row's penalty",
    )
    count_copies: bool = parameter(False, "whether duplicated rows count as often as they occur")
    invalid_penalty: float = parameter(
        0.0, "taken off the score and the return of a step with an invalid action", minimum=0.0
    )


@dataclass(frozen=True, kw_only=True)
class GroupMethod(OutcomeMethod, ABC):
    """An outcome method whose others are the trajectories of the same group."""

    group_of_one: Literal["zero", "raw"] = parameter(
        "zero", "what the only member of a group gets: 0, or its reward"
    )


@dataclass(frozen=True, kw_only=True)
class Scaled(Method, ABC):
    """A method that computes in units of one success."""

    reward_scale: float | None = parameter(
        None,
        "what one success is worth; null takes the log's column, or 1",
        minimum=0.0,
        minimum_exclusive=True,
    )

    def worth(self, steps: Steps) -> Real:
        """Value of one success in each trajectory. (N,) float64."""
        if self.reward_scale is not None:
            return np.full(steps.trajectories, self.reward_scale)
        return steps.of_trajectory("reward_scale").fill_null(1.0).to_numpy()


@dataclass(frozen=True, kw_only=True)
class StepMethod(OutcomeMethod, ABC):
    """A method with a step term on discounted returns."""

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    step_weight: float = parameter(1.0, "ω, weight of the step term", minimum=0.0)
    eps: float = parameter(1e-6, "added to a deviation before dividing", minimum=0.0)

    def step_score(self, steps: Steps, scale: Real | float = 1.0) -> Real:
        """Discounted return of each step, less its penalty. (S,) float64."""
        returns = discounted_returns(steps.reward / scale, steps.step_index, self.gamma)
        return returns - self.invalid_penalty * steps.invalid_action

    def peer_weight(self, steps: Steps) -> Real:
        """Weight of each step as a peer. (S,) float64."""
        counted = steps.counted.astype(np.float64)
        return counted * steps.copies if self.count_copies else counted


@dataclass(frozen=True, kw_only=True)
class StateKeyed(Method, ABC):
    """A method that compares steps in the same state; any state key will do."""

    state_key: str = parameter(
        "exact", "key by which steps are in the same state", parse=parse_state_key
    )


@dataclass(frozen=True, kw_only=True)
class ActionKeyed(StateKeyed, ABC):
    """A method that also pools what the same action led to; any action key will do."""

    action_key: str = parameter(
        "text", "key by which steps take the same action", parse=parse_action_key
    )


@dataclass(frozen=True, kw_only=True)
class BackupMethod(OutcomeMethod, Scaled, ABC):
    """A method that backs values up: two weights, a discount, what an end is."""

    continuation: float = parameter(
        0.98, "λ, what the value of the next state is multiplied with", minimum=0.0, maximum=1.0
    )
    episode_weight: float = parameter(1.0, "w_G, weight of GRPO's term", minimum=0.0)
    step_weight: float = parameter(5.0, "w_S, weight of the step term", minimum=0.0)
    step_norm: Literal["none", "std"] = parameter(
        "std",
        "whether the step term is divided by the deviation of the values in its state, at least .1",
    )
    truncated_as: Literal["failure", "bootstrap", "exclude"] = parameter(
        "failure",
        "what a trajectory that a limit cut off came to: the end that was logged, its last state "
        "once more, or no evidence at all",
    )
    eps: float = parameter(1e-6, "added to the group's deviation in GRPO's term", minimum=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.truncated_as == "bootstrap" and self.continuation == 1.0:
            raise ParameterError(
                "truncated_as=bootstrap needs a continuation below 1: a rollout that stays in its "
                "last state for ever has no value otherwise"
            )

    def step_reward(self, steps: Steps) -> Real:
        """Rewards in units of one success, less the penalty of invalid actions. (S,) float64."""
        scaled = steps.reward / self.worth(steps)[steps.trajectory]
        return np.asarray(scaled - self.invalid_penalty * steps.invalid_action)


@dataclass(frozen=True, kw_only=True)
class Wrapper(Method, ABC):
    """A method that is made from the credit of another method."""

    of: str = parameter(
        "gigpo", "the method, or method:dialect, whose credit is taken", parse=create
    )

    def needs(self) -> Sequence[str]:
        """Inputs of the other method and of this one."""
        return tuple(dict.fromkeys((*create(self.of).needs(), *super().needs())))

    def notes(self, steps: Steps) -> Sequence[str]:
        """Notes of the other credit."""
        return create(self.of).notes(steps)

    def turn_baseline(self) -> Literal["position-baseline", "counts-own-turns"] | None:
        """That of the other method."""
        return create(self.of).turn_baseline()

    def couples_batches(self) -> bool:
        """True where the other method does."""
        return create(self.of).couples_batches()

    def couples(self, space: Space) -> bool:
        """True if the other method or this one couples groups."""
        return create(self.of).couples(space) or super().couples(space)
