"""The step log as Parquet."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import log_of, user, write_steps
from polars.testing import assert_frame_equal
from samples_of import SAMPLES

from workbench.errors import LogError
from workbench.log.schema import validate
from workbench.readers import import_log, load_mapping, read, save_mapping

PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


def test_the_sample_becomes_the_nine_golden_steps():
    imported = import_log([PARQUET])
    expected = [
        {
            name: step[name]
            for name in (
                "group_id",
                "trajectory_id",
                "step_index",
                "observation",
                "action",
                "reward",
            )
        }
        for step in json.loads((SAMPLES / "golden.json").read_text())
    ]
    assert imported.report.format == "parquet"
    assert imported.validated.log.select(*expected[0]).to_dicts() == expected


def test_every_step_leads_back_to_its_row():
    assert log_of(PARQUET)["source_line"].to_list() == list(range(1, 10))


@pytest.mark.parametrize(
    ("name", "rows", "groups"),
    [
        ("webshop_grpo_dev", 1042, 16),
        ("taubench_airline_gpt4o", 2454, 50),
        ("webshop_react", 8773, 500),
    ],
)
def test_real_step_logs_are_read_without_a_loss(shared: Path, name: str, rows: int, groups: int):
    report = import_log([shared / f"data/{name}.parquet"]).report
    assert (report.rows, report.rows_read, report.groups) == (rows, rows, groups)


def test_parquet_parts_are_joined_and_a_missing_column_is_null(tmp_path: Path):
    write_steps(tmp_path / "1.parquet")
    write_steps(tmp_path / "2.parquet", {"trajectory_id": ["c", "c", "d"], "model": ["m"] * 3})
    log = import_log([tmp_path]).validated.log
    assert log["model"].to_list() == [None] * 3 + ["m"] * 3
    assert log["source_line"].to_list() == [1, 2, 3, 1, 2, 3]
    assert log["source_row"].to_list() == list(range(6))


def test_columns_are_renamed_through_a_saved_mapping(tmp_path: Path):
    frame = pl.read_parquet(write_steps(tmp_path / "a.parquet"))
    frame.rename({"group_id": "question", "reward": "score"}).write_parquet(tmp_path / "a.parquet")
    save_mapping(tmp_path / "map.json", {"columns": {"group_id": "question", "reward": "score"}})
    with pytest.raises(LogError, match=r"missing columns \['group_id'\]"):
        import_log([tmp_path / "a.parquet"])
    mapping = load_mapping(tmp_path / "map.json")
    imported = import_log([tmp_path / "a.parquet"], mapping=mapping)
    assert imported.report.renamed == {"group_id": "question", "reward": "score"}
    assert imported.validated.log["reward"].to_list() == [0.0, 1.0, 0.0]


def test_messages_as_structures_become_json(tmp_path: Path):
    talk = [user("go"), {"role": "assistant", "tool_calls": [{"name": "f", "id": None}]}]
    path = write_steps(tmp_path / "a.parquet", {"messages": [talk, None, talk]})
    log = import_log([path]).validated.log
    call = {"type": "function", "function": {"name": "f"}}
    expected = [user("go"), {"role": "assistant", "tool_calls": [call]}]
    assert json.loads(log["messages"][0]) == expected
    assert log["messages"][1] is None


def test_categorical_columns_and_parts_of_other_categories_are_text(tmp_path: Path):
    for name in ("a", "b"):
        frame = pl.read_parquet(write_steps(tmp_path / "x.parquet"))
        enum = pl.lit(name, dtype=pl.Enum([name])).alias("group_id")
        ids = pl.format("{}-{}", pl.lit(name), "trajectory_id").cast(pl.Categorical)
        frame.with_columns(enum, ids.alias("trajectory_id")).write_parquet(tmp_path / f"{name}.pq")
    log = import_log([tmp_path / "a.pq", tmp_path / "b.pq"]).validated.log
    assert log["group_id"].to_list() == ["a"] * 3 + ["b"] * 3


def test_a_log_keeps_what_it_says_about_its_own_origin(tmp_path: Path):
    origin = {"source_file": ["x.jsonl"] * 3, "source_line": [4, 4, 9], "source_row": [7, 8, 20]}
    raw = read([write_steps(tmp_path / "a.parquet", origin)])
    assert raw.frame.select(*origin).to_dict(as_series=False) == origin


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"group_id": ["g", None, "g"]}, "group_id: is null"),
        ({"step_index": [0, 2, 0]}, "step_index: has gaps"),
        ({"step_index": [0, 0, 0]}, "appears twice in a trajectory with different content"),
        ({"group_id": ["g", "h", "g"]}, "is in more than one group"),
    ],
)
def test_a_broken_rule_names_file_and_row(tmp_path: Path, columns: dict[str, Any], says: str):
    path = write_steps(tmp_path / "a.parquet", columns)
    with pytest.raises(LogError) as caught:
        import_log([path])
    assert says in str(caught.value)
    assert f"{path}:" in str(caught.value)
    report = import_log([path], quarantine=True).report
    assert (report.rows, report.quarantined_rows, report.trajectories) == (1, 2, 1)
    assert says in str(report)


def test_small_and_dull_logs_are_read(tmp_path: Path):
    path = write_steps(tmp_path / "a.parquet", {"reward": [0.0] * 3, "observation": ["", "w", ""]})
    assert import_log([path]).report.rows == 3
    pl.read_parquet(path).head(1).write_parquet(path)
    report = import_log([path]).report
    assert (report.rows, report.singleton_groups, dict(report.rollouts)) == (1, 1.0, {1: 1})


def test_a_parquet_file_with_no_row_is_refused(tmp_path: Path):
    path = write_steps(tmp_path / "a.parquet")
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(LogError, match="there are none"):
        import_log([path])


_texts = st.text(st.characters(codec="utf-8"), max_size=8)


_steps = st.fixed_dictionaries(
    {"observation": _texts, "action": _texts, "reward": st.floats(-1e6, 1e6)}
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(_steps, min_size=1, max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_a_valid_log_written_as_parquet_comes_back_equal(
    trajectories: list[tuple[int, list[dict[str, Any]]]],
):
    rows = [
        {"group_id": f"g{group}", "trajectory_id": f"t{at}", "step_index": index, **step}
        for at, (group, steps) in enumerate(trajectories)
        for index, step in enumerate(steps)
    ]
    log = validate(pl.DataFrame(rows)).log
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        log.write_parquet(path)
        again = import_log([path]).validated.log
    assert_frame_equal(again.drop("source_file", "source_line"), log)


@pytest.mark.parametrize("name", ["trl", "art"])
def test_a_cut_table_is_named(tmp_path: Path, name: str):
    source = next((SAMPLES / name).rglob("*.parquet"))
    path = tmp_path / "cut.parquet"
    path.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(LogError, match="cannot be read as Parquet"):
        read([path], format=name)
