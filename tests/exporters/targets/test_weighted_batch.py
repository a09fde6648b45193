"""The weighted batch: what its file holds, and every rule that its reader checks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from batches import (
    export,
    one_advantage,
    partly_trained,
    shared_log,
    text_log,
    token_log,
    with_advantage,
    write,
    written,
)

from workbench.errors import ArtefactError
from workbench.exporters import folder, read_batch
from workbench.exporters.conversations import packed
from workbench.exporters.tables import write_parquet
from workbench.exporters.targets.weighted_batch import FILE, TEXT_SCHEMA, TOKEN_SCHEMA
from workbench.files import MANIFEST


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    for row in pq.read_table(path).to_pylist():
        yield from zip(row["input_ids"], row["advantages"], row["loss_mask"], strict=True)


def test_the_sample_export_comes_out_exactly(shared: Path, tmp_path: Path) -> None:
    manifest = write(*shared_log(shared), tmp_path / "out")
    expected = shared / "samples" / "exports"
    path = tmp_path / "out" / FILE
    assert pl.read_parquet(path).equals(pl.read_parquet(expected / FILE))
    assert pq.read_schema(path).equals(pq.read_schema(expected / FILE))
    sample = json.loads((expected / "manifest.json").read_text())
    assert sample["counts"].items() <= manifest.counts.items()
    assert sample["checks"].items() <= manifest.checks.items()
    assert (manifest.format, manifest.version) == (sample["format"], sample["version"])
    assert manifest.unit == sample["unit"]
    assert manifest.advantage_scope == sample["advantage_scope"]


def test_a_row_of_tokens_by_hand(tmp_path: Path) -> None:
    log, credit = token_log()
    only = (pl.col("trajectory_id") == "t0") & (pl.col("step_index") == 1)
    credit = credit.with_columns(pl.when(only).then(3.0).otherwise(0.0).alias("advantage"))
    _, rows = written(log, credit, tmp_path / "out")
    assert rows[0] == {
        "group_id": "g",
        "trajectory_id": "t0",
        # prompt 1 2, response 3, new context 4, response 5 6
        "input_ids": [1, 2, 3, 4, 5, 6],
        "loss_mask": [0, 0, 1, 0, 1, 1],
        "step_ids": [-1, -1, 0, -1, 1, 1],
        "old_logprobs": None,
        "advantages": [0.0, 0.0, 0.0, 0.0, 3.0, 3.0],
        "reward": 1.0,
        "weight": 1.0,
    }
    assert rows[1]["advantages"] == [0.0, 0.0]


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("weighted-batch", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / FILE)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("weighted-batch", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / FILE))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]


@pytest.mark.parametrize("kind", ["tokens", "text"])
def test_datasets_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    write(*(token_log() if kind == "tokens" else text_log()), tmp_path / "out")
    with warnings.catch_warnings():
        # datasets and what it imports warn about their own dependencies.
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        loaded = datasets.load_dataset(
            "parquet",
            data_files=str(tmp_path / "out" / FILE),
            cache_dir=str(tmp_path / "cache"),
            split="train",
        )
        rows = loaded.to_list()
    assert rows == read_batch(tmp_path / "out").to_dicts()
    name = "input_ids" if kind == "tokens" else "messages"
    assert name in loaded.features


def replace(directory: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Rewrites the rows of an export together with its digest, as a faulty tool might."""
    path = directory / FILE
    rows = change(pl.read_parquet(path))
    write_parquet(rows, path, TOKEN_SCHEMA if "input_ids" in rows.columns else TEXT_SCHEMA)
    reseal(directory, {})


def reseal(directory: Path, changes: dict[str, Any]) -> None:
    path = directory / MANIFEST
    values = json.loads(path.read_text())
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    values["files"] = {FILE: folder._entry(directory / FILE)}
    path.write_text(json.dumps(values))


def second_row(name: str, values: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(rows: pl.DataFrame) -> pl.DataFrame:
        column = [values if i == 1 else old for i, old in enumerate(rows[name].to_list())]
        return rows.with_columns(pl.Series(name, column, dtype=rows.schema[name]))

    return change


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("advantages", [0.5, 0.25], "advantages is not 0 where loss_mask is 0"),
        ("advantages", [0.0, float("nan")], "advantages is not finite"),
        ("advantages", [0.0], "advantages and input_ids differ in length"),
        ("advantages", None, "advantages is null"),
        ("loss_mask", [0, 3], "loss_mask is neither 0 nor 1"),
        ("loss_mask", [0, None], "a null in loss_mask"),
        ("step_ids", [-1, -1], "a trained token has no step"),
        ("step_ids", [-2, 0], "step_ids is null or below -1"),
        ("input_ids", [7, None], "a null in input_ids"),
        ("input_ids", [7, -8], "a number below 0 in input_ids"),
        ("old_logprobs", [0.0, float("inf")], "old_logprobs of a trained token is not finite"),
        ("old_logprobs", [0.0, None], "old_logprobs of a trained token is not finite"),
        ("reward", float("nan"), "reward is not finite"),
        ("weight", None, "weight is null"),
    ],
)
def test_reading_checks_every_rule_and_names_the_row(
    tmp_path: Path, column: str, values: Any, message: str
) -> None:
    write(*token_log(), tmp_path / "out")
    replace(tmp_path / "out", second_row(column, values))
    with pytest.raises(ArtefactError, match=rf"{FILE}: {message}.*row 1 \(trajectory 't1'\)"):
        read_batch(tmp_path / "out")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("step_mask", [0], "step_advantages is not 0 where step_mask is 0"),
        ("step_mask", [1, 1], "step_mask and step_advantages differ in length"),
        ("step_advantages", [0.1, 0.2], "step_advantages and assistant messages differ"),
        ("messages", [packed({"role": None, "content": "x"})], "a message without role"),
    ],
)
def test_reading_checks_every_rule_of_texts(
    tmp_path: Path, column: str, values: Any, message: str
) -> None:
    write(*text_log(), tmp_path / "out")
    replace(tmp_path / "out", second_row(column, values))
    with pytest.raises(ArtefactError, match=rf"{message}.*row 1 \(trajectory 't1'\)"):
        read_batch(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": {"tokens": 1}}, "holds 8 tokens, but manifest.json says 1"),
        ({"counts": {"trained_tokens": 1}}, "holds 4 trained tokens"),
        ({"counts": {"steps": 2}}, "2 steps kept and 0 dropped, but 3 in the log"),
        ({"input": {"trajectories": 3}}, "2 trajectories kept and 0 dropped, but 3"),
        ({"counts": {"steps": 2}, "input": {"steps": 2}}, "holds 3 steps"),
        ({"version": 9}, "version 9"),
        ({"token_level": False}, "has columns"),
        ({"counts": "many"}, "'many' does not count"),
        ({"counts": {"tokens": "8"}}, "does not count"),
        ({"dropped": []}, "is not a table"),
    ],
)
def test_reading_checks_the_manifest_against_the_file(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write(*token_log(), tmp_path / "out")
    reseal(tmp_path / "out", changes)
    with pytest.raises(ArtefactError, match=message):
        read_batch(tmp_path / "out")


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    (tmp_path / "out" / FILE).write_bytes(b"PAR1")
    reseal(tmp_path / "out", {})
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_batch(tmp_path / "out")
