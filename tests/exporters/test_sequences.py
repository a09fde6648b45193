"""Rows of token ids as prompt and response, and as padded matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from batches import exportable, made, partly_trained, step_row

from workbench.exporters import TARGETS
from workbench.exporters.sequences import broadcast, joined, padded, placed, split


def rows(**options: Any) -> pl.DataFrame:
    return TARGETS["verl"].assemble(*exportable(partly_trained()), **options).rows


def test_rows_are_cut_before_their_first_trained_token_and_joined_again():
    parts = split(rows())
    assert parts["prompt_ids"].to_list() == [[1, 2], [9]]
    assert parts["response_ids"].to_list() == [[3, 4, 5, 6, 8], [10]]
    assert parts["loss_mask"].to_list() == [[1, 0, 1, 0, 0], [1]]
    whole = joined(parts)
    for name in ("input_ids", "loss_mask", "advantages", "old_logprobs"):
        assert whole[name].equals(rows()[name]), name


def test_log_probabilities_before_the_first_trained_token_are_not_held():
    ids: dict[str, Any] = {"response_logprobs": [-0.5]}
    log = made(
        [
            step_row("t", 0, 7.0, prompt_ids=[1], response_ids=[2], gradient_mask=False, **ids),
            step_row("t", 1, 1.0, prompt_ids=[1, 2, 3], response_ids=[4], **ids),
            step_row("u", 0, 1.0, prompt_ids=[1], response_ids=[2], response_logprobs=None),
        ]
    )
    found = {
        name: TARGETS[name].assemble(*exportable(log), unit=unit).rows["old_logprobs"].to_list()
        for name, unit in (("verl", None), ("tinker", None), ("rllm", "step"))
    }
    assert found["verl"] == [[0.0, 0.0, 0.0, -0.5], None]
    assert found["tinker"] == [[0.0, -0.5, 0.0, -0.5], None]
    assert found["rllm"] == [[0.0, 0.0, 0.0, -0.5], None]


def test_lists_are_padded_on_either_side():
    lists = pl.Series([[1, 2], [3]])
    assert padded(lists, 3, np.int64).tolist() == [[1, 2, 0], [3, 0, 0]]
    assert padded(lists, 3, np.int64, left=True).tolist() == [[0, 1, 2], [0, 0, 3]]
    assert placed(np.array([2, 1]), 2).tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("value", [0.1, -2.0])
def test_one_value_a_row_stands_where_the_mask_does(value: float):
    mask = pl.Series([[0, 1, 1], [1]], dtype=pl.List(pl.Int8))
    spread = broadcast(pl.Series([value, 3.0], dtype=pl.Float32), mask)
    one = np.float32(value)
    assert spread.to_list() == [[0.0, one, one], [3.0]]
