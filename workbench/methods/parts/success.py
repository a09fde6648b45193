"""Success of trajectories, success rates of groups, and ProxMO's weights of them."""

from __future__ import annotations

import numpy as np

from workbench.log.segments import segment_mean
from workbench.log.steps import Real, Steps, Truth

_NEAR = 1e-9  # a reward this close to 0 or 1 is meant to be it, after division by a scale


def trajectory_success(steps: Steps, reward: Real, threshold: float | None) -> tuple[Truth, Truth]:
    """Success of each trajectory, decided group by group.

    The log's `success` where it is known for all trajectories of a group, else the reward where
    all of them are 0 or 1, else reward ≥ threshold.

    Args:
        steps: The steps.
        reward: Episode rewards in units of one success. (N,) float64
        threshold: From which reward on a trajectory succeeds; None leaves it undefined.

    Returns:
        Success (N,) bool, and whether it is defined for each group (G,) bool.
    """
    group, groups = steps.trajectory_group, steps.groups

    def everywhere(truth: Truth) -> Truth:
        return np.asarray(np.bincount(group, weights=~truth, minlength=groups) == 0)

    logged = steps.of_trajectory("success")
    has_logged = everywhere(logged.is_not_null().to_numpy())
    binary = everywhere((np.abs(reward) <= _NEAR) | (np.abs(reward - 1.0) <= _NEAR))
    success = np.where(
        has_logged[group],
        logged.fill_null(value=False).to_numpy(),
        reward >= np.where(binary[group], 0.5, 0.5 if threshold is None else threshold),
    )
    defined: Truth = has_logged | binary | (threshold is not None)
    return success.astype(bool), defined


def success_rate(steps: Steps, success: Truth) -> Real:
    """Share of each group's trajectories that succeeded, of those in its statistics. (G,)."""
    counted = steps.counted[steps.trajectory_start[:-1]].astype(np.float64)
    return segment_mean(success.astype(np.float64), steps.trajectory_group, steps.groups, counted)


def worth_of_success(steps: Steps) -> float | None:
    """Reward of every logged success where failures have 0; None where that is not one number."""
    success = steps.of_trajectory("success").fill_null(value=False).to_numpy()
    paid = np.unique(steps.episode_reward[success])
    if len(paid) != 1 or paid[0] == 0.0 or np.any(steps.episode_reward[~success] != 0.0):
        return None
    return float(paid[0])


def success_weight(rate: Real, success: Truth, alpha: float, beta: float) -> Real:
    """The weight that ProxMO gives an episode term.

        w = 1 + β(σ((1−p)^α) − ½) on success        w = 1 + β(σ(−p^α) − ½) on failure

    Success on a hard task weighs more than 1, failure on an easy one less than 1.

    Args:
        rate: p, success rate of the group, in [0, 1]. (S,) float64
        success: Whether the trajectory succeeded. (S,) bool
        alpha: α ≥ 0.
        beta: β ≥ 0.

    Returns:
        (S,) float64.

    Example:
        >>> success_weight(np.array([0.0, 1.0]), np.array([True, False]), 4.0, 0.1).round(4)
        array([1.0231, 0.9769])
    """
    distance = np.where(success, (1.0 - rate) ** alpha, -(rate**alpha))
    return np.asarray(1.0 + beta * (1.0 / (1.0 + np.exp(-distance)) - 0.5))
