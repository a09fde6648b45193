"""TRL completions as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import act, log_of, problems_of
from samples_of import SAMPLES, assert_canonical_advantages, assert_nine_steps

from workbench.errors import ParameterError
from workbench.readers import import_log, read


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "trl"]), "trl", action=act)


def test_the_trainer_s_own_advantages_are_logged():
    assert_canonical_advantages(log_of(SAMPLES / "trl"), 1e-4)


def test_every_row_of_the_sample_leads_back_to_its_line():
    log = log_of(SAMPLES / "trl")
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert set(log["source_file"]) <= {
        str(path) for path in [SAMPLES / "trl", *(SAMPLES / "trl").rglob("*")]
    }


def trl_frame(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "step": [1, 1],
            "prompt": ["q", "q"],
            "completion": ["a", "b"],
            **columns,
            "advantage": [0.5, -0.5],
        }
    )


def test_rewards_of_trl_are_summed_without_nan(tmp_path: Path):
    nan = float("nan")
    frame = trl_frame(correct=[1.0, nan], form=[nan, nan], tokens=[3, 4])
    frame.write_parquet(tmp_path / "completions_00001.parquet")
    imported = import_log([tmp_path])
    log = imported.validated.log
    assert log["reward"].to_list() == pytest.approx([1.0, nan], nan_ok=True)
    assert log["excluded"].to_list() == [None, "reward is not finite at step 0"]
    assert log["tokens"].to_list() == [3, 4]
    assert "the reward is the sum of ['correct', 'form']" in str(imported.report)
    mapped = import_log([tmp_path], mapping={"columns": {"reward": "form"}}).validated.log
    assert mapped["reward"].is_nan().all()
    with pytest.raises(ParameterError, match=r"names 'points', which .* does not have"):
        read([tmp_path], mapping={"columns": {"reward": "points"}})


def test_trl_without_rewards_has_none_and_says_so(tmp_path: Path):
    trl_frame().write_parquet(tmp_path / "x.parquet")
    imported = import_log([tmp_path / "x.parquet"])
    assert imported.validated.log["reward"].null_count() == 2
    assert "no column holds rewards" in str(imported.report)


def test_arguments_that_only_their_table_has_are_no_arguments(tmp_path: Path):
    def row(**arguments: Any) -> dict[str, Any]:
        call = {"function": {"name": "f", "arguments": arguments}}
        said = {"role": "assistant", "content": "", "tool_calls": [call]}
        prompt = [{"role": "user", "content": "q"}]
        return {"step": 1, "prompt": prompt, "completion": [said], "r": 1.0, "advantage": 0.0}

    # As pandas writes it, the table gives every call the arguments of all.
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([row(x=1), row(y=2)]), path)
    assert "y: int64" in str(pq.read_schema(path))
    assert log_of(path)["action"].to_list() == [
        '{"arguments": {"x": 1}, "name": "f"}',
        '{"arguments": {"y": 2}, "name": "f"}',
    ]


def test_an_advantage_that_is_no_number_is_named(tmp_path: Path):
    path = tmp_path / "x.parquet"
    trl_frame().with_columns(advantage=pl.lit("high")).write_parquet(path)
    assert f"is not a number, at {path} row 1" in problems_of(path)
