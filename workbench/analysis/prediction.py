"""Leave-one-rollout-out predictions of returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.analysis.resampling import drawn_spaces
from workbench.log.credit import Credit, Term
from workbench.log.segments import segment_constant, segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods import Method
from workbench.states.space import Space

FEWEST_ROLLOUTS = 3  # of a group, for one to be held out and two to be averaged


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The scores of a term's steps and what the other rollouts of their groups make of them.

    Args:
        score: What is predicted: a step's return, or its trajectory's reward. (S,) float64
        baseline: The method's prediction; the plain mean for a step without peers. (S,) float64
        plain: Plain mean of the scores of the group's other trajectories. (S,) float64
        chosen: Steps of groups with at least three rollouts whose scores differ, of the
            trajectories that were held out; elsewhere the rest is 0. (S,) bool
        is_outcome: Whether the scores are those of the trajectories themselves. A score that is
            made of other rollouts, such as a backed-up value, changes when it is held out, and
            cannot say how well it was predicted.
    """

    score: Real
    baseline: Real
    plain: Real
    chosen: Truth
    is_outcome: bool


def predicting_term(credit: Credit) -> str | None:
    """The term that compares a return with a baseline: the step term, else the episode term."""
    return next((name for name in ("step", "episode") if name in credit.terms), None)


def predicted(
    method: Method, credit: Credit, space: Space, trajectories: Index | None = None
) -> Prediction:
    """Baseline of a method for trajectories left out of all its statistics.

    Every trajectory is scored in its group without counting there, so that it has a baseline but
    no part in it: what `held_out` does at once for proximity baselines, for any method.

    Args:
        method: The method.
        credit: Its credit in the space, with a step or an episode term.
        space: The space.
        trajectories: Which are held out; all by default. (H,) int64
    """
    steps, name = space.steps, predicting_term(credit)
    assert name is not None
    term = credit.terms[name]
    weight = peer_weight(method, steps)
    if name == "episode":
        # The mean of an episode term is over trajectories, so the plain mean it must beat is too.
        length = np.diff(steps.trajectory_start)[steps.trajectory]
        weight = (weight > 0) / length
    enough, equal = usable(steps, term.score, weight)
    chosen = (enough & ~equal)[steps.group] & (weight > 0)
    if trajectories is not None:
        chosen &= np.isin(steps.trajectory, trajectories)
    plain = mean_of_others(steps, term.score, weight)
    baseline, is_outcome = np.zeros(len(steps)), True
    held = np.unique(steps.trajectory[chosen])
    if len(held):
        first, last = _trajectory_range(steps)
        size = (last - first)[steps.trajectory_group[held]]
        drawn = np.repeat(np.arange(len(held)), size)
        start = first[steps.trajectory_group[held]] - (np.cumsum(size) - size)
        member = np.arange(len(drawn)) + start[drawn]
        outsider = member == held[drawn]
        for draws, here, around in drawn_spaces(space, member, drawn, outsider):
            found = method(here, around).terms[name]
            own = np.flatnonzero(outsider[draws][here.trajectory])
            alone = _without_peers(found, own)
            value = np.where(alone, plain[here.origin[own]], found.baseline[own])
            baseline[here.origin[own]] = value
            is_outcome &= np.allclose(found.score[own], term.score[here.origin[own]])
    return Prediction(
        score=np.where(chosen, term.score, 0.0),
        baseline=np.where(chosen, baseline, 0.0),
        plain=np.where(chosen, plain, 0.0),
        chosen=chosen,
        is_outcome=is_outcome,
    )


def _trajectory_range(steps: Steps) -> tuple[Index, Index]:
    """First trajectory of each group, and the one after its last. (G,), (G,)."""
    edges = np.searchsorted(steps.trajectory_group, np.arange(steps.groups + 1))
    return edges[:-1], edges[1:]


def _without_peers(term: Term, steps: Index) -> Truth:
    """Mask of steps without peers, whose baseline is then their own score. (H,) bool."""
    alone = np.asarray(term.baseline[steps] == term.score[steps])
    for place in np.flatnonzero(alone):
        alone[place] = len(term.peers(int(steps[place])).weight) == 0
    return alone


def peer_weight(method: Any, steps: Steps) -> Real:
    """Weight of each step as a peer. (S,) float64."""
    if hasattr(method, "peer_weight"):
        return np.asarray(method.peer_weight(steps))
    return steps.counted.astype(np.float64)


def usable(steps: Steps, score: Real, weight: Real) -> tuple[Truth, Truth]:
    """Groups with enough counted rollouts, and those with equal returns. (G,)."""
    counts = weight[steps.trajectory_start[:-1]] > 0
    rollouts = segment_sum(counts.astype(np.float64), steps.trajectory_group, steps.groups)
    equal = segment_constant(score, steps.group, steps.groups, weight > 0)
    return rollouts >= FEWEST_ROLLOUTS, equal


def mean_of_others(steps: Steps, value: Real, weight: Real, state: Index | None = None) -> Real:
    """Mean of a value over the steps of the group's other trajectories; 0 without. (S,).

    Args:
        steps: The steps.
        value: Of each step. (S,)
        weight: How often each step counts. (S,)
        state: Label of each step; where other trajectories of the group have it too, only their
            steps with it are averaged. (S,) int64
    """

    def others(amount: Real, label: Index, own: Index) -> Real:
        whole = segment_sum(amount, label, int(label.max()) + 1)[label]
        return np.asarray(whole - segment_sum(amount, own, int(own.max()) + 1)[own])

    def mean(label: Index, own: Index, otherwise: Real | float) -> Real:
        count = others(weight, label, own)
        total = others(weight * value, label, own)
        return np.where(count > 0, total / np.where(count > 0, count, 1.0), otherwise)

    plain = mean(steps.group, steps.trajectory, 0.0)
    if state is None:
        return plain
    visit = state * steps.trajectories + steps.trajectory
    return mean(state, np.unique(visit, return_inverse=True)[1], plain)
