"""Every number of an audit by value.

    UPDATE_VALUES=1 pytest tests/analysis/audit/test_values.py

writes `values.json` anew, to be looked at and committed. No number in it is worked by hand: other
tests do that for each measure. It says that one changed, which no property would notice.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from logs import random_log
from method_contract import frame
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
    given = {"outcomes": validate(frame(9, groups=6, rollouts=5)).log, "dense": dense}
    return {name: Space(Steps.from_log(log), embedder=AXES) for name, log in given.items()}


def readings() -> dict[str, str]:
    """One line a reading: value, interval, range over shuffles, count; findings with theirs."""
    found: dict[str, str] = {}
    for name, space in logs().items():
        credits = {one: credit(create(one), space) for one in ("grpo", "gigpo", "crbc")}
        bare = np.random.default_rng(0).normal(size=len(space.steps)).round(2)
        one = audit(space, {**credits, "bare": table(space, bare)}, draws=20)
        columns = ("value", "low", "high", "shuffled_low", "shuffled_high", "count")
        for row in one.frame.iter_rows(named=True):
            place = f"{name} {row['credit']} {row['measure']} {row['where']}".strip()
            found[place] = " ".join(
                "-" if row[key] is None else f"{row[key] + 0.0:.4g}" for key in columns
            )
        for finding in one.findings:
            place = f"{name} {finding.credit} finding {finding.name} {finding.severity}"
            numbers = {**finding.evidence, **finding.fields}
            found[place] = " ".join(f"{key} {value}" for key, value in numbers.items())
        found[f"{name} sampling"] = json.dumps(dict(one.sampling))
    return found


def test_every_number_of_an_audit_is_what_it_was():
    found = readings()
    if os.environ.get("UPDATE_VALUES"):
        VALUES.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    expected = json.loads(VALUES.read_text(encoding="utf-8"))
    assert found.keys() == expected.keys()
    wrong = {place: said for place, said in found.items() if not near(said, expected[place])}
    assert not wrong, {place: expected[place] for place in wrong}


def near(one: str, other: str) -> bool:
    """The same words, and numbers that differ in the fourth digit at most."""
    pairs = list(zip(one.split(), other.split(), strict=False))
    return len(one.split()) == len(other.split()) and all(a == b or close(a, b) for a, b in pairs)


def close(one: str, other: str) -> bool:
    try:
        return float(one) == pytest.approx(float(other), rel=2e-3, abs=1e-7)
    except ValueError:
        return False
