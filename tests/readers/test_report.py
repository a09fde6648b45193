"""The report of an import."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from places import DATA
from samples_of import SAMPLES

from workbench.log.columns import SIMULATED, STEP_LOG
from workbench.readers import import_log
from workbench.readers.report import in_short
from workbench.simulate.base import SCHEMA

PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


def test_the_report_says_it_all_in_lines_and_as_json(tmp_path: Path):
    imported = import_log([PARQUET])
    data = json.loads(json.dumps(imported.report.to_dict()))
    assert data["rollouts"] == {"4": 1}
    assert data["missing_token_ids"] == 0.0
    assert str(imported.report).splitlines() == [
        "format            parquet",
        f"files             1: {PARQUET}",
        "rows              9 in the log, 9 read",
        "groups            1 (0.0% have one rollout)",
        "trajectories      4",
        "group sizes       4 in 1 group",
        "rewards           0 null, 0 not finite",
        "not scored        0 of 4 trajectories",
        "token ids         missing in 0.0% of the rows",
        "reconstructed     nothing",
        "dropped           nothing",
        "note              kept as columns, though nothing reads them: 'episode_len' (9 records), "
        "'grpo_adv' (9 records), 'gigpo_step_adv_mean_norm' (9 records), 'anchor_group_size' "
        "(9 records); if one masks a rollout, cuts it or names "
        "its update, give it the name of the step log's column with --map",
    ]


def test_a_log_that_names_its_source_without_lines_has_a_record_a_row(tmp_path: Path):
    frame = pl.read_parquet(PARQUET).with_columns(
        source_file=pl.lit("raw.json"), mood=pl.lit("calm")
    )
    frame.drop("source_line", strict=False).write_parquet(tmp_path / "log.parquet")
    report = str(import_log([tmp_path / "log.parquet"]).report)
    assert "'mood' (9 records)" in report


def test_columns_of_a_simulated_log_are_no_news():
    added = set(SCHEMA) - {column.name for column in STEP_LOG}
    assert added == SIMULATED
    assert "nothing reads them" not in str(import_log([DATA / "household.parquet"]).report)


def test_changes_of_conversations_are_folded_after_the_third():
    changes = [f"conversation: change {n}" for n in range(5)]
    said = in_short(["left out 1 record"], ["a note", *changes, "a note", "another"])
    assert said == [
        *("left out 1 record", "a note", *changes[:3], "another"),
        "2 more changes of conversations: `workbench validate` says which",
    ]
    assert in_short([], changes[:3]) == changes[:3]
