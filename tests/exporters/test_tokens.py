"""Steps laid out as rows of token ids."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from batches import (
    STEP,
    TOKENS,
    export,
    lines,
    logs,
    made,
    rewritten_log,
    step_row,
    token_log,
    write,
    written,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters import read_batch
from workbench.exporters.targets import skyrl, trl, verl


def test_one_row_a_step(tmp_path: Path) -> None:
    manifest, rows = written(*token_log(), tmp_path / "out", unit="step")
    assert [row["input_ids"] for row in rows] == [[1, 2, 3], [1, 2, 3, 4, 5, 6], [7, 8]]
    assert rows[1]["loss_mask"] == [0, 0, 0, 0, 1, 1]
    assert rows[1]["step_ids"] == [-1, -1, -1, -1, 1, 1]
    assert [row["reward"] for row in rows] == [1.0, 1.0, 0.0]
    assert (manifest.unit, manifest.counts["rows"], manifest.counts["steps"]) == ("step", 3, 3)


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


def test_logprobs_that_some_rows_lack_are_left_out_if_all_need_them(
    tmp_path: Path,
):
    rows = [
        step_row("t0", 0, prompt_ids=[1], response_ids=[2], response_logprobs=[-0.5]),
        step_row("t1", 0, prompt_ids=[1], response_ids=[2], response_logprobs=None),
    ]
    log = made(rows)
    assert export("verl", log, tmp_path / "verl").checks["logprobs_present"] is False
    assert "rollout_log_probs" not in np.load(tmp_path / "verl" / verl.FILE).files
    export("skyrl", log, tmp_path / "skyrl")
    assert json.loads((tmp_path / "skyrl" / skyrl.FILE).read_text())["rollout_logprobs"] is None
    export("trl", log, tmp_path / "trl")
    found = [row["old_log_probs"] for row in lines(tmp_path / "trl" / trl.FILE)]
    assert found == [[0.0, -0.5], None]


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
    types: dict[str, Any] = {
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


def expected_rows(rows: list[dict[str, Any]], *, by_step: bool) -> list[tuple[list[Any], ...]]:
    """The batch by plain loops."""
    out = []
    for _, members in itertools.groupby(rows, key=lambda row: row["trajectory_id"]):
        steps = list(members)
        whole = not by_step
        sequence: list[int] = []
        for step in steps:
            whole &= step["prompt_ids"][: len(sequence)] == sequence or step["step_index"] == 0
            sequence = step["prompt_ids"] + step["response_ids"]
        out += _rows_of(steps, whole=whole)
    return out


def _rows_of(steps: list[dict[str, Any]], *, whole: bool) -> list[tuple[list[Any], ...]]:
    sequences: list[tuple[list[Any], ...]] = []
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
