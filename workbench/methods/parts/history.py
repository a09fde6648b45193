"""Features of a trajectory's history that carry over from one task to another.

An action is known by its kind: what it does, and how many words of the task it does that with.
"take mug 2 from the shelf" in a task about "mug" is "take+1"; a call of a tool is known by the
tool's name and the words of its arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Real, Steps
from workbench.states.keys.tools import tool_calls
from workbench.states.text import words

FIXED = ("position", "position squared", "constant", "mean of the group's others")
"""The features of a step before those of its earlier actions."""

_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The kinds of actions of a log.

    Args:
        name: Each kind's name, such as "take+1", in alphabetical order.
        code: Kind of each step's action, as a place in `name`. (S,) int64
    """

    name: tuple[str, ...]
    code: Index


def kinds_of(steps: Steps) -> Kinds:
    """The kind of every action; a step without a task shares no words with it."""
    pairs = pl.DataFrame({"task": steps.column("task"), "action": steps.column("action")})
    distinct = pairs.unique(maintain_order=True)
    named = distinct.with_columns(
        kind=pl.Series([kind_of(action, task or "") for task, action in distinct.iter_rows()])
    )
    joined = pairs.join(named, on=["task", "action"], how="left", nulls_equal=True)["kind"]
    code = joined.rank("dense").cast(pl.Int64) - 1
    return Kinds(name=tuple(joined.unique().sort()), code=code.to_numpy())


@lru_cache(maxsize=10_000)
def kind_of(action: str, task: str) -> str:
    """Kind of an action, and how many of its words the task has.

    The first name in it, in lower case, or the names of the tools that it calls; the words are
    those of the whole action, or of the calls' arguments. "+" alone is an action without a name.

    Example:
        >>> kind_of("take mug 1 from shelf 2", "put a mug in the sink")
        'take+1'
        >>> kind_of('{"name": "buy", "arguments": {"item": "red shoe"}}', "find a red shoe")
        'buy+2'
    """
    calls = [json.loads(call) for call in tool_calls(action)] if "{" in action else []
    if calls:
        does = "&".join(dict.fromkeys(str(call["name"]) for call in calls))
        spoken = " ".join(text for call in calls for text in _texts(call["arguments"]))
    else:
        found = _NAME.search(action)
        does, spoken = found.group().lower() if found else "", action
    return f"{does}+{len(_task_words(task) & words(spoken))}"


def _texts(value: Any) -> Iterator[str]:
    """The values inside of JSON, without the keys."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


@lru_cache(maxsize=10_000)
def _task_words(task: str) -> frozenset[str]:
    return words(task)


def features(position: Real, code: Index, first: Index, mean: Real, kinds: int) -> Real:
    """Features of each step that are known before its action.

        φ_t = [t/H, (t/H)², 1, m_t, last kind one-hot and earlier kinds multi-hot, interleaved]

    Args:
        position: t/H, place of each step as a share of the longest trajectory. (n,)
        code: Kind of each step's action, below `kinds`; −1 for one that has no feature. (n,)
        first: Whether each step is the first of its trajectory; trajectories are adjacent. (n,)
        mean: m_t, mean return of the other trajectories of its group. (n,)
        kinds: K.

    Returns:
        (n, 4 + 2 K) float64.
    """
    found = np.zeros((len(code), len(FIXED) + 2 * kinds))
    found[:, 0] = position
    found[:, 1] = position**2
    found[:, 2] = 1.0
    found[:, 3] = mean
    before = np.append(-1, code[:-1])
    before[first.astype(bool)] = -1
    known = np.flatnonzero(before >= 0)
    last = np.zeros((len(code), kinds))
    last[known, before[known]] = 1.0
    total = last.cumsum(axis=0)
    start = np.maximum.accumulate(np.where(first, np.arange(len(code)), 0))
    found[:, len(FIXED) :: 2] = last
    # A trajectory's first step has no action before it, so the sum there is that of others.
    found[:, len(FIXED) + 1 :: 2] = total > total[start]
    return found


def means_of_others(steps: Steps, returns: Real) -> Real:
    """m: mean return over the steps of the other counted trajectories of the group. (S,) float64.

    That of the batch's other groups where there are none, 0 where there are none of those either.
    """
    weight = steps.counted.astype(np.float64)
    total, count = weight * returns, weight

    def sums(segment: Index, segments: int) -> tuple[Real, Real]:
        return (
            segment_sum(total, segment, segments)[segment],
            segment_sum(count, segment, segments)[segment],
        )

    own, own_count = sums(steps.trajectory, steps.trajectories)
    group, group_count = sums(steps.group, steps.groups)
    batch, batch_count = sums(steps.batch, steps.batches)
    inside, around = group_count - own_count, batch_count - group_count
    mean = np.where(around > 0, batch - group, 0.0) / np.where(around > 0, around, 1.0)
    return np.where(inside > 0, (group - own) / np.where(inside > 0, inside, 1.0), mean)
