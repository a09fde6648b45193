"""How well a proximity baseline predicts the returns of rollouts that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.estimators import Credit
from workbench.estimators.proxmo import ProxMO
from workbench.octaves import octaves
from workbench.proximity import proximity_baselines
from workbench.returns import segment_constant, segment_mean, segment_sum
from workbench.space import Space
from workbench.steps import Real, Steps, Truth
from workbench.tuning import STOPS

FEWEST_ROLLOUTS = 3  # of a group, for one to be held out and two to be averaged


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How well the other rollouts of a group predict the return of a step, by temperature.

    Args:
        temperatures: The temperatures, coldest first. (K,)
        error: Mean squared error over the steps; NaN where there are none. (K,) float64
        plain: The same for the plain mean of the other rollouts' steps, the limit of τ → ∞.
        steps: Steps that were predicted.
        groups: Groups that they are of.
        few: Groups left out for having fewer than three scored rollouts.
        equal: Groups left out because all returns are equal: any mean predicts them.
        tied: Coldest and hottest of the temperatures around the best one whose excess error is
            within one standard error over groups; None for fewer than two groups.
    """

    temperatures: tuple[float, ...]
    error: Real
    plain: float
    steps: int
    groups: int
    few: int
    equal: int
    tied: tuple[float, float] | None

    @property
    def best(self) -> float | None:
        """The temperature of the least error; None where no temperature is better than another."""
        if not self.steps or np.ptp(self.error) <= 1e-9 * self.plain:
            return None
        return self.temperatures[int(np.argmin(self.error))]

    @property
    def reason(self) -> str:
        """The result in one or two sentences."""
        if not self.steps:
            return (
                f"No group can be held out: {self.few:,} have fewer than {FEWEST_ROLLOUTS} scored "
                f"rollouts, in {self.equal:,} all returns are equal."
            )
        if self.best is None:
            return "Every τ predicts alike: no two states of a group are nearer than any others."
        least = float(self.error.min())
        if least >= self.plain:
            return (
                f"No τ predicts better than the plain mean of the other rollouts (squared error "
                f"{self.plain:.3g}): how near two states are says nothing about returns here."
            )
        gain = f"{100 * (1 - least / self.plain):.2g} % below their plain mean"
        text = f"τ {self.best:.4g} predicts returns best: squared error {least:.3g}, {gain}."
        if self.tied is None:
            return text
        low, high = self.tied
        return f"{text} From τ {low:.4g} to {high:.4g} it is within one standard error."


def held_out(
    method: ProxMO, credit: Credit, space: Space, temperatures: Sequence[float] = STOPS
) -> HeldOut:
    """Leave-one-trajectory-out error of the proximity baseline at K temperatures.

        mean_i (G_i − B_i)²        B_i from the steps of the group's other trajectories

    Whatever peers the method has, a step's own trajectory says nothing independent about it, and
    leaving out no more than the step itself picks a far too cold or far too hot τ. Over groups with
    at least three scored rollouts; one whose returns are all equal has error 0 at every τ, says
    nothing, and is left out so that it does not water down the others. Steps that count in no
    group statistics are neither predicted nor averaged.

    Args:
        method: Gives the weights of the steps.
        credit: Its credit; the returns are taken from it.
        space: The space that it was scored in.
        temperatures: τ > 0, coldest first. (K,)
    """
    steps, score = credit.steps, credit.terms["step"].score
    weight = method.peer_weight(steps)
    group, groups = steps.group, steps.groups
    enough, equal = _usable(steps, score, weight)
    chosen = (enough & ~equal)[group] & (weight > 0)
    centred = score - segment_mean(score, group, groups, weight)[group]
    plain = (centred - _mean_of_others(steps, centred, weight))[chosen] ** 2
    sums = np.zeros((len(temperatures), groups))
    similarity = space.similarity(method.embedder)
    for chain in octaves(temperatures) if chosen.any() else []:
        baselines, _ = proximity_baselines(
            similarity,
            steps,
            centred,
            weight,
            temperatures=[temperatures[k] for k in chain],
            peers="other_trajectories",
        )
        for k, baseline in zip(chain, baselines, strict=True):
            squares = (centred - baseline)[chosen] ** 2
            sums[k] = segment_sum(squares, group[chosen], groups)
    count = int(chosen.sum())
    error = sums.sum(axis=1) / count if count else np.full(len(temperatures), np.nan)
    return HeldOut(
        temperatures=tuple(temperatures),
        error=error,
        plain=float(plain.mean()) if count else math.nan,
        steps=count,
        groups=len(np.unique(group[chosen])),
        few=int((~enough).sum()),
        equal=int((enough & equal).sum()),
        tied=_tied(tuple(temperatures), sums[:, enough & ~equal]),
    )


def _usable(steps: Steps, score: Real, weight: Real) -> tuple[Truth, Truth]:
    """Whether a group has enough rollouts that count, and whether its returns are equal. (G,)."""
    counts = weight[steps.trajectory_start[:-1]] > 0
    rollouts = segment_sum(counts.astype(np.float64), steps.trajectory_group, steps.groups)
    equal = segment_constant(score, steps.group, steps.groups, weight > 0)
    return rollouts >= FEWEST_ROLLOUTS, equal


def _mean_of_others(steps: Steps, value: Real, weight: Real) -> Real:
    """Mean of a value over the steps of the group's other trajectories; 0 without. (S,)."""

    def others(amount: Real) -> Real:
        of_group = segment_sum(amount, steps.group, steps.groups)[steps.group]
        own = segment_sum(amount, steps.trajectory, steps.trajectories)[steps.trajectory]
        return np.asarray(of_group - own)

    count = others(weight)
    return np.where(count > 0, others(weight * value) / np.where(count > 0, count, 1.0), 0.0)


def _tied(temperatures: tuple[float, ...], sums: Real) -> tuple[float, float] | None:
    """Temperatures around the best whose excess is within a standard error; sums are (K, G')."""
    groups = sums.shape[1]
    if groups < 2:
        return None
    best = int(np.argmin(sums.sum(axis=1)))
    excess = sums - sums[best]
    standard_error = math.sqrt(groups) * excess.std(axis=1, ddof=1)
    apart = excess.sum(axis=1) > standard_error
    colder, hotter = np.flatnonzero(apart[:best]), np.flatnonzero(apart[best:])
    first = int(colder[-1]) + 1 if len(colder) else 0
    last = best + int(hotter[0]) - 1 if len(hotter) else len(temperatures) - 1
    return temperatures[first], temperatures[last]
