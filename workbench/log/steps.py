"""A validated log as aligned arrays: what every method computes on."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.errors import LogError, MissingInputError, ParameterError, Problem
from workbench.log.chaining import guessed_chains
from workbench.log.columns import REWARDS_HINT, known

Real = NDArray[np.float64]
Index = NDArray[np.int64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """The scored steps of a log, sorted by (group, trajectory, step).

    Steps of excluded trajectories are not here, so no method meets a missing reward. S steps,
    N trajectories, G groups; trajectories are numbered in order, groups likewise.

    Args:
        log: The whole step log, excluded rows included. (L, …)
        row: Where each scored step stands in `log`. (S,) int64
        group: Group of each step. (S,) int64
        trajectory: Trajectory of each step. (S,) int64
        step_index: Place of each step in its trajectory, from 0. (S,) int64
        reward: Reward of each step, finite. (S,) float64
    """

    log: pl.DataFrame
    row: Index
    group: Index
    trajectory: Index
    step_index: Index
    reward: Real

    @classmethod
    def from_log(cls, log: pl.DataFrame) -> Steps:
        """Take the arrays out of a log that `schema.validate` has made.

        Raises:
            LogError: No trajectory of the log can be scored.
        """
        scored = log.with_row_index("__row").filter(pl.col("excluded").is_null())
        if scored.is_empty():
            reasons = log["excluded"].unique().sort().to_list()
            rule = f"every trajectory is excluded: {'; '.join(reasons[:3])}"
            hint = "without rewards no credit can be given; see `workbench facts`"
            if log["reward"].null_count() == log.height:
                hint = f"without rewards no credit can be given: {REWARDS_HINT}"
            problem = Problem(column="reward", rule=rule, hint=hint)
            raise LogError(f"a step log of {log.height} rows", [problem])
        codes = scored.select(
            pl.col("__row").cast(pl.Int64),
            (pl.col("group_id").rle_id()).cast(pl.Int64),
            (pl.col("trajectory_id").rle_id()).cast(pl.Int64),
            pl.col("step_index").cast(pl.Int64),
            pl.col("reward"),
        )
        row, group, trajectory, step_index, reward = (column.to_numpy() for column in codes)
        return cls(log, row, group, trajectory, step_index, reward)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return int(self.group[-1]) + 1

    @property
    def trajectories(self) -> int:
        """N, the number of trajectories."""
        return int(self.trajectory[-1]) + 1

    @cached_property
    def group_start(self) -> Index:
        """First step of each group, and S at the end. (G + 1,) int64."""
        return np.searchsorted(self.group, np.arange(self.groups + 1)).astype(np.int64)

    @cached_property
    def trajectory_start(self) -> Index:
        """First step of each trajectory, and S at the end. (N + 1,) int64."""
        ends = np.arange(self.trajectories + 1)
        return np.searchsorted(self.trajectory, ends).astype(np.int64)

    @cached_property
    def trajectory_group(self) -> Index:
        """Group of each trajectory. (N,) int64."""
        return self.group[self.trajectory_start[:-1]]

    @cached_property
    def batch(self) -> Index:
        """Training batch of each step: the groups that one update of one run was made from. (S,).

        A batch is a pair of `run_id` and `train_step`; batches are numbered in canonical order of
        first appearance, which is the order of group ids and need not be that of time. A log in
        which no scored step has a train_step is one batch, whatever its run_id.

        A group is never divided: it is in the batch of the first run_id and the first train_step
        that a scored step of it names (`schema.validate` refuses several train_steps in a group,
        but not several runs). Where other groups have a train_step and this one has none, null is
        an update like any other: such groups of a run are one batch. A null run_id is a run like
        any other.
        """
        return self.group_batch[self.group]

    @cached_property
    def group_batch(self) -> Index:
        """Batch of each group. (G,) int64."""
        if not self.has_updates:
            return np.zeros(self.groups, dtype=np.int64)
        distinct = self._updates.unique(maintain_order=True).with_row_index("batch")
        joined = self._updates.join(
            distinct, on=distinct.columns[1:], maintain_order="left", nulls_equal=True
        )
        return joined["batch"].cast(pl.Int64).to_numpy()

    @property
    def batches(self) -> int:
        """B, the number of batches."""
        return int(self.group_batch.max()) + 1

    @cached_property
    def has_updates(self) -> bool:
        """True if any scored step names the update of a run that it was rolled out for."""
        return not self._updates["train_step"].is_null().all()

    @cached_property
    def guessed_chains(self) -> str | None:
        """Sentence on how a reader guessed the order of steps; None if the source states it."""
        return guessed_chains(self.log)

    @cached_property
    def _updates(self) -> pl.DataFrame:
        """The first run_id and train_step of each group that are not null. (G, 2)."""
        names = ["run_id", "train_step"]
        values = pl.DataFrame({"group": self.group, **{name: self.column(name) for name in names}})
        first = [pl.col(name).drop_nulls().first() for name in names]
        return values.group_by("group", maintain_order=True).agg(first).select(names)

    def update_of(self, batch: int) -> tuple[Any, int | None]:
        """The run_id and the train_step of a batch, as the log has them."""
        run, update = self._updates.row(int(np.flatnonzero(self.group_batch == batch)[0]))
        return run, update

    def batch_name(self, batch: int) -> str:
        """A batch in words, such as "run r, update 3"; "the whole log" where that is one batch."""
        if not self.has_updates:
            return "the whole log"
        run, update = self.update_of(batch)
        of_run = "" if run is None else f"run {run}, "
        return f"{of_run}no update named" if update is None else f"{of_run}update {update}"

    @cached_property
    def episode_reward(self) -> Real:
        """Undiscounted sum of each trajectory's rewards. (N,) float64."""
        return np.add.reduceat(self.reward, self.trajectory_start[:-1])

    @cached_property
    def copies(self) -> Real:
        """Number of identical source rows per step. (S,) float64."""
        return self.column("copies").cast(pl.Float64).to_numpy()

    @cached_property
    def counted(self) -> Truth:
        """Mask of steps whose trajectory counts in group statistics. (S,) bool."""
        return self.column("in_group_statistics").to_numpy()

    @cached_property
    def invalid_action(self) -> Truth:
        """Mask of steps whose action the environment could not parse. (S,) bool."""
        return ~self.column("valid_action").to_numpy()

    @cached_property
    def sha256(self) -> str:
        """Digest of the log's rows, for logs that were not read from a file."""
        buffer = io.BytesIO()
        self.log.write_ipc(buffer, compression="uncompressed")
        return hashlib.sha256(buffer.getbuffer()).hexdigest()

    def column(self, name: str) -> pl.Series:
        """A column of the log at the scored steps; nulls where the log does not have it. (S,)."""
        if name in self.log.columns:
            return self.log[name].gather(self.row)
        entry = known(name)
        dtype = entry.dtype if entry else pl.Null()
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, len(self))

    def numbers(self, name: str, *, missing: float = np.nan) -> Real:
        """A column of numbers at the scored steps. (S,) float64.

        Args:
            name: Any column of the log.
            missing: What stands for null and NaN.

        Raises:
            MissingInputError: The log has no such column, or it holds no numbers.
        """
        numeric = [c for c, dtype in self.log.schema.items() if dtype.is_numeric()]
        if name not in numeric:
            found = "is not in the log" if name not in self.log.columns else "is no number"
            raise MissingInputError(
                f"the column {name!r} {found}. Hint: columns of numbers are {numeric}"
            )
        return self.column(name).cast(pl.Float64).fill_nan(None).fill_null(missing).to_numpy()

    def of_trajectory(self, name: str) -> pl.Series:
        """A per-trajectory column: its first value in each trajectory that is not null. (N,)."""
        if name not in self._of_trajectory:
            column = self.column(name)
            known = np.flatnonzero(column.is_not_null().to_numpy())
            trajectory = self.trajectory[known]
            is_first = np.diff(trajectory, prepend=-1) != 0
            at = np.full(self.trajectories, -1)
            at[trajectory[is_first]] = known[is_first]
            where = pl.Series(at).replace(-1, None)
            self._of_trajectory[name] = column.gather(where).alias("value")
        return self._of_trajectory[name]

    @cached_property
    def _of_trajectory(self) -> dict[str, pl.Series]:
        return {}

    def identity(self, step: int) -> Mapping[str, Any]:
        """Ids of one scored step, as the log has them."""
        ids = ["group_id", "trajectory_id", "step_index"]
        return self.log.select(ids).row(int(self.row[step]), named=True)

    def number_of(self, step: int | str | tuple[str, int]) -> int:
        """Number of a scored step.

        Args:
            step: That number, (trajectory_id, step_index), or "TRAJECTORY:INDEX".

        Raises:
            ParameterError: It is none of these, or there is no such scored step.
        """
        if isinstance(step, str):
            trajectory, colon, index = step.rpartition(":")
            if not colon or not index.isdecimal():
                raise ParameterError(f"a step is TRAJECTORY:INDEX, such as 't1:3'; got {step!r}")
            return self.find(trajectory, int(index))
        if isinstance(step, tuple) and len(step) == 2:
            return self.find(str(step[0]), self._index(step[1]))
        number = self._index(step)
        if not 0 <= number < len(self):
            raise ParameterError(f"scored steps are 0 to {len(self) - 1}, got {number}")
        return number

    @staticmethod
    def _index(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ParameterError(
                "a step is its number, (trajectory_id, step_index) or 'TRAJECTORY:INDEX'; got "
                f"{value!r}"
            )
        return int(value)

    def find(self, trajectory_id: str, step_index: int) -> int:
        """Number of a scored step by its ids.

        Raises:
            ParameterError: The log has no such step, or its trajectory is excluded.
        """
        in_trajectory = self.log.with_row_index("__row").filter(
            pl.col("trajectory_id") == trajectory_id
        )
        if in_trajectory.is_empty():
            known = self.log["trajectory_id"].unique(maintain_order=True)
            alike = known.filter(known.str.contains(trajectory_id, literal=True))
            some = (known if alike.is_empty() else alike).head(3).to_list()
            raise ParameterError(f"no trajectory {trajectory_id!r} in the log; it has {some} …")
        here = in_trajectory.filter(pl.col("step_index") == step_index)
        if here.is_empty():
            raise ParameterError(
                f"trajectory {trajectory_id!r} has steps 0 to {in_trajectory.height - 1}, "
                f"not {step_index}"
            )
        reason = here["excluded"][0]
        if reason is not None:
            raise ParameterError(f"trajectory {trajectory_id!r} is excluded: {reason}")
        return int(np.searchsorted(self.row, here["__row"][0]))
