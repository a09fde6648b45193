"""The choice of steps for an export: by people's marks, and by a filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import logs
import polars as pl
import pytest

from workbench.analysis.audit import audit
from workbench.errors import FilterError, ParameterError
from workbench.exporters.selection import IN_FILTER
from workbench.log.credit import ScoredCredit
from workbench.log.steps import Steps
from workbench.methods.scoring import score
from workbench.states.space import Space
from workbench.workspace.chosen import LUCK, for_export
from workbench.workspace.marks import Marks

LOG = logs.log(
    {"g": {"a": [("s", "go", 0.0), ("t", "look", 1.0)], "b": [("s", "go", 0.0), ("u", "put", 0.0)]}}
)


def space_of(log: pl.DataFrame) -> Callable[[], Space]:
    return lambda: Space(Steps.from_log(log), embedder="tfidf")


def grpo(log: pl.DataFrame) -> ScoredCredit:
    return score(space_of(log)(), "grpo").scored()


def chosen(root: Path, log: pl.DataFrame = LOG, **options: str) -> pl.DataFrame:
    return for_export(log, grpo(log), root, options, space_of(log))


def filtered(root: Path, filter: str) -> list[bool]:
    return chosen(root, filter=filter)[IN_FILTER].to_list()


def test_an_export_takes_a_log_with_its_marks(tmp_path: Path):
    assert chosen(tmp_path) is LOG
    with pytest.raises(ParameterError, match="no step of this log is marked in the workspace"):
        chosen(tmp_path, marked="only")
    Marks(tmp_path).put(("a", 1), "jump", mark="+")
    with pytest.raises(ParameterError, match=r"1 of its marks are of steps that do something else"):
        chosen(tmp_path, marked="only")
    Marks(tmp_path).put(("a", 1), "look", mark="+")
    assert chosen(tmp_path, marked="without")["mark"].to_list() == [None, "+", None, None]


def test_an_export_takes_a_log_with_what_a_filter_leaves_of_it(tmp_path: Path):
    assert filtered(tmp_path, "outcome:won depth>=2") == [False, True, False, False]
    # The credit that is exported gives +1/√2 to the winner's steps.
    assert filtered(tmp_path, "grpo>0") == [True, True, False, False]
    # Another method is scored as it is by default: of the two in state s, the winner's is above 0.
    assert filtered(tmp_path, "rloo>0") == [True, True, False, False]
    Marks(tmp_path).put(("b", 1), "put", note="a loop")
    assert filtered(tmp_path, "note:loop") == [False, False, False, True]
    with pytest.raises(FilterError, match="outcom"):
        filtered(tmp_path, "outcom:won")


def test_unstable_steps_are_those_of_an_audit(tmp_path: Path):
    runs = {str(k): [("s", "go", 0.0), ("t", "go", float(k < 2))] for k in range(5)}
    log = logs.log({"g": runs, "h": {f"h{k}": v for k, v in runs.items()}})
    space = space_of(log)()
    found = audit(space, {"gigpo": score(space, "gigpo").scored()}).intervals
    often = found.filter((pl.col("credit") == "gigpo") & (pl.col("sign_flips") >= LUCK))
    expected = set(often.select("trajectory_id", "step_index").iter_rows())
    kept = log.filter(chosen(tmp_path, log, filter="unstable:gigpo")[IN_FILTER])
    assert set(kept.select("trajectory_id", "step_index").iter_rows()) == expected
