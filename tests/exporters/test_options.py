"""Options that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batches import export, several, text_log, token_log, write

from workbench.errors import LogError, ParameterError
from workbench.exporters import read_batch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "token"}, "unit must be one of"),
        ({"weight": "length"}, "weight must be one of"),
        ({"units": "step"}, "did you mean 'unit'"),
    ],
)
def test_words_that_are_no_options_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        write(*token_log(), tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 0.0}, r"clip must be in \(0.0, inf\)"),
        ({"clip": float("nan")}, r"clip must be in \(0.0, inf\)"),
        ({"clip": "1"}, "clip must be a float or null"),
        ({"clip": True}, "clip must be a float or null"),
        ({"top_share": 0}, r"top_share must be in \(0.0, 1.0\]"),
        ({"top_share": 1.5}, "top_share must be in"),
        ({"top_share": None}, "top_share must be a float"),
        ({"groups": "g"}, "groups must be a list"),
        ({"groups": []}, "at least one text"),
        ({"tasks": [1]}, "tasks: must be a list of at least one text"),
        ({"positive_only": 1}, "positive_only must be a bool"),
        ({"tokenizer": 3}, "tokenizer must be a str or null"),
        ({"unit": "token"}, "unit must be one of"),
        ({"unit": []}, "unit must be one of"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: Any, message: str):
    with pytest.raises(ParameterError, match=message):
        export("weighted-batch", several(), tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_units_that_a_trainer_does_not_take_are_refused(tmp_path: Path):
    for target in ("datasets", "rllm"):
        with pytest.raises(ParameterError, match=rf"{target}: unit must be one of \['step'\]"):
            export(target, token_log(), tmp_path / "out", unit="trajectory")


def test_a_redacted_batch_holds_no_secret_and_counts_what_it_replaced(tmp_path: Path):
    key = "sk-" + "a1" * 12
    log, credit = text_log()
    secret = log.with_columns(observation=pl.lit(f"use {key}"))
    out = tmp_path / "out"
    manifest = export("weighted-batch", (secret, credit), out, redact=["likely"])
    assert manifest.options["redact"] == ["likely"]
    assert f"redacted: key (1 in {log.height} steps)" in manifest.notes
    (row, *_) = read_batch(out)["messages"].to_list()
    assert "use [key]" in str(row)
    assert key not in str(row)


def test_a_redaction_that_token_ids_would_undo_is_refused(tmp_path: Path):
    log, credit = token_log()
    secret = log.with_columns(observation=pl.lit("ask ann@mail.example.org"))
    with pytest.raises(LogError, match="token ids that still spell"):
        export("weighted-batch", (secret, credit), tmp_path / "out", redact=["likely"])
