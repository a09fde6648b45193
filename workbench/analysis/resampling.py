"""Logs drawn from a log: some of its trajectories, as often and in such groups as asked.

What a credit would have been with other rollouts is found by scoring drawn logs. Their rows are
those of the source and are not copied, and similarities are those of the source: nothing is
embedded again, and a representation that was fitted on the source stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from workbench.log.steps import Index, Real, Steps, Truth
from workbench.states.similarity import Similarity, States
from workbench.states.space import DerivedSpace, Space
from workbench.wording import Progress

ROWS_AT_ONCE = 20_000  # steps of the drawn logs that are scored together


@dataclass(frozen=True)
class DrawnSteps(Steps):
    """The steps of a drawn log; ids and columns are those of the source.

    Args:
        origin: Which step of the source each step is. (S,) int64
        takes_part: Whether each step counts in group statistics. (S,) bool
    """

    origin: Index
    takes_part: Truth

    @cached_property
    def counted(self) -> Truth:
        """Mask of steps whose trajectory counts in its drawn group's statistics. (S,) bool."""
        return self.takes_part

    @cached_property
    def group_batch(self) -> Index:
        """A batch of its own for each drawn group. (G,) int64.

        Drawn groups that are scored together were never in one batch, and which ones are must not
        matter.
        """
        return np.arange(self.groups, dtype=np.int64)


def drawn_steps(
    steps: Steps, trajectory: Index, group: Index, outsider: Truth | None = None
) -> DrawnSteps:
    """The steps of drawn groups.

    Args:
        steps: The source.
        trajectory: Trajectories of the source, those of a drawn group adjacent. (M,) int64
        group: Drawn group of each, ascending from 0 without gaps. (M,) int64
        outsider: Which of them are scored, but count in no statistic of their group. (M,) bool
    """
    start = steps.trajectory_start
    length = start[trajectory + 1] - start[trajectory]
    number = np.repeat(np.arange(len(trajectory)), length)
    within = np.arange(len(number)) - np.repeat(np.cumsum(length) - length, length)
    origin = start[trajectory][number] + within
    takes_part = steps.counted[origin]
    if outsider is not None:
        takes_part = takes_part & ~outsider[number]
    return DrawnSteps(
        log=steps.log,
        row=steps.row[origin],
        group=group[number],
        trajectory=number,
        step_index=within,
        reward=steps.reward[origin],
        origin=origin,
        takes_part=takes_part,
    )


class DrawnSpace(DerivedSpace):
    """The space of a drawn log: its similarities are those of the source.

    Args:
        source: The space of the source.
        steps: The drawn steps.
    """

    def __init__(self, source: Space, steps: DrawnSteps) -> None:
        super().__init__(source, steps)
        self._origin = steps.origin

    def similarity(
        self, embedder: str | None = None, *, progress: Progress | None = None
    ) -> Similarity:
        """As `Space.similarity`, between the states that a drawn group has."""
        name = "" if embedder is None else embedder
        if name not in self._similarities:
            whole = self._source.similarity(embedder, progress=progress)
            self._similarities[name] = _drawn_similarity(whole, self.steps, self._origin)
        return self._similarities[name]


@dataclass(frozen=True, kw_only=True)
class _DrawnSimilarity(Similarity):
    """Blocks are cut out of the source's, which are kept there.

    Args:
        source: Of the source.
        member: Which state of its source group each state is. (U,) int64
        source_group: Source group of each drawn group. (G,) int64
    """

    source: Similarity
    member: Index
    source_group: Index

    def _product(self, group: int, states: Index) -> Real:
        first, last = self.states.start[group], self.states.start[group + 1]
        rows = self.source.rows(int(self.source_group[group]), self.member[first + states])
        return rows[:, self.member[first:last]]


def _drawn_similarity(whole: Similarity, steps: Steps, origin: Index) -> Similarity:
    known = len(whole.states.text)
    here = whole.states.state[origin]
    distinct, state = np.unique(steps.group * known + here, return_inverse=True)
    group, source = np.divmod(distinct, known)
    start = np.searchsorted(group, np.arange(steps.groups + 1)).astype(np.int64)
    of_source = np.searchsorted(whole.states.start, source[start[:-1]], side="right") - 1
    states = States(state.astype(np.int64), start, [whole.states.text[k] for k in source])
    vectors: Real | csr_array = whole.vectors[source]
    member = source - whole.states.start[of_source][group]
    return _DrawnSimilarity(
        states, vectors, source=whole, member=member, source_group=of_source.astype(np.int64)
    )


def drawn_spaces(
    space: Space, trajectory: Index, group: Index, outsider: Truth | None = None
) -> Iterator[tuple[slice, DrawnSteps, DrawnSpace]]:
    """Drawn groups in portions of bounded size; arguments as for `drawn_steps`.

    Yields:
        Which of the M draws are in the portion, their steps, and the space of those.
    """
    start = space.steps.trajectory_start
    length = (start[1:] - start[:-1])[trajectory]
    groups = int(group[-1]) + 1 if len(group) else 0
    first = np.searchsorted(group, np.arange(groups + 1))
    size = np.add.reduceat(length, first[:-1]) if groups else np.zeros(0, dtype=np.int64)
    # A portion ends where the running sum enters another multiple, so one group may exceed it.
    portion = (np.cumsum(size) - size) // ROWS_AT_ONCE
    for number in np.unique(portion):
        of_portion = np.flatnonzero(portion == number)
        draws = slice(int(first[of_portion[0]]), int(first[of_portion[-1] + 1]))
        steps = drawn_steps(
            space.steps,
            trajectory[draws],
            group[draws] - of_portion[0],
            None if outsider is None else outsider[draws],
        )
        yield draws, steps, DrawnSpace(space, steps)
