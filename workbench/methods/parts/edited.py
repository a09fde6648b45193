"""Steps and spaces in which something is otherwise than in the log: rewards, who counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from workbench.errors import MissingInputError
from workbench.log.steps import Index, Steps, Truth
from workbench.states.similarity import Similarity
from workbench.states.space import DerivedSpace
from workbench.wording import Progress


@dataclass(frozen=True)
class EditedSteps(Steps):
    """The steps of a source with other rewards, of which some count in no statistic.

    All of them are still scored, in the same order.

    Args:
        source: The steps as they were.
        counts: Whether each step counts in group statistics. (S,) bool
        rewarded: Whether the reward of each trajectory is another one. (N,) bool
    """

    source: Steps
    counts: Truth
    rewarded: Truth

    @cached_property
    def counted(self) -> Truth:
        """Mask of steps that count in group statistics. (S,) bool."""
        return self.counts

    @cached_property
    def group_batch(self) -> Index:
        """Batch of each group, as in the source. (G,) int64."""
        return self.source.group_batch

    def of_trajectory(self, name: str) -> pl.Series:
        """As `Steps.of_trajectory`; success follows a reward that was changed.

        It does where the log's own rewards tell its successes from its failures: from half-way
        between the lowest of the first and the highest of the others on. Elsewhere it stays as it
        was logged.
        """
        values = super().of_trajectory(name)
        if name != "success" or not self.rewarded.any():
            return values
        before = self.source.episode_reward
        won, failed = (before[values.fill_null(not ok).to_numpy() == ok] for ok in (True, False))
        if not len(won) or not len(failed) or won.min() <= failed.max():
            return values
        now = self.episode_reward >= (won.min() + failed.max()) / 2
        known = values.is_not_null().to_numpy() & self.rewarded
        return pl.Series(name, np.where(known, now, values.to_list()), pl.Boolean, strict=False)


def edited(
    steps: Steps,
    rewards: Mapping[str, float],
    trajectories: Sequence[str],
    places: Sequence[tuple[str, int]],
) -> EditedSteps:
    """Steps with other rewards, of which some count in no statistic of their group.

    Args:
        steps: The steps, of a log or drawn from one.
        rewards: Trajectory id -> its episode reward; its last step gets the difference.
        trajectories: Ids of those that count in no statistic.
        places: Steps that count in none, as (trajectory id, step index).

    Raises:
        MissingInputError: The log has no such scored trajectory or step.
    """
    start = steps.trajectory_start[:-1]
    ids = steps.log["trajectory_id"].gather(steps.row[start])
    _require(steps, [*rewards, *trajectories], places)
    reward, counts = steps.reward.copy(), steps.counted.copy()
    rewarded = np.zeros(steps.trajectories, dtype=bool)
    for name, value in rewards.items():
        for trajectory in (ids == name).arg_true():
            last = steps.trajectory_start[trajectory + 1] - 1
            reward[last] += value - steps.episode_reward[trajectory]
            rewarded[trajectory] = value != steps.episode_reward[trajectory]
    counts &= ~ids.is_in(list(trajectories)).to_numpy()[steps.trajectory]
    for name, index in places:
        of = (ids == name).to_numpy()[steps.trajectory]
        counts &= ~(of & (steps.step_index == index))
    return EditedSteps(
        log=steps.log,
        row=steps.row,
        group=steps.group,
        trajectory=steps.trajectory,
        step_index=steps.step_index,
        reward=reward,
        source=steps,
        counts=counts,
        rewarded=rewarded,
    )


def _require(steps: Steps, names: Sequence[str], places: Sequence[tuple[str, int]]) -> None:
    """Checks that the log, of which steps may be a part, scores what is named."""
    if not names and not places:
        return
    table = steps.log.filter(pl.col("excluded").is_null())
    scored = dict(table["trajectory_id"].value_counts().iter_rows())
    missing = [repr(name) for name in names if name not in scored]
    missing += [f"{n!r} step {i}" for n, i in places if not 0 <= i < scored.get(n, 0)]
    if missing:
        raise MissingInputError(
            f"this log scores no {', '.join(missing[:3])}, so that nothing can be changed there. "
            "Hint: a what-if that names rollouts is of the log that it was made on"
        )


class EditedSpace(DerivedSpace):
    """The space of edited steps: texts, and so keys and similarities, are those of the source."""

    def state_key(self, spec: str = "exact") -> Index:
        """As `Space.state_key`, of the source."""
        return self._source.state_key(spec)

    def action_key(self, spec: str = "text") -> Index:
        """As `Space.action_key`, of the source."""
        return self._source.action_key(spec)

    def state_key_of_batch(self, spec: str = "exact") -> Index:
        """As `Space.state_key_of_batch`, of the source."""
        return self._source.state_key_of_batch(spec)

    def similarity(
        self, embedder: str | None = None, *, progress: Progress | None = None
    ) -> Similarity:
        """As `Space.similarity`, of the source."""
        return self._source.similarity(embedder, progress=progress)

    def action_similarity(self, embedder: str | None = None) -> Similarity:
        """As `Space.action_similarity`, of the source."""
        return self._source.action_similarity(embedder)
