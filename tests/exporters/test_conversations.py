"""Steps laid out as conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batches import logs, made, message, text_log, write, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import EmptyBatchError
from workbench.exporters import read_batch


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
