"""The group of a step as the viewer reads it: a dict for JSON, with the heads of long texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from workbench.analysis.rollouts import Rollouts
from workbench.files import digest
from workbench.log.credit import Credit
from workbench.log.steps import Index, Real
from workbench.ui.viewer.turns import Block, Turns, answer, cut, whole_text

HEAD = 600
"""Characters of a text that are sent unasked."""

MOST_TEXT = 1_200_000
"""Characters of texts that are sent for a group; of a larger one, those of one rollout."""

LEAST_HEAD = 60
NEIGHBOURS = 200
"""Groups listed on each side of the one that is read."""

_NAME, _TITLE = 120, 300
_QUANTILE = 0.98
_FEW_EQUAL = 0.2
_TEXTS = ("observation", "action", "thought", "messages", "next_observation")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Units of a method's advantages over a whole log.

    Args:
        largest: The 98th percentile of |A|: full colour.
        deviation: Their standard deviation.
    """

    largest: float
    deviation: float

    @classmethod
    def of(cls, credit: Credit) -> Scale:
        """The units of a credit; 1 where all advantages are 0."""
        size = np.abs(credit.advantage)
        largest = float(np.quantile(size, _QUANTILE)) or float(size.max())
        return cls(largest=largest or 1.0, deviation=float(credit.advantage.std()))


@dataclass(frozen=True)
class GroupOfLog:
    """One group of a log, its rollouts in the order of people.

    Args:
        log: The step log.
        rollouts: Its trajectories.
        group: Id of the group.
        only: Ids of the trajectories that are shown; all of the group where it is None.
    """

    log: pl.DataFrame
    rollouts: Rollouts
    group: str
    only: frozenset[str] | None = None

    @cached_property
    def table(self) -> pl.DataFrame:
        """The rows of its trajectories."""
        whole = self.rollouts.table[list(self.rollouts.groups[self.group])]
        return (
            whole if self.only is None else whole.filter(pl.col("trajectory_id").is_in(self.only))
        )

    @cached_property
    def rows(self) -> Index:
        """Row in the log of each step, rollout after rollout. (T,)."""
        spans = zip(self.table["start"], self.table["length"], strict=True)
        return np.concatenate([np.arange(start, start + length) for start, length in spans])

    @cached_property
    def steps(self) -> pl.DataFrame:
        """The steps. (T, …)."""
        return self.log[self.rows]

    def blocks(self, step: int) -> list[Block]:
        """Full text of a step of `rows`."""
        starts = np.cumsum([0, *self.table["length"].to_list()])
        first = int(starts[np.searchsorted(starts, step, side="right") - 1])
        turns = Turns()
        # A tool's answer names the call before it.
        found = [turns.blocks(row) for row in self.steps[first : step + 1].iter_rows(named=True)]
        return found[-1]


def group_payload(
    of: GroupOfLog,
    credits: Mapping[str, Credit],
    scales: Sequence[Scale],
    *,
    shown: str,
    step_columns: Mapping[str, Sequence[Any]],
    head: int = HEAD,
    most: int = MOST_TEXT,
) -> dict[str, Any]:
    """A group as the viewer reads it.

    Args:
        of: The group.
        credits: Methods that are shown.
        scales: Units of each.
        shown: The trajectory that is read; of a group with too much text its texts alone are sent.
        step_columns: What else is known of each step of `of.rows`, such as marks.
        head: Characters of a text that are sent.
        most: Characters of all texts of the group that are sent.
    """
    table, steps = of.table, of.steps
    size = sum(int(steps[n].str.len_chars().sum()) for n in _TEXTS if n in steps.columns)
    partly = min(size, head * 2 * steps.height) > most and table.height > 1
    said, lengths = _texts(of, shown if partly else None, head, most)
    states, by_state = _states(steps, said, table["length"].to_list())
    made: dict[str, Any] = {
        "id": of.group,
        "task": _first(steps, "task"),
        "methods": list(credits),
        "scale": [scale.largest for scale in scales],
        "sigma": [scale.deviation for scale in scales],
        "groups": _groups(of),
        "rollouts": {
            "id": table["trajectory_id"].to_list(),
            "number": [of.rollouts.numbers[name][0] for name in table["trajectory_id"]],
            "outcome": table["success"].to_list(),
            "reward": _numbers(table["episode_reward"].to_numpy(), 6),
            "length": table["length"].to_list(),
            "excluded": table["excluded"].to_list(),
        },
        "steps": {
            "blocks": said,
            "state": states,
            **_columns(steps),
            **{name: list(values) for name, values in step_columns.items()},
        },
        "byState": by_state,
        "partly": partly,
        "advantage": [_numbers(_advantage(credit, of.rows), 6) for credit in credits.values()],
        "cut": lengths,
        "last": _answers(of),
        "tools": _tools(steps),
    }
    return {**made, "key": digest(made)[:16]}


