"""How well a method's baseline predicts the returns of rollouts that it has not seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl

from workbench.errors import MissingInputError, ParameterError
from workbench.estimators import Credit, create, methods
from workbench.prediction import (
    FEWEST_ROLLOUTS,
    mean_of_others,
    peer_weight,
    predicted,
    usable,
)
from workbench.returns import segment_mean, segment_sum
from workbench.space import Space
from workbench.steps import Real, Steps


@runtime_checkable
class Tunable(Protocol):
    """A method with a field that held-out rollouts can choose; a method has it by declaring this.

    Attributes:
        tunable: The field.
        tunable_symbol: What it is called in a formula.
    """

    tunable: ClassVar[str]
    tunable_symbol: ClassVar[str]

    def candidates(self, space: Space) -> Sequence[float]:
        """Values to try, ascending."""

    def target(self, steps: Steps) -> Real:
        """The return of each step that the baseline predicts. (S,) float64."""


@runtime_checkable
class PredictsAtOnce(Protocol):
    """A tunable method that needs no scoring anew for each value and each rollout held out."""

    def held_out_baselines(
        self, steps: Steps, space: Space, score: Real, weight: Real, values: Sequence[float]
    ) -> Iterator[tuple[int, Real]]:
        """What the other trajectories of a group say of each step's score, for each value.

        Yields:
            Place of a value, and the baseline under it (S,) float64, to be used before the next.
        """


def tunable_methods() -> list[str]:
    """Names of the methods that can be tuned."""
    return [name for name in methods() if isinstance(create(name), Tunable)]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How well the other rollouts of a group predict the return of a step, by a field's value.

    Args:
        field: The field.
        symbol: What it is called in a formula.
        values: Its values, ascending. (K,)
        error: Mean squared error over the steps; NaN where there are none. (K,) float64
        plain: The same for the plain mean of the other rollouts' steps, the limit of τ → ∞.
        steps: Steps that were predicted.
        groups: Groups that they are of.
        few: Groups left out for having fewer than three scored rollouts.
        equal: Groups left out because all returns are equal: any mean predicts them.
        tied: Least and largest of the values around the best one whose excess error is within one
            standard error over groups; None for fewer than two groups.
    """

    field: str
    symbol: str
    values: tuple[float, ...]
    error: Real
    plain: float
    steps: int
    groups: int
    few: int
    equal: int
    tied: tuple[float, float] | None

    @property
    def best(self) -> float | None:
        """The value of the least error; None where no value is better than another."""
        if not self.steps or np.ptp(self.error) <= 1e-9 * self.plain:
            return None
        return self.values[int(np.argmin(self.error))]

    @property
    def recommended(self) -> float | None:
        """The best value, if it predicts better than the plain mean; else None."""
        return self.best if self.steps and float(self.error.min()) < self.plain else None

    @property
    def reason(self) -> str:
        """The result in one or two sentences."""
        if not self.steps:
            return (
                f"No group can be held out: {self.few:,} have fewer than {FEWEST_ROLLOUTS} scored "
                f"rollouts, in {self.equal:,} all returns are equal."
            )
        if self.best is None:
            return (
                f"Every {self.symbol} predicts alike: no two states of a group are nearer than any "
                "others."
            )
        least = float(self.error.min())
        if least >= self.plain:
            return (
                f"No {self.symbol} predicts better than the plain mean of the other rollouts "
                f"(squared error {self.plain:.3g}): how near two states are says nothing about "
                "returns here."
            )
        gain = f"{100 * (1 - least / self.plain):.2g} % below their plain mean"
        best = f"{self.symbol} {self.best:.4g}"
        text = f"{best} predicts returns best: squared error {least:.3g}, {gain}."
        if self.tied is None:
            return text
        low, high = self.tied
        return f"{text} From {self.symbol} {low:.4g} to {high:.4g} it is within one standard error."

    def curve(self, spread: float | None = None) -> pl.DataFrame:
        """One row a value: value, in_spreads, squared_error, plain_error, gain.

        Args:
            spread: Deviation of similarities inside a group, as `tuning.similarity_spread` gives
                it, to say a temperature in that unit; without it in_spreads is left out.
        """
        table = pl.DataFrame(
            {
                "value": pl.Series(self.values, dtype=pl.Float64),
                "squared_error": pl.Series(self.error).fill_nan(None),
            }
        ).with_columns(
            pl.lit(self.plain if self.steps else None, dtype=pl.Float64).alias("plain_error")
        )
        gain = 1.0 - pl.col("squared_error") / pl.col("plain_error")
        table = table.with_columns(gain.alias("gain"))
        if spread is None:
            return table
        return table.insert_column(1, (table["value"] / spread).alias("in_spreads"))

    def to_dict(self, spread: float | None = None) -> dict[str, Any]:
        """The choice with its evidence, JSON-able; `spread` as for `curve`."""
        return {
            "field": self.field,
            "symbol": self.symbol,
            "recommended": self.recommended,
            "reason": self.reason,
            "within_one_standard_error": list(self.tied) if self.tied else None,
            "plain_error": self.plain if self.steps else None,
            "steps": self.steps,
            "groups": self.groups,
            "groups_of_fewer_than_three_rollouts": self.few,
            "groups_of_equal_returns": self.equal,
            "similarity_spread": spread,
            "curve": self.curve(spread).to_dicts(),
        }


