"""The part of a log that is resampled, so that the work of an audit is bounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.analysis.prediction import FEWEST_ROLLOUTS
from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Steps

SAMPLE_STEPS = 5_000  # of the groups that are resampled
REDO_STEPS = 500_000  # scored again for one measure of one credit
REDO_PAIRS = 2_000_000_000  # pairs of steps of a group met doing so
DRAWS = 200


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Groups that an audit draws and scores again.

    Args:
        groups: Groups that are resampled. (H,) int64
        draws: How often each is drawn.
        eligible: Groups with at least three scored rollouts.
        steps: Steps of the drawn groups.
        seed: Of all that is drawn.
    """

    groups: Index
    draws: int
    eligible: int
    steps: int
    seed: int

    @property
    def note(self) -> str:
        """Size of the sample, in words."""
        if len(self.groups) == self.eligible:
            return ""
        return f"{len(self.groups):,} groups drawn of {self.eligible:,}"

    def some(self, members: Index, rng: np.random.Generator, *, times: int = 1) -> Index:
        """The rollouts of a group that are dropped or held out, as many as the bound allows.

        Args:
            members: Trajectories.
            rng: Draws some of them, where they are too many.
            times: How often the group is scored for each of them.
        """
        most = max(1, REDO_STEPS // max(self.steps * times, 1))
        few = len(members) <= most
        return members if few else np.sort(rng.choice(members, most, replace=False))


def sample_of(steps: Steps, *, seed: int, draws: int = DRAWS) -> Sample:
    """The groups that are resampled, and how often, so that the work is bounded."""
    counts = steps.counted[steps.trajectory_start[:-1]].astype(np.float64)
    rollouts = segment_sum(counts, steps.trajectory_group, steps.groups)
    eligible = np.flatnonzero(rollouts >= FEWEST_ROLLOUTS)
    size = np.diff(steps.group_start)
    order = np.random.default_rng(seed).permutation(eligible)
    fits = np.cumsum(size[order]) <= SAMPLE_STEPS
    fits[:1] = True
    groups = np.sort(order[fits])
    rows, pairs = int(size[groups].sum()), int((size[groups] ** 2).sum())
    bounded = min(draws, REDO_STEPS // max(rows, 1), REDO_PAIRS // max(pairs, 1))
    return Sample(
        groups=groups,
        draws=max(bounded, min(draws, 20)),
        eligible=len(eligible),
        steps=rows,
        seed=seed,
    )


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Whole groups of a log that is too large to be audited as a whole.

    Args:
        groups: How many were drawn.
        steps: Scored steps of them.
        of_groups: How many there are.
        of_steps: Likewise.
        unit: What was drawn whole.
        seed: Of the draw.
    """

    groups: int
    steps: int
    of_groups: int
    of_steps: int
    unit: str
    seed: int

    def __str__(self) -> str:
        what = "groups" if self.unit == "group" else "batches with their groups"
        return (
            f"Drawn: {self.steps:,} of {self.of_steps:,} steps, {self.groups:,} of "
            f"{self.of_groups:,} groups; whole {what}, seed {self.seed}."
        )


def drawn_groups(steps: Steps, most: int, *, seed: int, batches: bool = False) -> Index:
    """Groups of a log in random order until the next one would pass a bound, at least one.

    Args:
        steps: The log.
        most: Steps of them together.
        seed: Of the draw.
        batches: Whether batches are drawn whole, for a credit that compares groups of a batch.

    Returns:
        The groups, ascending.
    """
    unit = steps.group_batch if batches else np.arange(steps.groups)
    size = np.bincount(unit, weights=np.diff(steps.group_start))
    order = np.random.default_rng(seed).permutation(len(size))
    fits = np.cumsum(size[order]) <= most
    fits[:1] = True
    return np.flatnonzero(np.isin(unit, order[fits]))


def members_of(steps: Steps, group: int) -> Index:
    """Trajectories of a group."""
    return np.flatnonzero(steps.trajectory_group == group)


def joined(*notes: str) -> str:
    """Notes in one line, without the empty ones."""
    return "; ".join(filter(None, notes))
