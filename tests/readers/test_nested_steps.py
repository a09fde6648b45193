"""Records that hold their steps in a list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.errors import LogError
from workbench.readers import import_log
from workbench.readers.importing import Imported

ASKED = {"instruction": "buy a mug", "score": 1}


def imported(folder: Path, *records: Mapping[str, Any]) -> Imported:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return import_log([path])


def notes(found: Imported) -> str:
    return "\n".join(map(str, found.report.notices))


def log_of(found: Imported) -> pl.DataFrame:
    return found.validated.log


def test_a_step_has_what_was_seen_done_and_earned(tmp_path: Path):
    first = {"obs": "a shelf", "action": "take mug", "reward": 0, "thought": "there"}
    second = {"obs": "a mug", "action": {"name": "buy"}, "reward": 1, "thought": None}
    steps = [{**first, "valid_action": False}, second]
    log = log_of(found := imported(tmp_path, {"task_id": "t", "rollout_id": "r", "steps": steps}))
    ids = log.select("group_id", "trajectory_id", "step_index").rows()
    assert ids == [("t", "r", 0), ("t", "r", 1)]
    assert log["observation"].to_list() == ["a shelf", "a mug"]
    assert log["action"].to_list() == ["take mug", '{"name": "buy"}']
    assert log["reward"].to_list() == [0.0, 1.0]
    assert log["next_observation"].to_list() == ["a mug", None]
    assert log["thought"].to_list() == ["there", None]
    assert log["valid_action"].to_list() == [False, True]
    assert log["messages"].null_count() == 2
    assert "name the action before" not in notes(found)


def test_observations_after_an_action_answer_it_and_step_0_sees_the_task(
    tmp_path: Path,
):
    steps = [
        {"thought": "look", "action": "search mug", "observation": "[a mug]"},
        {"action": "buy", "observation": "done"},
    ]
    found = imported(tmp_path, {**ASKED, "trajectory": steps}, {**ASKED, "trajectory": steps[:1]})
    log = log_of(found)
    assert log["observation"].to_list() == ["buy a mug", "[a mug]", "buy a mug"]
    assert log["next_observation"].to_list() == ["[a mug]", "done", "[a mug]"]
    assert log["reward"].to_list() == [0.0, 1.0, 1.0]
    assert log["group_id"].n_unique() == 1
    assert "name the action before what was observed" in notes(found)


@pytest.mark.parametrize(
    ("total", "each", "expected", "said"),
    [
        (None, [0.5, 0.25], [0.5, 0.25], False),
        (0.75, [0.5, 0.25], [0.5, 0.25], False),
        (1.0, [0.5, 0.25], [0.0, 1.0], True),
        (1.0, [None, None], [0.0, 1.0], False),
    ],
)
def test_rewards_are_of_the_steps_where_they_add_up_to_that_of_the_rollout(
    tmp_path: Path, total: float | None, each: Sequence[float | None], expected: Any, said: bool
):
    steps = [{"state": str(at), "action": "go", "reward": one} for at, one in enumerate(each)]
    found = imported(tmp_path, {"task_id": "t", "reward": total, "steps": steps})
    assert log_of(found)["reward"].to_list() == expected
    assert ("do not add up" in notes(found)) == said
    assert "rewards are null" not in notes(found)


def test_scalars_of_a_step_give_way_to_those_of_the_rollout(tmp_path: Path):
    steps = [
        {"obs": "a", "action": "b", "reward": 1, "latency": 0.5, "model": "m", "info": {"x": 1}}
    ]
    log = log_of(imported(tmp_path, {"task_id": "t", "steps": steps}))
    assert (log["latency"].item(), log["step_model"].item()) == (0.5, "m")
    assert "info" not in log.columns


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (7, "holds an item that is no object"),
        ({"obs": "a"}, "item 1 has none of"),
        ({"obs": "a", "action": "b", "reward": "much"}, "'reward' of item 1 is not a number"),
    ],
)
def test_a_step_that_is_none_is_named(tmp_path: Path, item: Any, said: str):
    steps = [{"obs": "a", "action": "b", "reward": 0}, item]
    with pytest.raises(LogError) as caught:
        imported(tmp_path, {"task_id": "t", "steps": steps})
    assert said in str(caught.value)
    assert "log.jsonl:1" in str(caught.value)
