import itertools
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from batches import (
    PROVENANCE,
    STEP,
    TOKENS,
    logs,
    made,
    message,
    scored_credit,
    step_row,
    token_log,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import ArtefactError, EmptyBatchError, ParameterError, UnknownNameError
from workbench.exporters import TARGETS, Manifest, folder, read_batch, read_manifest
from workbench.exporters.lists import flat, nested, ranges
from workbench.exporters.tables import write_parquet
from workbench.exporters.targets.weighted_batch import FILE, TEXT_SCHEMA, TOKEN_SCHEMA
from workbench.log.schema import validate


def write(log: pl.DataFrame, credit: pl.DataFrame, directory: Path, **options: Any) -> Manifest:
    return TARGETS["weighted-batch"](log, scored_credit(credit), directory, **options)


def written(
    log: pl.DataFrame, credit: pl.DataFrame, directory: Path, **options: Any
) -> tuple[Manifest, list[dict[str, Any]]]:
    manifest = write(log, credit, directory, **options)
    return manifest, read_batch(directory).to_dicts()


def test_targets_are_found_by_name() -> None:
    assert "weighted-batch" in TARGETS
    assert TARGETS["weighted-batch"].description.endswith("datasets.")
    assert TARGETS["weighted-batch"].options["weight"] == "none"
    with pytest.raises(UnknownNameError, match="did you mean 'weighted-batch'"):
        TARGETS["weighted_batch"]


def test_the_sample_export_comes_out_exactly(shared: Path, tmp_path: Path) -> None:
    log = validate(pl.read_parquet(shared / "samples" / "canonical_steps.parquet")).log
    golden = pl.DataFrame(json.loads((shared / "samples" / "golden.json").read_text()))
    advantage = pl.col("grpo_adv") + pl.col("gigpo_step_adv_mean_norm")
    credit = golden.select(
        "group_id",
        "trajectory_id",
        pl.col("step_index").cast(pl.Int32),
        advantage.alias("advantage"),
        pl.lit(None, dtype=pl.String).alias("excluded"),
    )
    manifest = write(log, credit, tmp_path / "out")
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


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path) -> None:
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


def test_one_row_a_step(tmp_path: Path) -> None:
    manifest, rows = written(*token_log(), tmp_path / "out", unit="step")
    assert [row["input_ids"] for row in rows] == [[1, 2, 3], [1, 2, 3, 4, 5, 6], [7, 8]]
    assert rows[1]["loss_mask"] == [0, 0, 0, 0, 1, 1]
    assert rows[1]["step_ids"] == [-1, -1, -1, -1, 1, 1]
    assert [row["reward"] for row in rows] == [1.0, 1.0, 0.0]
    assert (manifest.unit, manifest.counts["rows"], manifest.counts["steps"]) == ("step", 3, 3)


def rewritten_log() -> tuple[pl.DataFrame, pl.DataFrame]:
    """t0: the second prompt was written anew; t1 as in `token_log`."""
    return made(
        [
            step_row("t0", 0, 0.5, prompt_ids=[1, 2], response_ids=[3]),
            step_row("t0", 1, -2.0, prompt_ids=[1, 9, 3, 4], response_ids=[5]),
            step_row("t1", 0, 0.25, prompt_ids=[7], response_ids=[8]),
        ]
    )


def test_a_trajectory_whose_prompts_do_not_extend_is_written_step_by_step(tmp_path: Path) -> None:
    manifest, rows = written(*rewritten_log(), tmp_path / "out")
    assert [(row["trajectory_id"], row["input_ids"]) for row in rows] == [
        ("t0", [1, 2, 3]),
        ("t0", [1, 9, 3, 4, 5]),
        ("t1", [7, 8]),
    ]
    assert manifest.unit == "mixed"
    assert manifest.counts["trajectories_as_steps"] == 1
    assert manifest.checks["prefix_property"] is False


def test_a_trajectory_that_cannot_be_one_row_is_refused_on_demand(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="trajectory 't0' step 1"):
        write(*rewritten_log(), tmp_path / "out", unit="trajectory")


