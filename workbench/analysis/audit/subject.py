"""Subject of an audit: the steps of a log and their credits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from workbench.analysis.resampling import drawn_spaces
from workbench.errors import ParameterError, WorkbenchError
from workbench.log.credit import Credit, Provenance, ScoredCredit
from workbench.log.facts import Facts, facts, group_table
from workbench.log.facts.trajectories import trajectory_table
from workbench.log.remarks import TOLERANCE
from workbench.log.segments import segment_constant, segment_mean
from workbench.log.steps import Real, Steps, Truth
from workbench.methods import Method, create
from workbench.states.space import Space

_STEP = ["group_id", "trajectory_id", "step_index"]
_SAME = 1e-6  # largest difference, in deviations, of a credit that counts as scored again


@dataclass(frozen=True)
class AuditedLog:
    """The scored steps of a log with the outcomes of their trajectories.

    Args:
        space: Gives the states that the log-wide measures are about.
    """

    space: Space

    @property
    def steps(self) -> Steps:
        """The steps."""
        return self.space.steps

    @cached_property
    def facts(self) -> Facts:
        """The facts of the log."""
        return facts(self.steps.log)

    @cached_property
    def kind(self) -> Any:
        """Kind of each group, a key of `facts.GROUP_KINDS`. (G,) str."""
        table = group_table(self.steps.log)
        kinds = dict(zip(table["group_id"], table["kind"], strict=True))
        return np.array([kinds[name] for name in self.group_ids])

    @cached_property
    def group_ids(self) -> list[str]:
        """Ids of the groups. (G,)."""
        rows = self.steps.row[self.steps.group_start[:-1]]
        return self.steps.log["group_id"].gather(rows).to_list()

    @property
    def live(self) -> Truth:
        """Mask of groups whose rewards differ. (G,) bool."""
        return np.asarray(self.kind == "live")

    @cached_property
    def centred(self) -> Real:
        """Reward of each trajectory less its group's mean, exactly 0 for equal ones. (N,)."""
        steps = self.steps
        counted = steps.counted[steps.trajectory_start[:-1]]
        how = (steps.trajectory_group, steps.groups)
        mean = segment_mean(steps.episode_reward, *how, counted.astype(np.float64))
        equal = segment_constant(steps.episode_reward, *how, counted)
        centred = steps.episode_reward - mean[steps.trajectory_group]
        return np.where(equal[steps.trajectory_group], 0.0, centred)

    @cached_property
    def success(self) -> Real:
        """1 and 0 for success and failure, NaN where not known. (N,) float64.

        Success is as in `facts`; where a log has none, reward above its group's mean is.
        """
        table, source = trajectory_table(self.steps.log)
        if source is None:
            return np.where(self.centred == 0.0, np.nan, (self.centred > 0).astype(np.float64))
        known = table.filter(pl.col("excluded").is_null())["success"]
        return known.cast(pl.Float64).fill_null(float("nan")).to_numpy()

    @cached_property
    def success_note(self) -> str:
        """Say so where success is not the log's own."""
        if self.facts.success["source"] is not None:
            return ""
        return "success is not known; taken for it: reward above the group's mean"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A credit to be audited.

    Args:
        name: What it is called.
        log: What it is the credit of.
        space: Where its method runs; another embedder makes another space of the same steps.
        table: Its scored rows in the order of the steps.
        method: The method that made it; None where that is not known.
        credit: What the method gives here; equal to the table. None without a method.
        unknown: Why there is no method.
    """

    name: str
    log: AuditedLog
    space: Space
    table: pl.DataFrame
    method: Method | None = None
    credit: Credit | None = None
    unknown: str = ""

    @property
    def steps(self) -> Steps:
        """The steps."""
        return self.log.steps

    @cached_property
    def advantage(self) -> Real:
        """The credit. (S,) float64."""
        return self.table["advantage"].to_numpy()

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the credit over all steps (ddof 0)."""
        return float(self.advantage.std())

    @cached_property
    def drawable(self) -> bool:
        """True if groups can be resampled and scored without the rest of the log.

        Methods say so of themselves; what their fields do is found by scoring every other group
        as a batch of its own, which a deviation over several groups, for one, does not survive.
        """
        if self.method is None or "couples-groups" in self.method.info.traits:
            return False
        steps = self.steps
        half = np.flatnonzero(steps.trajectory_group % 2 == 0)
        group = steps.trajectory_group[half] // 2
        return all(
            self._same(self.method(here, space).advantage, self.advantage[here.origin])
            for _, here, space in drawn_spaces(self.space, half, group)
        )

    @cached_property
    def depends_on_others(self) -> bool:
        """True if a step's credit depends on the other rollouts of its group.

        It does not where every trajectory gets the same credit as a group of its own: noise, a
        column of the log. Other rollouts change nothing there, which is no virtue of the credit.
        """
        if self.method is None or self.deviation <= TOLERANCE:
            return True
        every = np.arange(self.steps.trajectories)
        return not all(
            self._same(self.method(here, space).advantage, self.advantage[here.origin])
            for _, here, space in drawn_spaces(self.space, every, every)
        )

    def _same(self, one: Real, other: Real) -> bool:
        """True if two credits are equal up to rounding."""
        return float(np.abs(one - other).max()) <= _SAME * max(self.deviation, TOLERANCE)

    def term(self, name: str) -> Real | None:
        """A term of the credit, if the table has it. (S,) float64."""
        column = f"term_{name}"
        return self.table[column].to_numpy() if column in self.table.columns else None

    @cached_property
    def episode(self) -> Real:
        """The episode term; the whole credit where it has none. (S,) float64."""
        term = self.term("episode")
        return self.advantage if term is None else term

    @cached_property
    def is_episode_credit(self) -> bool:
        """True if `episode` is nearly one number per trajectory.

        It is where the table has an episode term, and where the variance inside trajectories is
        less than a twentieth of all in groups whose rewards differ.
        """
        if self.term("episode") is not None:
            return True
        steps, live = self.steps, self.log.live[self.steps.group]
        mean = segment_mean(self.advantage, steps.trajectory, steps.trajectories)
        inside = (self.advantage - mean[steps.trajectory])[live]
        return bool(live.any() and (inside**2).mean() < 0.05 * self.advantage[live].var())

    @property
    def episode_note(self) -> str:
        """Say so where the whole credit stands for the episode term."""
        return "" if self.term("episode") is not None else "of the whole credit: no episode term"


