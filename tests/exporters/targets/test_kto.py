"""Labelled steps, read by plain code and not by the target's own reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from batches import export, lines, made, step_row, token_log

from workbench.errors import ArtefactError
from workbench.exporters.targets import kto


def test_the_label_is_the_sign_of_the_advantage_and_zero_has_none(tmp_path: Path):
    log = made([step_row("t", 0, 0.5), step_row("t", 1, 0.0), step_row("t", 2, -2.0)])
    manifest = export("kto", log, tmp_path / "out")
    rows = lines(tmp_path / "out" / kto.FILE)
    assert [(row["step_index"], row["label"], row["advantage"]) for row in rows] == [
        (0, True, 0.5),
        (2, False, -2.0),
    ]
    assert manifest.counts["no_label"] == 1
    # The step between is context of the one after.
    assert [message["content"] for message in rows[1]["prompt"]] == [
        "see 0", "do 0", "see 1", "do 1", "see 2",
    ]  # fmt: skip
    assert rows[1]["completion"] == [{"role": "assistant", "content": "do 2"}]


def test_a_log_of_token_ids_gives_messages(tmp_path: Path):
    manifest = export("kto", token_log(), tmp_path / "out")
    assert not manifest.token_level
    assert [row["label"] for row in lines(tmp_path / "out" / kto.FILE)] == [True, False, True]


def test_a_label_that_is_not_the_sign_is_named_with_its_line(tmp_path: Path):
    manifest = export("kto", token_log(), tmp_path / "out")
    path = tmp_path / "out" / kto.FILE
    path.write_text(path.read_text().replace('"label": false', '"label": true'))
    with pytest.raises(ArtefactError, match=r"kto\.jsonl line 2: label is not"):
        kto.read(tmp_path / "out", manifest)
    # The first of several is named.
    path.write_text(path.read_text().replace('"label": true', '"label": false'))
    with pytest.raises(ArtefactError, match=r"kto\.jsonl line 1: label is not"):
        kto.read(tmp_path / "out", manifest)


def test_a_reply_that_opens_the_conversation_has_no_prompt_and_is_counted(tmp_path: Path):
    opening = [{"role": "assistant", "content": "hello"}]
    answer = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    rows = [
        {**step_row("t", number, 1.0), "messages": json.dumps(said)}
        for number, said in enumerate((opening, answer))
    ]
    manifest = export("kto", made(rows), tmp_path / "out")
    (row,) = lines(tmp_path / "out" / kto.FILE)
    assert [message["content"] for message in row["prompt"]] == ["hello", "x"]
    assert manifest.counts["no_prompt"] == 1