def held_out(
    method: Any, credit: Credit, space: Space, values: Sequence[float] | None = None
) -> HeldOut:
    """Leave-one-trajectory-out error of a method's baseline at K values of its tunable field.

        mean_i (G_i − B_i)²        B_i from the steps of the group's other trajectories

    Whatever peers the method has, a step's own trajectory says nothing independent about it, and
    leaving out no more than the step itself picks a far too cold or far too hot τ. Over groups with
    at least three scored rollouts; one whose returns are all equal has error 0 at every value, says
    nothing, and is left out so that it does not water down the others. Steps that count in no
    group statistics are neither predicted nor averaged.

    Args:
        method: `Tunable`.
        credit: Its credit in the space.
        space: The space that it was scored in.
        values: Values of the field, ascending; its candidates by default. (K,)

    Raises:
        ParameterError: The method declares no field to be tuned.
        MissingInputError: Its fields leave it without a step term.
    """
    if not isinstance(method, Tunable):
        name = method.method.name
        raise ParameterError(
            f"{name} has no field that held-out rollouts can choose; these have: "
            f"{tunable_methods()}"
        )
    if "step" not in credit.terms:
        raise MissingInputError(f"{method} has no step term, so there is nothing to predict")
    tried = tuple(method.candidates(space) if values is None else values)
    steps, score = credit.steps, method.target(credit.steps)
    weight = peer_weight(method, steps)
    group, groups = steps.group, steps.groups
    enough, equal = usable(steps, score, weight)
    chosen = (enough & ~equal)[group] & (weight > 0)
    centred = _centred(steps, score, weight)
    plain = (centred - mean_of_others(steps, centred, weight))[chosen] ** 2
    sums = np.zeros((len(tried), groups))
    if chosen.any():
        for k, baseline in _baselines(method, credit, space, weight, tried):
            squares = (centred - baseline)[chosen] ** 2
            sums[k] = segment_sum(squares, group[chosen], groups)
    count = int(chosen.sum())
    return HeldOut(
        field=method.tunable,
        symbol=method.tunable_symbol,
        values=tried,
        error=sums.sum(axis=1) / count if count else np.full(len(tried), np.nan),
        plain=float(plain.mean()) if count else math.nan,
        steps=count,
        groups=len(np.unique(group[chosen])),
        few=int((~enough).sum()),
        equal=int((enough & equal).sum()),
        tied=_tied(tried, sums[:, enough & ~equal]),
    )


def _baselines(
    method: Any, credit: Credit, space: Space, weight: Real, values: Sequence[float]
) -> Iterator[tuple[int, Real]]:
    """Baselines of the centred scores from other trajectories, for each value."""
    steps, score = credit.steps, method.target(credit.steps)
    centred = _centred(steps, score, weight)
    if isinstance(method, PredictsAtOnce):
        yield from method.held_out_baselines(steps, space, centred, weight, values)
        return
    for k, value in enumerate(values):
        variant = dataclasses.replace(method, **{method.tunable: value})
        yield k, predicted(variant, credit, space).baseline - (score - centred)


def _centred(steps: Steps, score: Real, weight: Real) -> Real:
    """Scores less their group's mean, so that no rounding shows where they are equal. (S,)."""
    mean = segment_mean(score, steps.group, steps.groups, weight)
    return np.asarray(score - mean[steps.group])


def _tied(values: tuple[float, ...], sums: Real) -> tuple[float, float] | None:
    """Values around the best whose excess is within a standard error; sums are (K, G')."""
    groups = sums.shape[1]
    if groups < 2:
        return None
    best = int(np.argmin(sums.sum(axis=1)))
    excess = sums - sums[best]
    standard_error = math.sqrt(groups) * excess.std(axis=1, ddof=1)
    apart = excess.sum(axis=1) > standard_error
    colder, hotter = np.flatnonzero(apart[:best]), np.flatnonzero(apart[best:])
    first = int(colder[-1]) + 1 if len(colder) else 0
    last = best + int(hotter[0]) - 1 if len(hotter) else len(values) - 1
    return values[first], values[last]
