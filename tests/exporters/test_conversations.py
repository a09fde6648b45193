"""Steps laid out as conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batches import logs, made, message, step_row, text_log, write, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import EmptyBatchError
from workbench.exporters import read_batch
from workbench.exporters.conversations import unpacked
from workbench.log.conversation import Message


def said(row: dict[str, Any]) -> list[Message]:
    return [unpacked(each) for each in row["messages"]]


def test_a_log_of_texts_becomes_conversations(tmp_path: Path) -> None:
    manifest, rows = written(*text_log(), tmp_path / "out")
    assert said(rows[0]) == [
        message("user", "see 0"),
        message("assistant", "do 0"),
        message("user", "see 1"),
        message("assistant", "do 1"),
    ]
    assert {name: rows[0][name] for name in rows[0] if name != "messages"} == {
        "group_id": "g",
        "trajectory_id": "t0",
        "tools": None,
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
    assert said(rows[0])[0] == message("user", "see 0")
    assert len(rows[0]["messages"]) == 4
    assert manifest.counts["rows_from_messages"] == 0


CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
PICTURE = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "u"}}]
TOOLS = [{"type": "function", "function": {"name": "look"}}]


def test_a_batch_is_the_conversation_that_was_had(tmp_path: Path) -> None:
    # A system prompt, a few-shot exchange that the policy did not write, a picture, a call without
    # text, its answer with a key that nothing here reads, a thought.
    first = [
        message("system", "be brief"),
        message("user", "example"),
        message("assistant", "answer"),
        {"role": "user", "content": PICTURE},
        {"role": "assistant", "tool_calls": [CALL]},
    ]
    second = [
        {"role": "tool", "content": "a key", "tool_call_id": "c", "cached": True},
        {"role": "assistant", "content": "done", "reasoning_content": "so it is"},
    ]
    rows = [
        step_row("t", 0, 0.5, messages=json.dumps(first), tools=json.dumps(TOOLS)),
        step_row("t", 1, -2.0, messages=json.dumps(second)),
    ]
    manifest, (row,) = written(*made(rows), tmp_path / "out")
    assert said(row) == first + second
    assert json.loads(row["tools"]) == TOOLS
    # One entry for each assistant message; the example's is history.
    assert row["step_advantages"] == [0.0, 0.5, -2.0]
    assert row["step_mask"] == [0, 1, 1]
    counts = manifest.counts
    assert (counts["rows_from_messages"], counts["rows_rebuilt"]) == (1, 0)
    assert (counts["history_replies"], counts["steps"]) == (1, 2)


def test_a_prompt_that_goes_not_on_begins_a_row_of_its_own(tmp_path: Path) -> None:
    # The context was compacted before step 2: its prompt is not that of step 1 and its reply.
    prompts = [
        [message("user", "a")],
        [message("user", "a"), message("assistant", "do 0"), message("user", "b")],
        [message("user", "in short: a, b")],
    ]
    rows = [
        step_row("t", at, float(at + 1), messages=json.dumps(prompt))
        for at, prompt in enumerate(prompts)
    ]
    manifest, found = written(*made(rows), tmp_path / "out")
    assert [len(row["messages"]) for row in found] == [4, 2]
    assert [row["step_advantages"] for row in found] == [[1.0, 2.0], [3.0]]
    assert said(found[1]) == [*prompts[2], message("assistant", "do 2")]
    assert manifest.counts["rows_of_later_segments"] == 1


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