def audited(
    name: str,
    log: AuditedLog,
    space: Space,
    given: ScoredCredit,
) -> Subject:
    """A credit as something to audit, with its method if that can be created again.

    The method is created from what the credit file says of it and scores the log once more; unless
    it gives the same credit, only the table is audited and `unknown` says why.

    Args:
        name: What to call it.
        log: The log.
        space: Where the method runs.
        given: The credit.

    Raises:
        ParameterError: The table is not a credit of the log's scored steps.
        MissingInputError: Its method asks what follows what, and the log does not say it.
    """
    aligned = _aligned(name, log.steps, given.table)
    bare = Subject(name=name, log=log, space=space, table=aligned)
    method, credit, unknown = _again(bare, given.provenance)
    return Subject(
        name=name,
        log=log,
        space=space,
        table=aligned,
        method=method,
        credit=credit,
        unknown=unknown,
    )


def _aligned(name: str, steps: Steps, table: pl.DataFrame) -> pl.DataFrame:
    missing = [column for column in (*_STEP, "advantage") if column not in table.columns]
    if missing:
        raise ParameterError(
            f"{name!r} is not a credit table: missing columns {missing}; found {table.columns}"
        )
    wanted = steps.log.select(_STEP)[steps.row]
    if table.select(_STEP).is_duplicated().any():
        raise ParameterError(f"{name!r} has steps twice")
    aligned = wanted.join(table, on=_STEP, how="left", maintain_order="left")
    value = aligned["advantage"].cast(pl.Float64)
    lost = aligned.filter(value.is_null() | ~value.is_finite())
    if lost.height:
        places = ", ".join(f"{t!r} step {s}" for _, t, s in lost.select(_STEP).head(3).iter_rows())
        raise ParameterError(
            f"{name!r} has no finite advantage for {lost.height} of the {wanted.height} scored "
            f"steps of the log, first at {places}. Hint: score this very log"
        )
    return aligned.with_columns(value)


def _again(subject: Subject, made: Provenance) -> tuple[Method | None, Credit | None, str]:
    """The method that made a credit and its credit here, or the reason why there is none."""
    if not made.name:
        return None, None, "the credit does not say what made it"
    try:
        method = create(made.method["name"], made.method["fields"])
    except WorkbenchError as error:
        return None, None, f"its method cannot score this log again: {error}"
    method.require_chain(subject.steps, subject.space)
    try:
        credit = method(subject.steps, subject.space)
    except WorkbenchError as error:
        return None, None, f"its method cannot score this log again: {error}"
    largest = float(np.abs(credit.advantage - subject.advantage).max())
    if largest > _SAME * max(subject.deviation, TOLERANCE):
        return (
            None,
            None,
            (
                f"its method ({made.method['name']}) gives other numbers here, up to "
                f"{largest:.3g} away: "
                "another log, a part of its batch, another embedder, state text or version"
            ),
        )
    return method, credit, ""
