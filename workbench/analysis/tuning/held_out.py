"""Held-out error of a method's baseline: returns of rollouts that it has not seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workbench.analysis.prediction import (
    FEWEST_ROLLOUTS,
    mean_of_others,
    peer_weight,
    predicted,
    usable,
)
from workbench.analysis.tuning.gain import Gain, as_good, gain_error
from workbench.analysis.tuning.thresholds import KeyThreshold
from workbench.analysis.tuning.tunable import PredictsAtOnce, present, tuned_by
from workbench.errors import MissingInputError, ParameterError
from workbench.log.credit import Credit
from workbench.log.segments import segment_mean, segment_sum
from workbench.log.steps import Real, Steps, Truth
from workbench.methods import Method
from workbench.states.space import Space
from workbench.wording import Progress, silent

LITTLE = 0.01
"""Share of the plain mean's error below which a gain over it says little."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Held-out prediction error of a baseline, by a field's value.

    Args:
        field: The field.
        symbol: What the value is called in a formula.
        values: The values, ascending. (K,)
        settings: What the field is set to for each: itself, or a key with this threshold. (K,)
        error: Mean squared error over the steps; NaN where there are none. (K,) float64
        plain: The same for the plain mean of the other rollouts' steps.
        steps: Steps that were predicted.
        groups: Groups that they are of.
        few: Groups left out for having fewer than three scored rollouts.
        equal: Groups left out because all returns are equal: any mean predicts them.
        as_good: Whether the excess of each value over the least error is within one standard error
            over groups; None for fewer than two groups. (K,) bool
        finest: What the last value stands for, where clusters grow finer up to it. A cluster that
            is too large does more harm than one too small, so the finest that are as good as the
            best are recommended. None where no end of the values is the safe one.
        now: The value that the method has, which is kept where it is as good as the best; None
            where it is not among the values.
        gain_error: Standard error over groups of the gain over the plain mean; None for fewer than
            two groups. (K,) float64
    """

    field: str
    symbol: str
    values: tuple[float, ...]
    settings: tuple[float | str, ...]
    error: Real
    plain: float
    steps: int
    groups: int
    few: int
    equal: int
    as_good: Truth | None
    finest: str | None
    now: float | None = None
    gain_error: Real | None = None

    def gain(self, value: float) -> Gain:
        """Gain of one of the values over the plain mean, in prediction error.

        Raises:
            ParameterError: It is not among the values, or no step was predicted.
        """
        if value not in self.values or not self.steps:
            raise ParameterError(f"{self.symbol} {value:g} was not tried on held-out rollouts")
        k = self.values.index(value)
        error = None if self.gain_error is None else float(self.gain_error[k])
        return Gain(share=1.0 - float(self.error[k]) / self.plain, error=error)

    @property
    def best(self) -> float | None:
        """The value of the least error; None where no value is better than another."""
        if not self.steps or np.ptp(self.error) <= 1e-9 * self.plain:
            return None
        return self.values[int(np.argmin(self.error))]

    @property
    def tied(self) -> tuple[float, float] | None:
        """Least and largest of the values around the best one that are as good as it."""
        if self.as_good is None:
            return None
        best, apart = int(np.argmin(self.error)), ~self.as_good
        lower, higher = np.flatnonzero(apart[:best]), np.flatnonzero(apart[best:])
        first = int(lower[-1]) + 1 if len(lower) else 0
        last = best + int(higher[0]) - 1 if len(higher) else len(self.values) - 1
        return self.values[first], self.values[last]

    @property
    def recommended(self) -> float | str | None:
        """Recommended value: the present one where none is better by a standard error.

        Where nothing predicts better than the plain mean it is the finest keys, or else None.
        """
        place = self._place
        return None if place is None else self.settings[place]

    @property
    def _place(self) -> int | None:
        """Index of the recommended value."""
        predicts = self.best is not None and float(self.error.min()) < self.plain
        if predicts and self.kept:
            return self.values.index(self.now)
        if self.finest is None or not self.steps:
            return int(np.argmin(self.error)) if predicts else None
        if not predicts:
            return len(self.values) - 1
        if self.as_good is None:
            return int(np.argmin(self.error))
        return int(np.flatnonzero(self.as_good)[-1])

    @property
    def kept(self) -> bool:
        """True if the present value is within one standard error of the best."""
        if self.now is None or self.as_good is None or self.now not in self.values:
            return False
        return bool(self.as_good[self.values.index(self.now)])

    @property
    def reason(self) -> str:
        """The result in one or two sentences."""
        if not self.steps:
            return (
                f"No group can be held out: {self.few:,} have fewer than {FEWEST_ROLLOUTS} scored "
                f"rollouts, in {self.equal:,} all returns are equal."
            )
        alike = f", and so do {self.finest}" if self.finest else ""
        if self.best is None:
            return (
                f"Every {self.symbol} predicts alike{alike}: no two states of a group are nearer "
                "than any others."
            )
        least = float(self.error.min())
        if least >= self.plain:
            kept = f"; {self.finest} at least merge nothing" if self.finest else ""
            return (
                f"No {self.symbol} predicts better than the plain mean of the other rollouts "
                f"(squared error {self.plain:.3g}): how near two states are says nothing about "
                f"returns here{kept}."
            )
        return self._best_reason() if self.finest is None else self._threshold_reason()

    def _best_reason(self) -> str:
        least = float(self.error.min())
        best = f"{self.symbol} {self.best:.4g}"
        gain = _against(least, self.plain, "their plain mean")
        text = f"{best} predicts returns best: squared error {least:.3g}, {gain}."
        if self.tied is not None:
            low, high = self.tied
            text += f" From {self.symbol} {low:.4g} to {high:.4g} it is within one standard error."
        return text + self._keeping()

    def _keeping(self) -> str:
        """A sentence where the present value is not the best and is kept."""
        if not self.kept or self.now == self.best:
            return ""
        assert self.now is not None
        error = float(self.error[self.values.index(self.now)])
        return (
            f" The present {self.now:.4g} (squared error {error:.3g}) is within one standard error "
            "of that and is kept."
        )

    def _threshold_reason(self) -> str:
        assert self._place is not None
        value, error = self.values[self._place], float(self.error[self._place])
        below_plain = _against(error, self.plain, "the plain mean")
        at_best = f"squared error {self.error.min():.3g} at {self.best:.4g}"
        if value == self.best == self.values[-1]:
            return (
                f"No {self.symbol} predicts returns better than {self.finest}: squared error "
                f"{error:.3g}, {below_plain}."
            )
        if value == self.values[-1]:
            return (
                f"No {self.symbol} predicts returns better than {self.finest} by more than one "
                f"standard error: {at_best}, {error:.3g} with {self.finest}."
            )
        below_finest = _against(error, float(self.error[-1]), self.finest)
        if self.kept:
            text = f"{self.symbol} {self.best:.4g} predicts returns best: {at_best}."
            return f"{text}{self._keeping()}{self._caution(error)}"
        return (
            f"{self.symbol} {value:.4g} predicts returns with squared error {error:.3g}, "
            f"{below_finest} and {below_plain}; it is the highest within one standard error of the "
            f"best ({at_best}).{self._caution(error)}"
        )

    def _caution(self, error: float) -> str:
        """A sentence where clusters are as good as all steps in one."""
        if error < (1.0 - LITTLE) * self.plain:
            return ""
        return (
            " That is next to what the plain mean knows: merged so far, states tell little of "
            "returns, and less of actions."
        )

    def curve(self, spread: float | None = None) -> pl.DataFrame:
        """One row per value: value, in_spreads, squared_error, plain_error, gain.

        Thresholds have exact_error next to plain_error; gain is over the plain mean.

        Args:
            spread: Deviation of similarities inside a group, as `tuning.similarity_spread` gives
                it, to say a temperature in that unit; without it in_spreads is left out.
        """
        known = self.steps > 0
        against = {"plain_error": self.plain if known else None}
        if self.finest is not None:
            against["exact_error"] = float(self.error[-1]) if known else None
        table = pl.DataFrame(
            {
                "value": pl.Series(self.values, dtype=pl.Float64),
                "squared_error": pl.Series(self.error).fill_nan(None),
            }
        ).with_columns(pl.lit(value, dtype=pl.Float64).alias(n) for n, value in against.items())
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
            "best": self.best,
            "kept": self.kept,
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
    method: Method,
    credit: Credit,
    space: Space,
    values: Sequence[float] | None = None,
    *,
    progress: Progress = silent,
) -> HeldOut:
    """Leave-one-trajectory-out error of a method's baseline at K values of its tunable field.

        mean_i (G_i − B_i)²        B_i from the steps of the group's other trajectories

    Whatever peers the method has, a step's own trajectory says nothing independent about it, and
    leaving out no more than the step itself picks a value that is far off. Over groups with
    at least three scored rollouts; one whose returns are all equal has error 0 at every value, says
    nothing, and is left out so that it does not water down the others. Steps that count in no
    group statistics are neither predicted nor averaged.

    Args:
        method: One that declares a `Tunable` field or takes a state key, see `tuned_by`.
        credit: Its credit in the space.
        space: The space that it was scored in.
        values: Values of the field, ascending; by default its candidates and what it is. (K,)
        progress: Told (what, done, total) before each value.

    Raises:
        ParameterError: The method has no field to be tuned, or a state key without a threshold.
        MissingInputError: Its fields leave it without a step term.
    """
    tuned = tuned_by(method)
    if "step" not in credit.terms:
        raise MissingInputError(f"{method} has no step term, so there is nothing to predict")
    now = present(tuned)
    tried = tuple(tuned.candidates(space) if values is None else values)
    if values is None and now is not None and not any(math.isclose(now, v) for v in tried):
        tried = tuple(sorted((*tried, now)))
    now = next((v for v in tried if now is not None and math.isclose(now, v)), None)
    steps, score = credit.steps, tuned.target(credit.steps)
    weight = peer_weight(tuned, steps)
    group, groups = steps.group, steps.groups
    enough, equal = usable(steps, score, weight)
    chosen = (enough & ~equal)[group] & (weight > 0)
    centred = _centred(steps, score, weight)
    plain = (centred - mean_of_others(steps, centred, weight))[chosen] ** 2
    of_plain = segment_sum(plain, group[chosen], groups)
    sums = np.zeros((len(tried), groups))
    if chosen.any():
        progress("hold out", 0, len(tried))
        baselines = _baselines(tuned, credit, space, weight, tried)
        for done, (k, baseline) in enumerate(baselines, start=1):
            progress("hold out", done, len(tried))
            squares = (centred - baseline)[chosen] ** 2
            sums[k] = segment_sum(squares, group[chosen], groups)
    count = int(chosen.sum())
    return HeldOut(
        field=tuned.tunable,
        symbol=tuned.tunable_symbol,
        values=tried,
        settings=tuple(map(tuned.setting, tried)) if isinstance(tuned, KeyThreshold) else tried,
        error=sums.sum(axis=1) / count if count else np.full(len(tried), np.nan),
        plain=float(plain.mean()) if count else math.nan,
        steps=count,
        groups=len(np.unique(group[chosen])),
        few=int((~enough).sum()),
        equal=int((enough & equal).sum()),
        as_good=as_good(sums[:, enough & ~equal]),
        gain_error=gain_error((of_plain - sums)[:, enough & ~equal], of_plain.sum()),
        finest=tuned.finest if isinstance(tuned, KeyThreshold) else None,
        now=now,
    )


def _baselines(
    tuned: Any, credit: Credit, space: Space, weight: Real, values: Sequence[float]
) -> Iterator[tuple[int, Real]]:
    """Baselines of the centred scores from other trajectories, for each value."""
    steps, score = credit.steps, tuned.target(credit.steps)
    centred = _centred(steps, score, weight)
    if isinstance(tuned, PredictsAtOnce):
        yield from tuned.held_out_baselines(steps, space, centred, weight, values)
        return
    for k, value in enumerate(values):
        variant = dataclasses.replace(tuned, **{tuned.tunable: value})
        yield k, predicted(variant, credit, space).baseline - (score - centred)


def _centred(steps: Steps, score: Real, weight: Real) -> Real:
    """Scores less their group's mean, so that no rounding shows where they are equal. (S,)."""
    mean = segment_mean(score, steps.group, steps.groups, weight)
    return np.asarray(score - mean[steps.group])


def _against(error: float, other: float, name: str | None) -> str:
    gain = 1.0 - error / other
    return f"{100 * abs(gain):.2g} % {'above' if gain < 0 else 'below'} {name}"
