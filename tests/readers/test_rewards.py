"""Rewards next to a log."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import assistant, step, user, write_lines

from workbench import import_log, import_to, open_log
from workbench.errors import LogError
from workbench.readers.rewards import load_rewards
from workbench.workspace.artefacts import Artefacts
from workbench.workspace.opened import OpenedLog

HEADER = "trajectory_id,reward\n"


def talk(task: str, rollout: int) -> dict[str, Any]:
    messages = [user("go"), assistant("left"), user("on"), assistant("right")]
    return {"messages": messages, "task_id": task, "rollout": rollout}


def log_without(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "log.jsonl", [talk("a", n) for n in range(3)])


def rewards(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rewards"
    path.write_text(text)
    return path


def test_a_log_without_rewards_is_read_and_says_how_to_add_them(tmp_path: Path):
    imported = import_log([log_without(tmp_path)])
    assert imported.report.excluded == {"reward is null": 3}
    assert imported.validated.log["reward"].null_count() == 6
    assert "--rewards FILE.csv adds them" in str(imported.report)
    with pytest.raises(LogError, match=r"--rewards FILE\.csv adds them"):
        _ = open_log(log_without(tmp_path)).steps


def test_a_table_of_steps_without_a_column_of_rewards_is_read(tmp_path: Path):
    rows = [{name: value for name, value in step().items() if name != "reward"}]
    path = tmp_path / "log.csv"
    pl.DataFrame(rows).write_csv(path)
    for report in (import_log([path]).report, import_to(tmp_path / "log.parquet", [path])):
        assert report.null_rewards == 1
        assert "the log has no column of rewards" in str(report)


@pytest.mark.parametrize("form", ["csv", "lines", "array", "parquet", "gzip"])
def test_rewards_stand_on_last_steps_whatever_contains_them(tmp_path: Path, form: str):
    rows = [
        {"trajectory_id": f"a/{n}", "reward": n / 2, "success": n == 2, "group_id": f"g{n // 2}"}
        for n in range(3)
    ]
    path = tmp_path / "given"
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    {
        "csv": lambda: pl.DataFrame(rows).write_csv(path),
        "lines": lambda: path.write_text(lines),
        "array": lambda: path.write_text(json.dumps(rows)),
        "parquet": lambda: pl.DataFrame(rows).write_parquet(path),
        "gzip": lambda: path.write_bytes(gzip.compress(lines.encode())),
    }[form]()
    imported = import_log([log_without(tmp_path)], rewards=path)
    log = imported.validated.log
    assert log["reward"].to_list() == [0, 0, 0, 0.5, 0, 1]
    assert set(log["reward_source"]) == {"terminal"}
    assert log["success"].to_list() == [False] * 4 + [True] * 2
    assert log["group_id"].to_list() == ["g0"] * 4 + ["g1"] * 2
    assert imported.report.rewards == str(path)
    report = import_to(tmp_path / "log.parquet", [log_without(tmp_path)], rewards=path)
    assert report == imported.report
    assert pl.read_parquet(tmp_path / "log.parquet").equals(log)


def test_ids_of_either_side_that_do_not_match_are_counted_and_named(tmp_path: Path):
    given = rewards(tmp_path, "trajectory_id,reward\na/0,1\nb/7,1\nb/8,0\n")
    report = import_log([log_without(tmp_path)], rewards=given).report
    assert "trajectories of the rewards that are not in the log: 2 ('b/7', 'b/8')" in str(report)
    assert (
        "trajectories of the log that the rewards do not name, which keep their own reward: 2 "
        "('a/1', 'a/2')" in str(report)
    )
    assert report.excluded == {"reward is null": 2}


def test_rewards_of_another_log_are_refused(tmp_path: Path):
    given = rewards(tmp_path, "trajectory_id,reward\nx,1\n")
    with pytest.raises(LogError, match="none is of the log: 'x'; the log has 'a/0', 'a/1', 'a/2'"):
        import_log([log_without(tmp_path)], rewards=given, skip_bad=True)


def test_rewards_of_the_log_are_replaced_and_that_is_said(tmp_path: Path):
    paid = write_lines(tmp_path / "paid", [talk("a", n) | {"reward": 5.0} for n in range(2)])
    given = rewards(tmp_path, "trajectory_id,reward\na/0,1\n")
    imported = import_log([paid], rewards=given)
    assert imported.validated.log["reward"].to_list() == [0, 1, 0, 5]
    assert "rewards of 1 trajectory replaced" in str(imported.report)


def test_an_empty_reward_is_not_known(tmp_path: Path):
    given = rewards(tmp_path, "trajectory_id,reward\na/0,1\na/1,\n")
    log = import_log([log_without(tmp_path)], rewards=given).validated.log
    assert log["reward"].to_list() == [0, 1, None, None, None, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trajectory_id,reward\na,1\nb,2\na,3\n", "names 'a' again, which FILE:2 names, at FILE:4"),
        ("trajectory,reward\na,1\n", "trajectory_id: is missing; found ['trajectory', 'reward']"),
        ("trajectory_id,score\na,1\n", "reward: is missing; found ['trajectory_id', 'score']"),
        ("trajectory_id,reward\na,good\n", "reward: is not a number, at FILE:2"),
        ("trajectory_id,reward\n,1\n", "trajectory_id: is empty, at FILE:2"),
        (
            "trajectory_id,reward,success\na,1,so so\nb,1,yes\n",
            "success: holds words of no one set",
        ),
        ("trajectory_id,reward\n", "the file holds no record"),
        ('{"trajectory_id": "a", "reward": 1}\n{"traj', "line: is not JSON, at FILE:2"),
        ("", "the file holds no record"),
    ],
)
def test_a_wrong_table_of_rewards_is_refused_with_the_line(tmp_path: Path, text: str, says: str):
    path = rewards(tmp_path, text)
    with pytest.raises(LogError) as caught:
        load_rewards(path)
    assert says in str(caught.value).replace(str(path), "FILE")


def test_every_problem_of_a_table_of_rewards_is_listed(tmp_path: Path):
    given = rewards(tmp_path, "trajectory_id,reward\na,x\n,1\nb,1\nb,1\n")
    with pytest.raises(LogError, match=r"^3 problems"):
        load_rewards(given)


def test_a_missing_file_of_rewards_is_named(tmp_path: Path):
    with pytest.raises(LogError, match="does not exist"):
        load_rewards(tmp_path / "none.csv")


def test_words_of_success_have_a_meaning(tmp_path: Path):
    given = rewards(tmp_path, "trajectory_id,reward,success\na,1,Pass\nb,0,fail\nc,0,\n")
    assert load_rewards(given)["success"].to_list() == [True, False, None]


def test_a_log_with_other_rewards_is_another_log(tmp_path: Path):
    path = log_without(tmp_path)
    one = rewards(tmp_path, "trajectory_id,reward\na/0,1\n")
    digests = {OpenedLog.of_import(import_log([path], rewards=one)).sha256}
    one.write_text("trajectory_id,reward\na/0,2\n")
    digests.add(OpenedLog.of_import(import_log([path], rewards=one)).sha256)
    digests.add(OpenedLog.of_import(import_log([path])).sha256)
    assert len(digests) == 3


def steps_of(tmp_path: Path, *names: Any, **fields: Any) -> Path:
    path = tmp_path / "steps.parquet"
    rows = [step(trajectory_id=name) | fields for name in names]
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_ids_that_look_like_numbers_are_matched_as_they_are_written(tmp_path: Path):
    # Read as numbers, 1e3 would be 1000 and 12e4567 infinite.
    names = ("1e3", "12e4567", "007", "1.10")
    table = rewards(tmp_path, "trajectory_id,reward\n1e3,1\n12e4567,2\n007,3\n1.10,4\n")
    log = import_log([steps_of(tmp_path, *names)], rewards=table).validated.log
    found = dict(zip(log["trajectory_id"], log["reward"], strict=True))
    assert found == {"1e3": 1, "12e4567": 2, "007": 3, "1.10": 4}


def test_groups_that_are_numbers_in_the_log_may_be_texts_in_the_rewards(tmp_path: Path):
    path = steps_of(tmp_path, 0, 1, group_id=7, reward_source=1)
    table = rewards(tmp_path, "trajectory_id,reward,group_id\n0,1,a\n1,0,\n")
    log = import_log([path], rewards=table).validated.log
    assert log["group_id"].to_list() == ["7", "a"]
    assert log.sort("trajectory_id")["reward_source"].to_list() == ["terminal"] * 2


@pytest.mark.parametrize("name", ["success", "step_index", "group_id", "trajectory_id"])
def test_a_column_of_lists_is_refused_with_rewards_as_without(tmp_path: Path, name: str):
    path = steps_of(tmp_path, "x", **{name: [1]})
    table = rewards(tmp_path, "trajectory_id,reward,success,group_id\nx,1,true,a\n")
    with pytest.raises(LogError, match=f"{name}: is List"):
        import_log([path], rewards=table)


def test_an_empty_reward_is_counted_and_named(tmp_path: Path):
    imported = import_log([log_without(tmp_path)], rewards=rewards(tmp_path, HEADER + "a/0,\n"))
    assert "whose reward is empty in the rewards, and so not known: 1 ('a/0')" in str(
        imported.report
    )
    assert imported.validated.log["reward_source"].drop_nulls().is_empty()


def test_a_repeat_in_a_compressed_table_is_placed_in_the_table(tmp_path: Path):
    path = tmp_path / "given.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}a/0,1\na/0,0\n".encode()))
    with pytest.raises(LogError) as refused:
        load_rewards(path)
    (problem,) = refused.value.problems
    assert problem.rule == f"names 'a/0' again, which {path}:2 names"
    assert list(problem.places) == [f"{path}:3"]


def test_broken_lines_are_said_before_rewards_that_do_not_match(tmp_path: Path):
    log = log_without(tmp_path)
    log.write_text(log.read_text() + "{\n")
    with pytest.raises(LogError, match="is not JSON"):
        import_log([log], rewards=rewards(tmp_path, HEADER + "q,1\n"))


def test_a_folder_of_tables_is_read_as_one_and_names_the_artefact(tmp_path: Path):
    log, folder = log_without(tmp_path), tmp_path / "given"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER + "a/0,1\n")
    (folder / "b.csv").write_text(HEADER + "a/1,0\na/2,0\n")
    artefacts = Artefacts(tmp_path / "work")
    first = artefacts.log([log], rewards=folder)
    assert first.frame["reward"].to_list() == [0, 1, 0, 0, 0, 0]
    (folder / "b.csv").write_text(HEADER + "a/1,1\na/2,0\n")
    assert artefacts.log([log], rewards=folder).folder != first.folder
