"""Verdict of a tuning in words: what the held-out rollouts support, and what they do not.

A value is offered only where rollouts held out support it: it predicts better than the plain mean
of the others beyond noise, by more than a little (`held_out.LITTLE`), and better than the present
value by more than one standard error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.analysis.prediction import FEWEST_ROLLOUTS
from workbench.analysis.tuning.held_out import LITTLE, HeldOut
from workbench.analysis.tuning.thresholds import EXACT, KeyThreshold
from workbench.analysis.tuning.tunable import tuned_by
from workbench.methods import Method
from workbench.wording import number_of

MUCH = 0.5
"""Share of a baseline from which on a step, or its rollout, is most of it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Conclusion of a tuning, in words.

    Args:
        headline: The answer in one sentence.
        reasons: What it rests on, a sentence each.
        offer: The value that held-out rollouts support in place of the present one; None for none.
    """

    headline: str
    reasons: tuple[str, ...]
    offer: float | None


def verdict(held: HeldOut) -> Verdict:
    """The verdict on the values of a field.

    Args:
        held: Their errors on held-out rollouts.
    """
    symbol = held.symbol
    if not held.steps:
        return Verdict(
            headline=f"This log cannot say which {symbol} is best.",
            reasons=(
                f"A rollout is held out of a group of {FEWEST_ROLLOUTS} scored rollouts or more "
                f"whose returns differ: {number_of(held.few, 'group')} are smaller, in "
                f"{held.equal:,} all returns are equal.",
            ),
            offer=None,
        )
    of_now = _of_present(held)
    if held.best is None:
        return Verdict(
            headline=f"Every {symbol} predicts alike, so there is nothing to choose.",
            reasons=("No two states of a group are nearer than any others.",),
            offer=None,
        )
    said = f"The best of {len(held.values)}, {_named(held, held.best)}, {_gain(held, held.best)}."
    if not any(_helps(held, value) for value in held.values):
        return Verdict(
            headline=f"No {symbol} predicts better than the plain mean of the other rollouts "
            "beyond noise, so none is offered.",
            reasons=(
                said,
                *of_now,
                f"More groups could tell; a method without states, such as grpo or rloo, needs no "
                f"{symbol}.",
            ),
            offer=None,
        )
    offer = _offer(held)
    if offer is None:
        why = f"no {symbol} predicts better by more than one standard error"
        if not held.kept and held.recommended is not None:
            why = "those that predict better than it are not beyond noise above the plain mean"
        return Verdict(
            headline=f"The present {_named(held, held.now)} can stay: {why}.",
            reasons=(said, *of_now),
            offer=None,
        )
    reasons = [said, *of_now]
    if offer != held.best:
        reasons.insert(1, f"{_named(held, offer)} is the safest within one standard error of it.")
    return Verdict(
        headline=f"Try {_named(held, offer)}: it predicts better than the plain mean beyond noise, "
        f"and than the present {_named(held, held.now)} by more than one standard error.",
        reasons=tuple(reasons),
        offer=offer,
    )


def own_share(own_step: float, own_trajectory: float) -> str:
    """Share of a baseline from the step itself and its rollout, in a sentence.

    Args:
        own_step: Median weight of a step in its own baseline.
        own_trajectory: Median weight of its rollout, the step included.
    """
    text = f"{own_step:.0%} of a step's baseline is the step itself"
    if own_step >= MUCH:
        return f"{text}, so its step term all but vanishes."
    if own_trajectory >= MUCH:
        return f"{text}, {own_trajectory:.0%} its own rollout, which says nothing independent."
    return f"{text}, so the step term keeps {1 - own_step:.0%} of its size."


def fields_at(method: Method, value: float) -> dict[str, Any]:
    """The field that held-out rollouts can choose, as it is set for a value.

    Raises:
        ParameterError: The method has no such field.
    """
    tuned = tuned_by(method)
    setting = tuned.setting(value) if isinstance(tuned, KeyThreshold) else value
    return {tuned.tunable: setting}


def differing(method: Method, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some fields that are not what they are in the method."""
    own = method.values
    return {name: value for name, value in fields.items() if value != own[name]}


def _offer(held: HeldOut) -> float | None:
    """The recommended value, where it beats the plain mean beyond noise and is not the present."""
    if held.recommended is None or held.kept:
        return None
    value = held.values[held.settings.index(held.recommended)]
    return value if value != held.now and _helps(held, value) else None


def _helps(held: HeldOut, value: float) -> bool:
    """True if a value predicts better than the plain mean, beyond noise and by a margin."""
    gain = held.gain(value)
    return gain.beyond_noise > 0 and gain.share >= LITTLE


def _of_present(held: HeldOut) -> tuple[str, ...]:
    if held.now is None or held.now == held.best:
        return ()
    return (f"The present setting, {_named(held, held.now)}, {_gain(held, held.now)}.",)


def _named(held: HeldOut, value: float | None) -> str:
    if value is None:
        return "setting"
    exact = held.finest is not None and value == EXACT
    return str(held.finest) if exact else f"{held.symbol} {value:.4g}"


def _gain(held: HeldOut, value: float) -> str:
    gain = held.gain(value)
    way = "better" if gain.share >= 0 else "worse"
    text = f"predicts {100 * abs(gain.share):.2g} % {way} than the plain mean"
    if gain.interval is None:
        return f"{text}; one group alone does not say how sure that is"
    low, high = (f"{100 * end:+.2g}".replace("-", "−") for end in gain.interval)
    noise = "beyond noise" if gain.beyond_noise else "within noise"
    return f"{text}, {noise} ({low} to {high} % at 95 %, {number_of(held.groups, 'group')})"
