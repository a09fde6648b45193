"""Mappings that are proposed for files of odd names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import assistant, user, write_lines
from samples_of import CANONICAL, SAMPLES

from workbench.errors import LogError, ParameterError
from workbench.readers import import_log, load_mapping, read, save_mapping
from workbench.readers.proposals import proposed

ODD = {
    "group_id": "quest",
    "trajectory_id": "game_no",
    "step_index": "turn_nr",
    "observation": "screenText",
    "action": "typed_command",
    "reward": "points",
}
NAMELESS = dict(zip(ODD, ("aa", "bb", "cc", "dd", "ee", "ff"), strict=True))


def table(names: dict[str, str]) -> pl.DataFrame:
    return CANONICAL.select(pl.col(name).alias(odd) for name, odd in names.items())


@pytest.mark.parametrize("form", ["csv", "jsonl", "array", "parquet"])
@pytest.mark.parametrize("names", [ODD, NAMELESS], ids=["by words", "by values"])
def test_a_proposal_reads_the_file_as_it_is(tmp_path: Path, form: str, names: dict[str, str]):
    path, rows = tmp_path / "odd", table(names)
    {
        "csv": lambda: rows.write_csv(path),
        "jsonl": lambda: rows.write_ndjson(path),
        "array": lambda: path.write_text(json.dumps(rows.to_dicts())),
        "parquet": lambda: rows.write_parquet(path),
    }[form]()
    with pytest.raises(LogError, match="--propose-map"):
        read([path])
    found = proposed(path)
    assert found.columns == names
    assert found.open == []
    save_mapping(tmp_path / "map.json", found.mapping)
    log = import_log([path], mapping=load_mapping(tmp_path / "map.json")).validated.log
    columns = [*ODD]
    assert log.select(columns).to_dicts() == CANONICAL.select(columns).to_dicts()


def talks(**fields: Any) -> list[dict[str, Any]]:
    return [
        {"dialogue_log": [user("?"), assistant(str(n))], "info": {"problem": "p", "won": n}}
        for n in (0, 1)
    ]


def test_a_proposal_for_conversations_reaches_into_objects(tmp_path: Path):
    path = write_lines(tmp_path / "talk", talks())
    with pytest.raises(LogError, match=r"the messages are under 'dialogue_log'.*--propose-map"):
        read([path])
    found = proposed(path)
    assert found.columns == {
        "messages": "dialogue_log",
        "group_id": "info.problem",
        "reward": "info.won",
    }
    report = import_log([path], mapping=found.mapping).report
    assert (report.format, dict(report.rollouts)) == ("chat", {2: 1})


def test_conversations_in_a_table_are_told_by_their_text(tmp_path: Path):
    rows = [{"talk": json.dumps(talk["dialogue_log"]), "task": "p", "won": 1} for talk in talks()]
    pl.DataFrame(rows).write_csv(tmp_path / "talk.csv")
    found = proposed(tmp_path / "talk.csv")
    assert found.columns == {"messages": "talk", "group_id": "task", "reward": "won"}
    assert import_log([tmp_path / "talk.csv"], mapping=found.mapping).report.trajectories == 2


def test_what_nothing_speaks_for_is_left_open(tmp_path: Path):
    path = write_lines(tmp_path / "odd", [{"x": "a", "y": 0.5}, {"x": "a", "y": 1.5}])
    found = proposed(path)
    assert "step_index" in found.open
    assert "step_index     open: no evidence for a name" in "\n".join(found.lines())


def test_values_alone_make_no_reward_and_no_step_of_what_only_may_be_one(tmp_path: Path):
    # Widths are no rewards, a constant counts nothing, and an id is no action.
    rows = [
        {"episode_id": f"e{n}", "width": 540, "size": 3 + n % 2, "ones": 1, "stamp": f"s-{n}"}
        for n in range(4)
    ]
    found = proposed(write_lines(tmp_path / "odd", rows))
    assert found.columns == {}
    assert {"step_index", "observation", "action"} <= set(found.open)


def test_observations_and_actions_may_be_objects(tmp_path: Path):
    rows = [
        {"episode": "a", "task": "x", "step": n, "obs": {"day": n}, "action": {"tool": "wait"}}
        for n in range(2)
    ]
    path = write_lines(tmp_path / "odd", rows)
    found = proposed(path)
    assert found.open == []
    log = import_log([path], mapping=found.mapping).validated.log
    assert log["observation"].to_list() == ['{"day": 0}', '{"day": 1}']


def test_a_list_of_steps_under_any_key_is_found(tmp_path: Path):
    record = {"task_id": "a", "played": [{"state": "s", "action": "x", "reward": 1}]}
    path = write_lines(tmp_path / "odd", [record])
    found = proposed(path)
    assert found.format == "chat"
    assert (found.columns["messages"], found.reasons["messages"]) == (
        "played", "steps with an action",
    )  # fmt: skip
    log = import_log([path], mapping=found.mapping).validated.log
    assert log.select("observation", "action", "reward").row(0) == ("s", "x", 1.0)


def test_lists_of_other_objects_are_no_messages(tmp_path: Path):
    path = write_lines(tmp_path / "odd", [{"task": "a", "steps": [{"did": "x", "reward": 1}]}])
    assert proposed(path).format == "steps"


def test_an_id_that_is_used_again_names_no_trajectory(tmp_path: Path):
    # Rollout 0 of both tasks: an id that two groups share would join their steps.
    rows = [
        {"task": task, "rollout": n, "t": t, "saw": "x", "did": "y"}
        for task in "ab"
        for n in range(2)
        for t in range(2)
    ]
    found = proposed(write_lines(tmp_path / "odd", rows))
    assert found.columns.get("trajectory_id") != "rollout"
    assert "trajectory_id" in found.open


def test_a_file_whose_format_has_fixed_names_takes_no_mapping(tmp_path: Path):
    with pytest.raises(ParameterError, match="its format has fixed names"):
        proposed(SAMPLES / "tau_bench.json")
    (tmp_path / "words").write_text("nothing here\n")
    with pytest.raises(ParameterError, match="it holds no records"):
        proposed(tmp_path / "words")


def test_one_mistake_has_one_hint(tmp_path: Path):
    table(ODD).write_parquet(tmp_path / "odd")
    with pytest.raises(LogError) as caught:
        read([tmp_path / "odd"])
    assert str(caught.value).count("Hint:") == 1
    for form in ("swe-agent", "csv", "inspect"):
        with pytest.raises(LogError) as caught:
            read([tmp_path / "odd"], format=form)
        assert "iconv" not in str(caught.value)
        assert str(caught.value).count("Hint:") == 1


@pytest.mark.parametrize(("name", "why"), [("final_grade", "name"), ("zz", "values")])
def test_the_reward_of_conversations_is_told_by_its_name_or_its_values(
    tmp_path: Path, name: str, why: str
):
    talk = {"messages": [user("go"), assistant("ok")], "width": 540}
    path = write_lines(tmp_path / "odd", [talk | {"id": f"r{n}", name: n % 2} for n in range(4)])
    found = proposed(path)
    assert (found.columns["reward"], found.reasons["reward"]) == (name, f"by its {why}")


def test_names_are_told_by_column_alias_and_spelling_each_once(tmp_path: Path):
    names = {
        "uid": "g", "Trajectory_ID": "t", "observations": "o", "action": "a", "rewards": 1.0,
        "turn_reward": 0.5, "sucess": True, "info": {"step_index": 0},
    }  # fmt: skip
    found = proposed(write_lines(tmp_path / "odd", [names]))
    # The reward of a turn has a column of its own and is none of those that are asked for.
    assert found.columns == {
        "group_id": "uid",
        "trajectory_id": "Trajectory_ID",
        "step_index": "info.step_index",
        "observation": "observations",
        "action": "action",
        "reward": "rewards",
        "success": "sucess",
    }


def test_a_name_that_is_empty_is_no_other_column(tmp_path: Path):
    # Without step numbers the values under "" were taken for them, and could not be compared.
    rows = [{"": None if n else [1], "game": f"game-{n}", "screen": "a b"} for n in range(4)]
    found = proposed(write_lines(tmp_path / "odd", rows))
    assert "step_index" not in found.columns
    assert "" not in found.columns.values()
