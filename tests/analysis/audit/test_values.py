"""Every number of an audit by value.

    UPDATE_VALUES=1 pytest tests/analysis/audit/test_values.py

writes `values.json` anew, to be looked at and committed. No number in it is worked by hand: other
tests do that for each measure. It says that one changed, which no property would notice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from by_value import unchanged
from logs import random_log
from method_contract import advantages, frame
from scored_credits import credit, table
from vectors import AXES

from workbench.analysis.audit import audit
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space

VALUES = Path(__file__).with_name("values.json")


def logs() -> dict[str, Space]:
    """Outcomes with invalid actions and tokens; rewards of every step in several updates."""
    dense = random_log(np.random.default_rng(2), groups=6, rollouts=5, dense=True)
    dense = dense.with_columns(train_step=pl.col("group_id").str.slice(1).cast(pl.Int64) % 2)
    # Two of three steps have the advantage of GRPO.
    ours = advantages(dense, "grpo")["advantage"].to_numpy()
    dense = dense.with_columns(logged_advantage=ours + (np.arange(dense.height) % 3 == 0))
    given = {"outcomes": validate(frame(9, groups=6, rollouts=5)).log, "dense": dense}
    return {name: Space(Steps.from_log(log), embedder=AXES) for name, log in given.items()}


@pytest.mark.parametrize("name", ["outcomes", "dense"])
def test_every_number_of_an_audit_is_what_it_was(name: str):
    space = logs()[name]
    credits = {one: credit(create(one), space) for one in ("grpo", "gigpo", "crbc")}
    bare = np.random.default_rng(0).normal(size=len(space.steps)).round(2)
    one = audit(space, {**credits, "bare": table(space, bare)}, draws=20)
    found: dict[str, Any] = {"sampling": dict(one.sampling)}
    columns = ("value", "low", "high", "shuffled_low", "shuffled_high", "count", "note")
    for row in one.frame.iter_rows(named=True):
        place = f"{row['credit']} {row['measure']} {row['where']}".strip()
        found[place] = [row[key] for key in columns]
    for finding in one.findings:
        place = f"{finding.credit} finding {finding.name} {finding.severity}"
        found[place] = {**finding.evidence, **finding.fields}
    unchanged(VALUES, found, name)
