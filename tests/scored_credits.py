"""Credits of a log as an audit takes them."""

from __future__ import annotations

from typing import Any

import polars as pl

from workbench.log.credit import ScoredCredit
from workbench.methods import Method
from workbench.methods.scoring import scored
from workbench.states.space import Space


def credit(method: Method, space: Space) -> ScoredCredit:
    """A method's credit with what an audit needs to make it again."""
    return scored(space, method.info.name, method).scored()


def table(space: Space, advantage: Any) -> ScoredCredit:
    """A credit from elsewhere."""
    ids = space.steps.log.select("group_id", "trajectory_id", "step_index")[space.steps.row]
    return ScoredCredit(ids.with_columns(advantage=pl.Series(advantage, dtype=pl.Float64)))
