"""Every reader of messages: what a log keeps is what a batch holds."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from batches import PROVENANCE
from samples_of import samples_of

from workbench.exporters import TARGETS, read_batch
from workbench.exporters.conversations import messages_of
from workbench.log.credit import ScoredCredit
from workbench.log.increments import conversations
from workbench.readers import import_log
from workbench.readers.base import FORMATS

ALL = [(name, sample) for name in FORMATS for sample in samples_of(name)]
WITHOUT = {"c3", "csv", "minari", "open-instruct", "parquet", "steps", "tinker"}
"""Formats whose samples have no conversation: numbers, ids or bare contexts and actions."""

STEPS_ALONE = {"steps_in_records.jsonl"}
"""Samples that have none in a format of conversations."""


@pytest.mark.parametrize(
    ("name", "sample"), ALL, ids=[f"{name}/{sample.name}" for name, sample in ALL]
)
def test_a_batch_holds_the_conversations_that_were_read(name: str, sample: Path, tmp_path: Path):
    log = import_log([sample], format=name).validated.log
    talks = conversations(log)
    if name in WITHOUT or sample.name in STEPS_ALONE:
        assert talks == [None] * len(talks)
        return
    assert None not in talks, "a reader of messages keeps all of them"
    # Rows of messages, whatever tokens the log has; every step with an advantage.
    texts = log.drop("prompt_ids", "response_ids", "response_mask", strict=False)
    texts = texts.with_columns(pl.lit(None, dtype=pl.String).alias("excluded"))
    table = texts.select("group_id", "trajectory_id", "step_index", "excluded")
    credit = ScoredCredit(table.with_columns(advantage=pl.lit(1.0)), PROVENANCE)
    TARGETS["weighted-batch"](texts, credit, tmp_path / "out", unit="trajectory")
    rows = read_batch(tmp_path / "out")
    expected = [segment for talk in talks if talk is not None for segment in talk.segments]
    assert messages_of(rows) == [list(segment.messages) for segment in expected]
    assert [text and json.loads(text) for text in rows["tools"]] == [
        each.tools for each in expected
    ]
    replies = (
        rows["messages"].list.eval(pl.element().struct.field("role") == "assistant").list.sum()
    )
    assert replies.to_list() == rows["step_mask"].list.len().to_list()
