"""Rules that find defects of a credit in its readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from workbench.analysis.audit.coverage import BY_SIMILARITY
from workbench.analysis.audit.log_rules import Found, Readings
from workbench.analysis.audit.subject import Subject
from workbench.log.remarks import unscaled
from workbench.log.segments import segment_mean, segment_sum


def _steps_population(subject: Subject, seen: Readings) -> Found | None:
    trajectories, rows = seen.value("trajectory_balance"), seen.value("step_balance")
    if trajectories is None or rows is None or not subject.is_episode_credit:
        return None
    if trajectories <= 0.05 or rows > 0.25 * trajectories:
        return None
    return (
        f"Groups are centred over step rows ({rows:.2g}), not trajectories ({trajectories:.2g} "
        "deviations off): long trajectories weigh more in mean and deviation.",
        "Score with population=trajectories.",
        {"trajectory_balance": trajectories, "step_balance": rows},
    )


def _self_in_softmax(subject: Subject, seen: Readings) -> Found | None:
    own = seen.get("self_weight")
    if own is None or own.value is None or BY_SIMILARITY not in own.note or own.value <= 0.5:
        return None
    return (
        f"Half of the steps give themselves {own.value:.2f} or more of their own baseline: the "
        "step term all but vanishes.",
        "Leave the own trajectory out (-p peers=other_trajectories), or choose τ by "
        "`workbench tune`.",
        {"self_weight": own.value},
    )


def _saturated_psc(subject: Subject, seen: Readings) -> Found | None:
    end = seen.value("saturated_rate")
    if end is None or end < 0.5:
        return None
    return (
        f"The success rate p is 0 or 1 in {end:.0%} of the groups with both outcomes: the success "
        "weight does not depend on difficulty.",
        "Log `success`, or set -p reward_scale to what one success pays (10 in verl-agent).",
        {"saturated_rate": end},
    )


def _time_as_quality(subject: Subject, seen: Readings) -> Found | None:
    time = seen.get("time_in_winners")
    if time is None or time.value is None or time.shuffled is None:
        return None
    if time.value > -0.5 or time.value >= time.shuffled[0]:
        return None
    return (
        "Inside successes the credit falls with the steps to go (rank correlation "
        f"{time.value:.2f}): being near the end is credited as being good.",
        "Compare steps of like depth, take γ = 1, or take a method that values states.",
        {"time_in_winners": time.value},
    )


def _penalty_only(subject: Subject, seen: Readings) -> Found | None:
    share = seen.value("dead_credit", "penalty_only")
    if share is None or share <= 0.05 or not subject.is_episode_credit:
        return None
    return (
        f"{share:.0%} of the episode credit is in groups of equal rewards, where only the penalty "
        "for invalid actions differs.",
        "Set -p invalid_penalty=0 or drop these groups; never divide by their deviation.",
        {"dead_credit": share},
    )


def _credit_of_equals(subject: Subject, seen: Readings) -> Found | None:
    if not subject.is_episode_credit:
        return None
    kinds = ("all_fail", "all_pass", "constant_reward", "one_rollout")
    shares = {kind: seen.value("dead_credit", kind) or 0.0 for kind in kinds}
    total = sum(shares.values())
    if total <= 1e-6:
        return None
    where = ", ".join(kind for kind, value in shares.items() if value > 1e-6)
    return (
        f"{total:.2g} of the episode credit is in groups with nothing to compare ({where}): "
        "amplified rounding noise, the raw reward of a group of one, or time.",
        "Test max − min before dividing; -p group_of_one=zero.",
        {"dead_credit": total},
    )


def _unstable_signs(subject: Subject, seen: Readings) -> Found | None:
    flips = seen.value("sign_flip_rate")
    if flips is None or flips <= 0.2:
        return None
    return (
        f"With other rollouts in its group a step's credit changes sign in {flips:.0%} of the "
        "draws (instability, not error).",
        "Do not filter or mask by the sign of single steps; more rollouts per group.",
        {"sign_flip_rate": flips},
    )


def _follows_length(subject: Subject, seen: Readings) -> Found | None:
    found = seen.get("action_length")
    if found is None or found.value is None or found.shuffled is None:
        return None
    low, high = found.shuffled
    if abs(found.value) <= 0.3 or low <= found.value <= high:
        return None
    return (
        f"Inside trajectories the credit follows the length of the action (rank correlation "
        f"{found.value:.2f}; shuffled {low:.2f} to {high:.2f}).",
        "Read steps with `workbench explain`; a policy trained on it may learn to write longer or "
        "shorter.",
        {"action_length": found.value},
    )


def _worse_than_the_mean(subject: Subject, seen: Readings) -> Found | None:
    gain = seen.get("held_out_gain")
    if gain is None or gain.value is None or gain.value > -0.01 or (gain.high or 0.0) > 0.0:
        return None
    return (
        "On rollouts held out the baseline predicts returns worse than the plain mean of the "
        f"others (squared error {-gain.value:.0%} larger).",
        "Try `workbench tune`, other keys, or fewer distinctions; the plain mean is the fallback.",
        {"held_out_gain": gain.value},
    )


def _turns_and_stopping(subject: Subject, seen: Readings) -> Found | None:
    kind = subject.method.turn_baseline() if subject.method else None
    lengths = _lengths_by_outcome(subject)
    if kind is None or lengths is None:
        return None
    won, lost = lengths
    if abs(won - lost) <= 0.1 * (won + lost) / 2:
        return None
    longer = "failures" if lost > won else "successes"
    text = f"In groups with both outcomes successes take {won:.1f} steps, failures {lost:.1f}, and "
    if kind == "counts-own-turns":
        text += (
            "this credit takes more off the longer a rollout itself goes on: to stop is credited "
            "as such, whatever it leads to."
        )
    else:
        text += (
            "this credit compares a step with those at the same turn: the later, the more of what "
            f"still runs are {longer}, and a late step is measured by them."
        )
    return (
        text,
        "Compare with what no rollout's length changes: -p baseline=start (igpo), -p peers=all "
        "(proxmo).",
        {"steps_of_successes": won, "steps_of_failures": lost},
    )


def _lengths_by_outcome(subject: Subject) -> tuple[float, float] | None:
    """Mean steps of successes and of failures over groups that have both; each group once."""
    steps, success = subject.steps, subject.log.success
    length = np.diff(steps.trajectory_start).astype(np.float64)
    of = steps.trajectory_group
    means, both = [], np.ones(steps.groups, dtype=bool)
    for outcome in (1.0, 0.0):
        is_so = (success == outcome).astype(np.float64)
        both &= segment_sum(is_so, of, steps.groups) > 0
        means.append(segment_mean(length, of, steps.groups, is_so))
    if not both.any():
        return None
    return float(means[0][both].mean()), float(means[1][both].mean())


def _unscaled_step_term(subject: Subject, seen: Readings) -> Found | None:
    values = subject.method.values if subject.method else {}
    found = unscaled(subject.steps.log, subject.table, values)
    return None if found is None else (found.text, found.action, dict(found.evidence))


OF_CREDIT: dict[str, tuple[str, Callable[[Subject, Readings], Found | None]]] = {
    "steps-population": ("warning", _steps_population),
    "self-in-softmax": ("error", _self_in_softmax),
    "saturated-success-weight": ("warning", _saturated_psc),
    "time-as-quality": ("warning", _time_as_quality),
    "penalty-only-credit": ("error", _penalty_only),
    "credit-of-equals": ("error", _credit_of_equals),
    "worse-than-the-mean": ("warning", _worse_than_the_mean),
    "unscaled-step-term": ("error", _unscaled_step_term),
    "turns-and-stopping": ("warning", _turns_and_stopping),
    "follows-length": ("warning", _follows_length),
    "unstable-signs": ("note", _unstable_signs),
}


MENDS: Mapping[str, Mapping[str, Any]] = {
    "steps-population": {"population": "trajectories"},
    "self-in-softmax": {"peers": "other_trajectories"},
    "time-as-quality": {"gamma": 1.0},
    "penalty-only-credit": {"invalid_penalty": 0.0},
    "credit-of-equals": {"group_of_one": "zero"},
    "turns-and-stopping": {"baseline": "start", "peers": "all"},
}
"""Finding -> fields that mend it in a method that has them."""