def test_a_step_without_gradient_is_context(tmp_path: Path) -> None:
    manifest, rows = written(*token_log(gradient_mask=False), tmp_path / "out")
    assert rows[0]["loss_mask"] == [0, 0, 0, 0, 1, 1]
    assert rows[0]["advantages"] == [0.0, 0.0, 0.0, 0.0, -2.0, -2.0]
    assert rows[0]["step_ids"] == [-1, -1, 0, -1, 1, 1]
    assert manifest.counts["masked_steps"] == 1
    assert manifest.counts["steps"] == 3


def test_only_sampled_tokens_of_a_response_are_trained(tmp_path: Path) -> None:
    # Token 4 is a tool's output inside the response.
    row = step_row("t", 0, 2.0, prompt_ids=[1], response_ids=[3, 4, 5], response_mask=[1, 0, 1])
    _, rows = written(*made([row]), tmp_path / "out")
    assert rows[0]["loss_mask"] == [0, 1, 0, 1]
    assert rows[0]["step_ids"] == [-1, 0, -1, 0]
    assert rows[0]["advantages"] == [0.0, 2.0, 0.0, 2.0]


def test_steps_that_sampled_nothing_are_counted(tmp_path: Path) -> None:
    rows = [
        step_row("t", 0, prompt_ids=[1], response_ids=[], response_mask=[]),
        step_row("t", 1, prompt_ids=[1, 2], response_ids=[3], response_mask=[0]),
        step_row("t", 2, prompt_ids=[1, 2, 3], response_ids=[4], response_mask=[1]),
    ]
    manifest, out = written(*made(rows, response_mask=pl.List(pl.Int8)), tmp_path / "out")
    assert out[0]["step_ids"] == [-1, -1, -1, 2]
    assert (manifest.counts["steps"], manifest.counts["steps_without_tokens"]) == (3, 2)


def test_log_probabilities(tmp_path: Path) -> None:
    rows = [
        step_row("t0", 0, prompt_ids=[1], response_ids=[2], response_logprobs=[-0.5]),
        step_row("t1", 0, prompt_ids=[1], response_ids=[2], response_logprobs=None),
    ]
    manifest, out = written(*made(rows), tmp_path / "out")
    assert out[0]["old_logprobs"] == [0.0, -0.5]
    assert out[1]["old_logprobs"] is None
    assert manifest.checks["logprobs_present"] is False


def test_weights(tmp_path: Path) -> None:
    _, rows = written(*token_log(), tmp_path / "out", weight="inverse_length")
    assert [row["weight"] for row in rows] == [0.5, 1.0]
    _, rows = written(*rewritten_log(), tmp_path / "steps", weight="inverse_length")
    assert [row["weight"] for row in rows] == [0.5, 0.5, 1.0]


def test_what_is_dropped_is_counted(tmp_path: Path) -> None:
    ids = {"prompt_ids": [1], "response_ids": [2]}
    rows = [
        step_row("kept", 0, 1.0, **ids),
        step_row("null", 0, None, reward=None, **ids),
        step_row("null", 1, None, reward=1.0, **ids),
        step_row("infinite", 0, float("inf"), **ids),
        step_row("huge", 0, 1e300, **ids),
        step_row("bare", 0, 1.0, prompt_ids=None, response_ids=None),
        step_row("zero", 0, 0.0, group="h", **ids),
    ]
    manifest, out = written(*made(rows), tmp_path / "out", drop_zero_groups=True)
    assert [row["trajectory_id"] for row in out] == ["kept"]
    assert manifest.input == {"groups": 2, "trajectories": 6, "steps": 7}
    assert manifest.dropped == {
        "not_selected": {"groups": 0, "trajectories": 0, "steps": 0},
        "excluded_trajectories": {"groups": 1, "trajectories": 1, "steps": 2},
        "nonfinite_advantage": {"groups": 1, "trajectories": 2, "steps": 2},
        "no_token_ids": {"groups": 1, "trajectories": 1, "steps": 1},
        "zero_advantage_groups": {"groups": 1, "trajectories": 1, "steps": 1},
    }


