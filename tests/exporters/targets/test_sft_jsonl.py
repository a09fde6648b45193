"""Conversations with weights, read by plain code and not by the target's own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batches import export, lines, made, step_row, text_log, token_log

from workbench.errors import ArtefactError, ParameterError
from workbench.exporters import TARGETS
from workbench.exporters.targets import sft_jsonl


def weights(folder: Path) -> list[list[Any]]:
    """The weight of each assistant message of each line."""
    return [
        [message["weight"] for message in talk["messages"] if message["role"] == "assistant"]
        for talk in lines(folder / sft_jsonl.FILE)
    ]


def test_a_reply_weighs_its_advantage_or_nothing(tmp_path: Path):
    # t0 has 0.5 and -2, t1 0.25: only what is above 0 is trained.
    export("sft-jsonl", text_log(), tmp_path / "float")
    assert weights(tmp_path / "float") == [[0.5, 0.0], [0.25]]
    export("sft-jsonl", text_log(), tmp_path / "all", positive_only=False)
    assert weights(tmp_path / "all") == [[0.5, -2.0], [0.25]]


def test_binary_weights_are_the_integers_that_services_take(tmp_path: Path):
    export("sft-jsonl", text_log(), tmp_path / "out", weights="binary")
    found = weights(tmp_path / "out")
    assert found == [[1, 0], [1]]
    assert all(type(value) is int for row in found for value in row)
    # The advantages are not lost: they stand beside.
    rows = TARGETS["sft-jsonl"].load(tmp_path / "out")
    assert rows["step_advantages"].to_list() == [[0.5, 0.0], [0.25]]


def test_the_credit_of_a_line_names_the_rows_last_step(tmp_path: Path):
    # t0 is one row of steps 0 and 1, t1 of step 0 alone.
    export("sft-jsonl", text_log(), tmp_path / "out")
    credit = lines(tmp_path / "out" / sft_jsonl.CREDIT)
    assert [(row["trajectory_id"], row["last_step_index"]) for row in credit] == [
        ("t0", 1), ("t1", 0),
    ]  # fmt: skip
    assert not any("step_index" in row for row in credit)


def test_what_services_take_is_said_by_the_weights_of_the_file(tmp_path: Path):
    said = {
        weights: export("sft-jsonl", text_log(), tmp_path / weights, weights=weights).turn_off
        for weights in ("float", "binary")
    }
    assert said["float"]["OpenAI, Together"].startswith("both take only the weights 0 and 1, and")
    assert said["float"]["OpenAI, Together"].endswith("--to sft-jsonl -p weights=binary")
    assert said["binary"]["OpenAI, Together"].startswith("nothing has to be done: ")
    card = (tmp_path / "binary" / "README.md").read_text()
    assert f"| for OpenAI, Together | {said['binary']['OpenAI, Together']} |" in card


def test_a_line_has_nothing_but_messages_and_tools(tmp_path: Path):
    export("sft-jsonl", token_log(), tmp_path / "out")
    talks = lines(tmp_path / "out" / sft_jsonl.FILE)
    assert [list(talk) for talk in talks] == [["messages"], ["messages"]]
    assert talks[1]["messages"] == [
        {"role": "user", "content": "see 0"},
        {"role": "assistant", "content": "do 0", "weight": 0.25},
    ]


def test_the_weight_of_a_trajectory_is_multiplied_in(tmp_path: Path):
    # Two trained steps, so each counts half: 1 / 2 and 3 / 2.
    log = made([step_row("t", 0, 1.0), step_row("t", 1, 3.0)])
    export("sft-jsonl", log, tmp_path / "out", weight="inverse_length")
    assert weights(tmp_path / "out") == [[0.5, 1.5]]


@pytest.mark.parametrize("name", ["sft-jsonl", "datasets"])
def test_binary_weights_of_any_sign_are_refused(name: str, tmp_path: Path):
    with pytest.raises(ParameterError, match="weights=binary trains every reply alike"):
        export(name, text_log(), tmp_path / "out", weights="binary", positive_only=False)


def test_another_weight_than_the_credit_says_is_named_with_its_line(tmp_path: Path):
    export("sft-jsonl", text_log(), tmp_path / "out")
    path = tmp_path / "out" / sft_jsonl.FILE
    path.write_text(path.read_text().replace('"weight": 0.25', '"weight": 0.75'))
    manifest = export("sft-jsonl", text_log(), tmp_path / "other")
    with pytest.raises(ArtefactError, match=r"sft\.jsonl line 2: weights are \[0\.75\]"):
        sft_jsonl.read(tmp_path / "out", manifest)


def test_a_weight_that_the_log_has_is_not_replaced_in_silence(tmp_path: Path):
    row = step_row("t", 0, 1.0)
    said = [
        {"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 0.5},
        {"role": "user", "content": "x"}, {"role": "assistant", "content": "z", "weight": 0.25},
    ]  # fmt: skip
    log = made([{**row, "messages": json.dumps(said)}])
    with pytest.raises(ParameterError, match=r"trajectory 't' has a weight of its own.*0\.5"):
        export("sft-jsonl", log, tmp_path / "out")
    assert not (tmp_path / "out").exists()