def _texts(
    of: GroupOfLog, only: str | None, head: int, most: int
) -> tuple[list[Any], dict[str, int]]:
    """Blocks of each step (None where they are not sent), and whole lengths by "step:block"."""
    said: list[list[Block] | None] = []
    turns, before = Turns(), None
    for row in of.steps.iter_rows(named=True):
        if row["trajectory_id"] != before:
            turns, before = Turns(), row["trajectory_id"]
        said.append(None if only is not None and before != only else turns.blocks(row))
    count = sum(len(blocks) for blocks in said if blocks)
    longest = max(min(head, most // max(count, 1)), LEAST_HEAD)
    lengths: dict[str, int] = {}
    for step, blocks in enumerate(said):
        if blocks is not None:
            said[step], long = cut(blocks, longest)
            lengths |= {f"{step}:{number}": length for number, length in long.items()}
    return said, lengths


def _columns(steps: pl.DataFrame) -> dict[str, list[Any]]:
    """Short columns that a step's head shows, where they say anything."""
    found: dict[str, list[Any]] = {"reward": _numbers(steps["reward"].to_numpy(), 6)}
    usual = {"valid_action": True, "gradient_mask": True, "truncated": False, "copies": 1}
    for name, value in usual.items():
        if name in steps.columns and not (steps[name].fill_null(value) == value).all():
            found[name] = steps[name].to_list()
    for name in ("agent_id", "role", "round"):
        if name in steps.columns and steps[name].null_count() < steps.height:
            found[name] = [_short(value) for value in steps[name]]
    return found


def _short(value: Any) -> Any:
    return value[:_NAME] if isinstance(value, str) else value


def _states(
    steps: pl.DataFrame, said: Sequence[Any], lengths: Sequence[int]
) -> tuple[list[int], bool]:
    """A code per step by which two rollouts are aligned, and whether it is the state.

    Where hardly any state comes back in another rollout, as in free talk, it is the kind of step:
    who spoke and what was called.
    """
    key = "state_key" if "state_key" in steps.columns else "observation"
    states = steps[key].fill_null("")
    of_rollout = np.repeat(np.arange(len(lengths)), lengths)
    shared = pl.DataFrame({"state": states, "rollout": of_rollout}).select(
        (pl.col("rollout").n_unique().over("state") > 1).mean()
    )
    by_state = len(lengths) < 2 or float(shared.item() or 0.0) >= _FEW_EQUAL
    if not by_state and all(blocks is not None for blocks in said):
        kinds = [
            "|".join(f"{block['role']}:{block['label']}" for block in blocks) for blocks in said
        ]
        states = pl.Series(kinds)
    else:
        by_state = True
    return states.rank("dense").cast(pl.Int64).to_list(), by_state


def _groups(of: GroupOfLog) -> dict[str, Any]:
    """The groups next to this one, with how many rollouts of each won."""
    every = list(of.rollouts.groups)
    index = every.index(of.group)
    first = max(index - NEIGHBOURS, 0)
    near = every[first : index + NEIGHBOURS + 1]
    success = of.rollouts.table["success"]
    won: list[int | None] = []
    for group in near:
        of_group = success[list(of.rollouts.groups[group])]
        won.append(None if of_group.null_count() else int(of_group.sum()))
    return {
        "index": index,
        "first": first,
        "total": len(every),
        "id": [group[:_TITLE] for group in near],
        "n": [len(of.rollouts.groups[group]) for group in near],
        "won": won,
    }


def _answers(of: GroupOfLog) -> list[Block | None]:
    """Environment's answer at the end of each rollout, where it was logged."""
    if "next_observation" not in of.log.columns:
        return [None] * of.table.height
    ends = (of.table["start"] + of.table["length"] - 1).to_list()
    texts = of.log["next_observation"].gather(ends)
    return [cut([answer(text)], HEAD)[0][0] if text else None for text in texts]


def _tools(steps: pl.DataFrame) -> str | None:
    """The tools that were offered, as the log has them, at most a page of them."""
    tools = _first(steps, "tools")
    return tools[: 20 * HEAD] if tools else None


def _first(steps: pl.DataFrame, column: str) -> str | None:
    values = (
        steps[column].drop_nulls() if column in steps.columns else pl.Series([], dtype=pl.String)
    )
    return str(values[0]) if values.len() else None


def _advantage(credit: Credit, rows: Index) -> Real:
    """A credit at some rows of the log, NaN where it scores none."""
    at = np.searchsorted(credit.steps.row, rows)
    at = np.minimum(at, len(credit.steps.row) - 1)
    return np.where(credit.steps.row[at] == rows, credit.advantage[at], np.nan)


def _numbers(values: Real, digits: int) -> list[float | None]:
    """Numbers for JSON, which has none for what is not finite."""
    numbers = np.asarray(values, dtype=np.float64)
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in numbers]


def find(of: GroupOfLog, text: str) -> list[int]:
    """Steps of `of.rows` in whose whole texts a text stands, in any case."""
    needle, turns, found = text.lower(), Turns(), []
    for number, row in enumerate(of.steps.iter_rows(named=True)):
        if any(needle in whole_text(block).lower() for block in turns.blocks(row)):
            found.append(number)
    return found
