"""The bundled log of a language model, read by the tokenizer that wrote it."""

from __future__ import annotations

import json
import os
from typing import Any

import polars as pl
import pytest
from places import DATA

from workbench.bench.smollm2 import END_OF_TURN, MODEL, load_tokenizer
from workbench.errors import MissingDependencyError


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    try:
        return load_tokenizer()
    except MissingDependencyError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return pl.read_parquet(DATA / "smollm2.parquet").sort("trajectory_id", "step_index")


def test_token_ids_are_the_texts(tokenizer: Any, log: pl.DataFrame):
    assert set(log["tokenizer"]) == {MODEL}
    replies = tokenizer.batch_decode(log["response_ids"].to_list())
    ended = [END_OF_TURN if reason == "stop" else "" for reason in log["finish_reason"]]
    assert replies == [text + end for text, end in zip(log["action"], ended, strict=True)]


def test_prompts_are_what_the_template_makes_of_the_messages(tokenizer: Any, log: pl.DataFrame):
    messages: list[dict[str, str]] = []
    for row in log.iter_rows(named=True):
        messages = [*(messages if row["step_index"] else []), *json.loads(row["messages"])]
        text = tokenizer.apply_chat_template(
            messages[:-1], tokenize=False, add_generation_prompt=True
        )
        assert tokenizer.decode(row["prompt_ids"]) == text
