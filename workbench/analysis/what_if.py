"""Effect of a what-if: a step, its group and the log before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workbench.errors import ParameterError
from workbench.log.credit import Credit
from workbench.log.remarks import TOLERANCE
from workbench.log.steps import Truth
from workbench.methods import create
from workbench.methods.what_if import NAME, WhatIf, entries
from workbench.parameters import fields

FIELDS: Mapping[str, str] = {
    "gamma": "γ, discount",
    "temperature": "τ, temperature",
    "step_weight": "ω, step weight",
    "state_key": "state key",
    "peers": "peers",
}
"""Fields that the explanation offers to change, with what they are called."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Effect of a change on the credit of a log.

    Args:
        before, after: Advantage of the step that is looked at.
        rollouts: A row for each scored rollout of its group: trajectory_id, before and after (means
            over its steps), flips (steps with opposite signs).
        flips: Steps of the log with opposite signs, both beyond `TOLERANCE`.
        changed: Steps of the log whose advantage is another by more than `TOLERANCE`.
        groups: Groups in which it is.
    """

    before: float
    after: float
    rollouts: pl.DataFrame
    flips: int
    changed: int
    groups: int


def effect(before: Credit, after: Credit, step: int) -> Effect:
    """Compare a credit with the one under a change.

    Args:
        before: The credit.
        after: The what-if's, of the same steps.
        step: Number of the scored step that is looked at.

    Raises:
        ParameterError: They are not of the same steps.
    """
    steps = before.steps
    if len(after.steps) != len(steps) or (after.steps.row != steps.row).any():
        raise ParameterError("a what-if is compared with the credit of the same steps")
    one, other = before.advantage, after.advantage
    flipped: Truth = ((one > TOLERANCE) & (other < -TOLERANCE)) | (
        (one < -TOLERANCE) & (other > TOLERANCE)
    )
    changed = np.abs(one - other) > TOLERANCE
    here = steps.group == steps.group[step]
    rollouts = (
        pl.DataFrame(
            {
                "trajectory_id": steps.column("trajectory_id").filter(pl.Series(here)),
                "before": one[here],
                "after": other[here],
                "flips": flipped[here].astype(np.int64),
            }
        )
        .group_by("trajectory_id", maintain_order=True)
        .agg(pl.col("before", "after").mean(), pl.col("flips").sum())
    )
    return Effect(
        before=float(one[step]),
        after=float(other[step]),
        rollouts=rollouts,
        flips=int(flipped.sum()),
        changed=int(changed.sum()),
        groups=len(np.unique(steps.group[changed])),
    )


def changeable(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a method that `FIELDS` offers, with their values."""
    method = create(name, params)
    return {field: method.values[field] for field in FIELDS if field in fields(type(method))}


def described(
    name: str,
    params: Mapping[str, Any],
    *,
    changed: Mapping[str, Any],
    rewards: Mapping[str, float],
    without: Sequence[str] = (),
    without_steps: Sequence[tuple[str, int]] = (),
) -> dict[str, Any]:
    """A change as fields of `WhatIf`.

    Args:
        name: The method.
        params: Fields that are set for it already.
        changed: Fields that are otherwise.
        rewards: Trajectory id -> its episode reward.
        without: Trajectories that count in no statistic.
        without_steps: Steps that count in none.

    Raises:
        ParameterError: A value that it cannot have.
    """
    values: dict[str, str] = {
        "of": name,
        "fields": entries([f"{k}={_text(v)}" for k, v in {**params, **changed}.items()]),
        "rewards": entries([f"{k}={v:.12g}" for k, v in rewards.items()]),
        "without": entries(without),
        "without_steps": entries([f"{t}:{i}" for t, i in without_steps]),
    }
    given = {field: value for field, value in values.items() if value}
    WhatIf(**given)
    return given


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


__all__ = ["FIELDS", "NAME", "Effect", "changeable", "described", "effect"]