def test_groups_without_advantage_are_kept_and_counted_by_default(tmp_path: Path) -> None:
    ids = {"prompt_ids": [1], "response_ids": [2]}
    log, credit = made([step_row("t", 0, **ids), step_row("u", 0, 0.0, group="h", **ids)])
    manifest, out = written(log, credit, tmp_path / "out")
    assert len(out) == 2
    assert manifest.counts["zero_advantage_groups"] == 1


def test_a_batch_that_would_train_nothing_is_not_written(tmp_path: Path) -> None:
    log, credit = token_log()
    dead = credit.with_columns(advantage=0.0)
    with pytest.raises(EmptyBatchError, match=r"none of its 3 trained steps has an advantage"):
        write(log, dead, tmp_path / "no")
    with pytest.raises(EmptyBatchError, match=r"is left to export; left out: 2 \(zero groups\)"):
        write(log, dead, tmp_path / "no", drop_zero_groups=True)
    with pytest.raises(EmptyBatchError, match="none of its 3 steps is trained"):
        write(log.with_columns(gradient_mask=False), credit, tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


def text_log(**columns: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    return made(
        [
            step_row("t0", 0, 0.5),
            step_row("t0", 1, -2.0, reward=1.0, **columns),
            step_row("t1", 0, 0.25),
        ]
    )


def test_a_log_of_texts_becomes_conversations(tmp_path: Path) -> None:
    manifest, rows = written(*text_log(), tmp_path / "out")
    assert rows[0] == {
        "group_id": "g",
        "trajectory_id": "t0",
        "messages": [
            message("user", "see 0"),
            message("assistant", "do 0"),
            message("user", "see 1"),
            message("assistant", "do 1"),
        ],
        "step_advantages": [0.5, -2.0],
        "step_mask": [1, 1],
        "reward": 1.0,
        "weight": 1.0,
    }
    assert manifest.token_level is False
    assert manifest.checks["logprobs_present"] is False
    assert (manifest.counts["rows"], manifest.counts["steps"]) == (2, 3)


def test_a_text_step_has_the_conversation_up_to_it(tmp_path: Path) -> None:
    manifest, rows = written(*text_log(), tmp_path / "out", unit="step")
    assert [len(row["messages"]) for row in rows] == [2, 4, 2]
    assert rows[1]["step_advantages"] == [0.0, -2.0]
    assert rows[1]["step_mask"] == [0, 1]
    assert (manifest.counts["steps"], manifest.counts["trained_steps"]) == (3, 3)


def test_a_complete_logged_prompt_is_used(tmp_path: Path) -> None:
    prompt = [
        message("system", "be brief"),
        message("user", "task; see 0", tool_calls=None),
        message("assistant", "do 0"),
        message("tool", "see 1"),
    ]
    manifest, rows = written(*text_log(messages=json.dumps(prompt)), tmp_path / "out")
    assert [m["role"] for m in rows[0]["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert rows[0]["step_advantages"] == [0.5, -2.0]
    assert manifest.counts["rows_from_messages"] == 1


@pytest.mark.parametrize(
    "prompt",
    [
        "not JSON",
        "{}",
        "[]",
        json.dumps([message("user", "see 1")]),  # the first reply was cut away
        json.dumps([message("user", "x"), message("assistant", "other"), message("user", "y")]),
        json.dumps([message("user", "x"), message("assistant", "do 0")]),
        json.dumps([message("user", None), message("assistant", "do 0"), message("user", "y")]),
        json.dumps(
            [
                message("user", "x"),
                message("assistant", "do 0", tool_calls=[1]),
                message("user", ""),
            ]
        ),
    ],
)
def test_an_incomplete_logged_prompt_is_not_used(tmp_path: Path, prompt: str) -> None:
    manifest, rows = written(*text_log(messages=prompt), tmp_path / "out")
    assert rows[0]["messages"][0] == message("user", "see 0")
    assert len(rows[0]["messages"]) == 4
    assert manifest.counts["rows_from_messages"] == 0


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


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(*token_log(), tmp_path / name)
    for file in (FILE, folder.MANIFEST):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_row_order_is_irrelevant(tmp_path: Path) -> None:
    log, credit = token_log()
    first = write(log, credit, tmp_path / "a")
    assert write(log.reverse(), credit.reverse(), tmp_path / "b") == first


def test_the_manifest_says_where_the_numbers_come_from(tmp_path: Path) -> None:
    policy = {"model": "m-7b", "policy_version": 5, "train_step": 7, "tokenizer": "tok"}
    row = step_row("t", 0, prompt_ids=[1], response_ids=[2], **policy)
    manifest = write(*made([row]), tmp_path / "out")
    assert manifest.source == PROVENANCE.log
    assert manifest.method == PROVENANCE.method
    assert manifest.conventions == {"eps": 1e-6, "ddof": 1}
    assert manifest.policy == {
        "models": ["m-7b"],
        "versions": [5],
        "train_steps": [7],
        "max_staleness": 2,
    }
    assert manifest.tokenizer == "tok"
    assert "slime" in manifest.turn_off
    assert read_manifest(tmp_path / "out") == manifest
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_null_advantage_of_a_scored_step_is_refused(tmp_path: Path) -> None:
    log, credit = token_log()
    nothing = pl.when(pl.col("trajectory_id") == "t1").then(None).otherwise(pl.col("advantage"))
    with pytest.raises(ParameterError, match="trajectory 't1' step 0"):
        write(log, credit.with_columns(nothing.alias("advantage")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_credit_of_another_log_is_refused(tmp_path: Path) -> None:
    log, credit = token_log()
    with pytest.raises(ParameterError, match=r"1 steps are only in the log: .*'t0' step 0"):
        write(log, credit.slice(1), tmp_path / "out")
    with pytest.raises(ParameterError, match="the credit has steps twice"):
        write(log, pl.concat([credit, credit]), tmp_path / "out")
    with pytest.raises(ParameterError, match="missing columns"):
        write(log, credit.drop("excluded"), tmp_path / "out")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"response_mask": [1, 1]}, "response_mask has another length"),
        ({"response_logprobs": [-0.1, -0.1]}, "response_logprobs has another length"),
        ({"response_logprobs": [float("nan")]}, "response_logprobs of trained tokens are not"),
        ({"response_logprobs": [None]}, "response_logprobs of trained tokens are not"),
        ({"response_mask": [2]}, "values other than 0 and 1"),
        ({"response_mask": [None]}, "null in response_mask"),
        ({"prompt_ids": [1, None]}, "null in prompt_ids"),
        ({"response_ids": [-3]}, "a number below 0 in response_ids"),
        ({"step_index": 40000}, "step_index is above 32767"),
    ],
)
def test_a_step_that_breaks_a_rule_is_named(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    types = {
        **TOKENS,
        "response_mask": pl.List(pl.Int8),
        "response_logprobs": pl.List(pl.Float32),
        "step_index": pl.Int32,
    }
    log, credit = token_log(source_file="a.jsonl", source_line=12)
    values = [pl.Series(name, [value], dtype=types[name]) for name, value in columns.items()]
    last = log.tail(1).with_columns(values)
    log = pl.concat([log.head(2), last.with_columns(source_file=pl.lit("b.jsonl"), source_line=7)],
                    how="diagonal_relaxed")  # fmt: skip
    credit = log.select(STEP).hstack(credit.select("advantage", "excluded"))
    with pytest.raises(ParameterError, match=rf"{message}.*trajectory 't1' .*\(b.jsonl:7\)"):
        write(log, credit, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_two_tokenizers_are_refused(tmp_path: Path) -> None:
    rows = [step_row(t, 0, prompt_ids=[1], response_ids=[2], tokenizer=t) for t in ("toka", "tokb")]
    with pytest.raises(ParameterError, match=r"2 tokenizers.*trajectory 'tokb'"):
        write(*made(rows), tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "token"}, "unit must be one of"),
        ({"weight": "length"}, "weight must be one of"),
        ({"units": "step"}, "did you mean 'unit'"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        write(*token_log(), tmp_path / "out", **options)


def test_a_finished_export_is_replaced_only_on_demand(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(*token_log(), out)
    with pytest.raises(ParameterError, match="finished export"):
        write(*text_log(), out)
    assert read_manifest(out).token_level
    write(*text_log(), out, overwrite=True)
    assert not read_manifest(out).token_level
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_an_export_is_never_replaced(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("years of work")
    with pytest.raises(ParameterError, match="not a finished export"):
        write(*token_log(), thesis, overwrite=True)
    with pytest.raises(ParameterError, match="is a file"):
        write(*token_log(), thesis / "chapter.txt", overwrite=True)
    write(*token_log(), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError, match=r"notes\.txt"):
        write(*token_log(), tmp_path / "out", overwrite=True)
    assert (thesis / "chapter.txt").read_text() == "years of work"


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(*token_log(), tmp_path / "empty")
    write(*token_log(), tmp_path / "a" / "b" / "c")
    assert read_batch(tmp_path / "empty").equals(read_batch(tmp_path / "a" / "b" / "c"))


@pytest.mark.parametrize("moment", ["targets.weighted_batch.write_parquet", "base.require_equal"])
@pytest.mark.parametrize("stands", [True, False])
def test_an_interrupted_export_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, stands: bool
) -> None:
    out = tmp_path / "out"
    if stands:
        write(*token_log(), out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"workbench.exporters.{moment}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(*text_log(), out, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert out.exists() == stands


def test_a_failing_rename_brings_the_old_export_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(*token_log(), out)
    rename = type(out).rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError("disk gone")
        return rename(path, target)

    monkeypatch.setattr(type(out), "rename", fail)
    with pytest.raises(OSError, match="disk gone"):
        write(*text_log(), out, overwrite=True)
    assert read_manifest(out).token_level


def test_a_tampered_file_is_refused(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    path = tmp_path / "out" / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    for read in (read_manifest, read_batch):
        with pytest.raises(ArtefactError, match=rf"{FILE} is not the file that"):
            read(tmp_path / "out")
    path.unlink()
    with pytest.raises(ArtefactError, match="is missing"):
        read_batch(tmp_path / "out")


def test_a_folder_without_a_manifest_is_not_an_export(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    manifest = tmp_path / "out" / folder.MANIFEST
    for text in ("{", "[]", '{"format": "x"}'):
        manifest.write_text(text)
        with pytest.raises(ArtefactError, match=r"manifest\.json"):
            read_batch(tmp_path / "out")
    manifest.unlink()
    with pytest.raises(ArtefactError, match=r"has no manifest\.json"):
        read_batch(tmp_path / "out")


def replace(directory: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Rewrites the rows of an export together with its digest, as a faulty tool might."""
    path = directory / FILE
    rows = change(pl.read_parquet(path))
    write_parquet(rows, path, TOKEN_SCHEMA if "input_ids" in rows.columns else TEXT_SCHEMA)
    reseal(directory, {})


def reseal(directory: Path, changes: dict[str, Any]) -> None:
    path = directory / folder.MANIFEST
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
        ("messages", [{"role": None, "content": "x"}], "a message without role"),
        ("messages", [{"role": "user", "content": None}], "a message without content"),
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


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    path = tmp_path / "out" / folder.MANIFEST
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "files": {FILE: "ab"}}))
    with pytest.raises(ArtefactError, match="not a digest and a size"):
        read_batch(tmp_path / "out")


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    (tmp_path / "out" / FILE).write_bytes(b"PAR1")
    reseal(tmp_path / "out", {})
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_batch(tmp_path / "out")


def test_a_new_folder_has_the_usual_permissions(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    (tmp_path / "plain").mkdir()
    assert os.stat(tmp_path / "out").st_mode == os.stat(tmp_path / "plain").st_mode  # noqa: PTH116


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6))
def test_flat_lists_come_back(lists: list[list[int]]) -> None:
    series = pl.Series("x", lists, dtype=pl.List(pl.Int32))
    sizes = np.array([len(entry) for entry in lists], dtype=np.int64)
    assert nested(flat(series), sizes, "x").equals(series)
    assert flat(series).to_list() == [value for entry in lists for value in entry]


def test_ranges() -> None:
    start, stop = np.array([3, 5, 0]), np.array([5, 5, 2])
    assert ranges(start, stop).tolist() == [3, 4, 0, 1]


def expected_rows(rows: list[dict[str, Any]], *, by_step: bool) -> list[tuple[list[Any], ...]]:
    """The batch by plain loops."""
    out = []
    for _, members in itertools.groupby(rows, key=lambda row: row["trajectory_id"]):
        steps = list(members)
        whole, sequence = not by_step, []
        for step in steps:
            whole &= step["prompt_ids"][: len(sequence)] == sequence or step["step_index"] == 0
            sequence = step["prompt_ids"] + step["response_ids"]
        out += _rows_of(steps, whole=whole)
    return out


def _rows_of(steps: list[dict[str, Any]], *, whole: bool) -> list[tuple[list[Any], ...]]:
    sequences = []
    for step in steps:
        if not sequences or not whole:
            sequences.append(([], [], [], []))
        ids, mask, numbers, advantages = sequences[-1]
        context = step["prompt_ids"][len(ids) :]
        tokens = [(token, False) for token in context]
        tokens += [
            (token, bool(sampled))
            for token, sampled in zip(step["response_ids"], step["response_mask"], strict=True)
        ]
        for token, sampled in tokens:
            trained = sampled and step["gradient_mask"]
            ids.append(token)
            mask.append(int(trained))
            numbers.append(step["step_index"] if sampled else -1)
            advantages.append(step["advantage"] if trained else 0.0)
    return sequences


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs(), st.booleans())
def test_token_rows_agree_with_plain_loops(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], by_step: bool
) -> None:
    def usable(steps: list[dict[str, Any]]) -> bool:
        return all(
            row["reward"] is not None
            and row["prompt_ids"] is not None
            and (np.isfinite(row["advantage"]) or not row["gradient_mask"])
            for row in steps
        )

    by_trajectory = [
        list(steps) for _, steps in itertools.groupby(rows, key=lambda r: r["trajectory_id"])
    ]
    # The canonical order is by group; even trajectories are in g0.
    by_trajectory.sort(key=lambda steps: (steps[0]["group_id"], steps[0]["trajectory_id"]))
    kept = [row for steps in by_trajectory if usable(steps) for row in steps]
    if not kept:
        return
    out = tmp_path_factory.mktemp("export") / "out"
    log, credit = made(rows, response_mask=pl.List(pl.Int8))
    expected = expected_rows(kept, by_step=by_step)
    if not any(itertools.chain.from_iterable(advantages for *_, advantages in expected)):
        with pytest.raises(EmptyBatchError):
            write(log, credit, out, unit="step" if by_step else None)
        return
    manifest = write(log, credit, out, unit="step" if by_step else None)
    found = read_batch(out).select("input_ids", "loss_mask", "step_ids", "advantages").rows()
    assert [tuple(row) for row in found] == expected
    dropped = sum(entry["steps"] for entry in manifest.dropped.values())
    assert manifest.counts["steps"] + dropped == len(rows)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs(), st.sampled_from(["trajectory", "step"]))
def test_text_rows_are_the_steps_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], unit: str
) -> None:
    for row in rows:
        del row["prompt_ids"], row["response_ids"], row["response_mask"]
    log, credit = made(rows)
    out = tmp_path_factory.mktemp("export") / "out"
    try:
        write(log, credit, out, unit=unit)
    except EmptyBatchError:
        return
    last = {}
    for row in read_batch(out).iter_rows(named=True):
        entries = zip(row["step_advantages"], row["step_mask"], strict=True)
        for step, (advantage, trained) in enumerate(entries):
            if trained:
                last[row["trajectory_id"], step] = advantage
    kept = set(read_batch(out)["trajectory_id"])
    assert last == {
        (row["trajectory_id"], row["step_index"]): row["advantage"]
        for row in rows
        if row["trajectory_id"] in kept and row["gradient_mask"]
    }
