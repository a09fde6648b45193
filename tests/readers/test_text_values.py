"""Verdicts and numbers that are written as text, in chats and in steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import record, step, write_lines

from workbench.errors import LogError
from workbench.readers import import_log, import_to

SETS = [
    (("pass", "fail"), [True, False]),
    (("Yes", "no"), [True, False]),
    (("C", "I"), [True, False]),
    (("resolved", "unresolved"), [True, False]),
    (("pass", "no"), None),
    (("great", "poor"), None),
]


def logs(folder: Path, name: str, values: tuple[Any, ...]) -> dict[str, Path]:
    """The same values under a key of chats, and in a column of steps of three kinds."""
    rows = [step(trajectory_id=f"t{at}", **{name: value}) for at, value in enumerate(values)]
    chats = [record(rollout=at, **{name: value}) for at, value in enumerate(values)]
    pl.DataFrame(rows).write_parquet(folder / "log.parquet")
    pl.DataFrame(rows).write_csv(folder / "log.csv")
    return {
        "chat": write_lines(folder / "chat.jsonl", chats),
        "steps": write_lines(folder / "steps.jsonl", rows),
        "csv": folder / "log.csv",
        "parquet": folder / "log.parquet",
    }


@pytest.mark.parametrize(("values", "meant"), SETS)
@pytest.mark.parametrize("form", ["chat", "steps", "csv", "parquet"])
def test_a_verdict_counts_where_the_whole_column_is_of_one_set(
    tmp_path: Path, form: str, values: tuple[str, ...], meant: list[bool] | None
):
    path = logs(tmp_path, "success", values)[form]
    imported = import_log([path])
    log, notices = imported.validated.log, imported.report.notices
    known = log["success"].to_list() if "success" in log.columns else [None, None]
    expected: list[bool | None] = [*(meant or (None, None))]
    assert known == expected
    assert any(
        "success' is not known" in text or "success is not known" in text for text in notices
    ) is (meant is None)
    assert import_to(tmp_path / "out.parquet", [path]) == imported.report


@pytest.mark.parametrize("form", ["chat", "steps", "csv", "parquet"])
def test_a_reward_in_words_is_what_they_mean(tmp_path: Path, form: str):
    path = logs(tmp_path, "reward", ("pass", "fail"))[form]
    assert import_log([path]).validated.log["reward"].to_list() == [1.0, 0.0]


@pytest.mark.parametrize("form", ["steps", "csv", "parquet"])
def test_a_reward_in_other_words_is_refused(tmp_path: Path, form: str):
    with pytest.raises(LogError, match="reward: is not a valid Float64"):
        import_log([logs(tmp_path, "reward", ("great", "poor"))[form]])


@pytest.mark.parametrize("form", ["chat", "steps", "csv", "parquet"])
def test_numbers_that_are_written_as_text_are_numbers(tmp_path: Path, form: str):
    imported = import_log([logs(tmp_path, "reward", ("1.0", "-2e-1"))[form]])
    assert imported.validated.log["reward"].to_list() == [1.0, -0.2]
    said = any("written as text" in notice for notice in imported.report.notices)
    # Fields of a CSV have no types, so nothing is to be said there.
    assert said is (form in ("chat", "steps", "parquet"))


def test_rewards_of_trainers_may_be_text(tmp_path: Path):
    episode = {
        "episode_id": "q:0", "task": {"q": 1}, "is_correct": True,
        "trajectories": [{"name": "a", "reward": "1.0", "steps": [{"action": "x", "reward": 1}]}],
    }  # fmt: skip
    path = tmp_path / "episode.jsonl"
    path.write_text(json.dumps(episode) + "\n")
    imported = import_log([path])
    assert imported.validated.log["reward"].to_list() == [1.0]
    assert any("written as text" in notice for notice in imported.report.notices)
