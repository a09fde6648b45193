"""A log as rollouts to read: which there are, where a step stands, its credit in words.

Everything here is for a reader: the words of a term, the place of a step among the others. Nothing
is computed that a `Credit` does not hold already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from workbench.errors import ParameterError
from workbench.log.credit import Credit
from workbench.log.facts.trajectories import trajectory_table
from workbench.wording import natural, number

StepId = tuple[str, int]
"""A trajectory id and a step index."""

FACT_NAMES: Mapping[str, str] = {
    "score": "score",
    "baseline": "baseline",
    "factor": "factor",
    "group_mean": "mean of the group",
    "group_std": "deviation of the group",
    "group_size": "members of the group",
    "population": "statistics over",
    "all_equal": "all equal",
    "others": "others in the group",
    "others_std": "their deviation",
    "own_first_row_share": "share of its first row's penalty",
    "batch": "batch",
    "batch_std": "deviation of the batch",
    "compared_with": "compared with",
    "best": "best of the group",
    "alpha": "correction for dead groups of the batch",
    "success_rate": "success rate of the group",
    "psc_weight": "weight by success",
    "anchor_group_size": "steps in this state",
    "anchor_mean": "their mean",
    "anchor_std": "their deviation",
    "peers": "peers",
    "effective_peers": "effective number of peers",
    "self_weight": "weight of the step itself",
    "own_trajectory_weight": "weight of its own rollout",
}
"""Names of a term's facts for people; others keep their names."""


@dataclass(frozen=True)
class Rollouts:
    """The trajectories of a log in its order.

    Args:
        table: `facts.trajectory_table`'s columns and `start`, the row of the first step.
    """

    table: pl.DataFrame

    @classmethod
    def from_log(cls, log: pl.DataFrame) -> Rollouts:
        """The rollouts of a log that `schema.validate` has made."""
        table = trajectory_table(log)[0]
        return cls(
            table.with_columns((pl.col("length").cum_sum() - pl.col("length")).alias("start"))
        )

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Trajectory id -> its row in the table."""
        return {name: row for row, name in enumerate(self.table["trajectory_id"])}

    @cached_property
    def groups(self) -> Mapping[str, Sequence[int]]:
        """Group id -> the rows of its trajectories; both as people count: 2 before 10."""
        found: dict[str, list[int]] = {}
        for row, group in enumerate(self.table["group_id"]):
            found.setdefault(group, []).append(row)
        ids = self.table["trajectory_id"].to_list()
        return {
            group: sorted(found[group], key=lambda row: natural(ids[row]))
            for group in sorted(found, key=natural)
        }

    @cached_property
    def numbers(self) -> Mapping[str, tuple[int, int]]:
        """Trajectory id -> its number in its group, from 1, and how many there are."""
        ids = self.table["trajectory_id"].to_list()
        return {
            ids[row]: (number, len(rows))
            for rows in self.groups.values()
            for number, row in enumerate(rows, 1)
        }

    def _telling(self) -> str:
        """The first trajectory of a group whose rewards differ, so that it has credit."""
        scored = pl.when(pl.col("excluded").is_null()).then(pl.col("episode_reward"))
        several = scored.n_unique().over("group_id") - scored.is_null().any().over("group_id") > 1
        live = set(self.table.filter(several)["group_id"])
        group = next((name for name in self.groups if name in live), next(iter(self.groups)))
        first: str = self.table["trajectory_id"][self.groups[group][0]]
        return first

    def place(self, step: StepId | None) -> Place:
        """Place of a step; where it is None, the first of the first group that is telling.

        Raises:
            ParameterError: The log has no such step.
        """
        trajectory_id, index = step or (self._telling(), 0)
        if trajectory_id not in self.row:
            raise ParameterError(f"no trajectory {trajectory_id!r} in this log")
        row = self.row[trajectory_id]
        length = int(self.table["length"][row])
        if not 0 <= index < length:
            raise ParameterError(
                f"trajectory {trajectory_id!r} has steps 0 to {length - 1}, not {index}"
            )
        return Place(self, row, index)


@dataclass(frozen=True)
class Place:
    """One step among the rollouts of a log.

    Args:
        rollouts: All of them.
        row: Row of its trajectory there.
        index: Its step index.
    """

    rollouts: Rollouts
    row: int
    index: int

    @cached_property
    def trajectory(self) -> Mapping[str, Any]:
        """The row of its trajectory."""
        return self.rollouts.table.row(self.row, named=True)

    @property
    def step(self) -> StepId:
        """Its trajectory id and step index."""
        return self.trajectory["trajectory_id"], self.index

    @property
    def log_row(self) -> int:
        """Its row in the log."""
        return int(self.trajectory["start"]) + self.index


def scored_number(credit: Credit, place: Place) -> int:
    """Number of a step among the scored ones; its trajectory must not be excluded."""
    return int(np.searchsorted(credit.steps.row, place.log_row))


def outcome(success: bool | None) -> str:
    """✓, ✗ or ? for a trajectory that succeeded, failed, or where that is not known."""
    return "?" if success is None else "✓" if success else "✗"


def sentence(term: str, facts: Mapping[str, Any]) -> str:
    """The origin of a term, in words.

    Example:
        >>> facts = {"score": 0.66, "baseline": 0.41, "factor": 1.0, "effective_peers": 4.2}
        >>> sentence("step", facts)
        'return 0.66 against the baseline 0.41 of 4.2 effective peers'
    """
    score = f"{'return' if term == 'step' else 'reward'} {number(facts['score'], 3)}"
    alone = _alone(facts)
    if alone and facts["factor"] == 0:
        return f"0, because {alone}"
    if alone and facts["baseline"] == 0:
        return f"{score} as it is, because {alone}"
    if facts.get("compared_with") == "nothing":
        return f"{score} as it is{_scaled(facts)}"
    against = f"{score} against {_compared_with(facts)}"
    if facts["factor"] == 0:
        return f"{against}, switched off" + (": all are equal" if facts.get("all_equal") else "")
    return against + _scaled(facts)


def _alone(facts: Mapping[str, Any]) -> str:
    if facts.get("others") == 0 or facts.get("group_size", 2) <= 1:
        return "it is the only rollout of its group"
    if facts.get("anchor_group_size", 2) <= 1:
        return "no other step of the group is in this state"
    if facts.get("peers") == 0:
        return "it has no peers"
    return ""


def _compared_with(facts: Mapping[str, Any]) -> str:
    mean = number(facts["baseline"], 3)
    if "compared_with" in facts:
        return f"{facts['compared_with']} {mean}"
    if facts.get("others") == 1:
        return f"the {mean} of the only other rollout"
    if "others" in facts:
        return f"the mean {mean} of the {number(facts['others'], 3)} others"
    if "anchor_group_size" in facts:
        size = number(facts["anchor_group_size"], 3)
        return f"the mean {mean} of the {size} steps in this state"
    if "effective_peers" in facts:
        return f"the baseline {mean} of {number(facts['effective_peers'], 3)} effective peers"
    return f"the group's mean {mean}"


def _scaled(facts: Mapping[str, Any]) -> str:
    weight = facts.get("psc_weight") or 1.0
    scale = facts["factor"] / weight
    names = ("group_std", "others_std", "batch_std", "anchor_std")
    deviations = [facts[name] for name in names if facts.get(name)]
    over = [found for found in deviations if math.isclose(scale * found, 1.0, rel_tol=1e-3)]
    text = ""
    if over:
        text = f", over the deviation {number(over[0], 3)}"
    elif not math.isclose(scale, 1.0, rel_tol=1e-9):
        text = f", times {number(scale, 3)}"
    if facts.get("success_rate") is not None and abs(weight - 1.0) >= 5e-4:
        text += f", weighted {weight:.3f} for a success rate of {number(facts['success_rate'], 3)}"
    return text


def fact_rows(facts: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """The facts of all terms as text: a row each, and a column for each term."""
    names = dict.fromkeys(name for of_term in facts.values() for name in of_term)
    rows = [
        {"fact": FACT_NAMES.get(name, name.replace("_", " "))}
        | {term: _fact(of_term[name]) if name in of_term else "" for term, of_term in facts.items()}
        for name in names
    ]
    return pl.DataFrame(rows)


def _fact(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 3) if isinstance(value, int | float) else str(value)
