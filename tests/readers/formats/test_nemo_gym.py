"""NeMo Gym rollouts as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from log_files import act, log_of, problems_of, write_lines
from narrow import number
from samples_of import SAMPLES, assert_canonical_tokens, assert_nine_steps

from workbench.readers import import_log


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "nemo-gym/rollouts.jsonl"]),
        "nemo-gym",
        action=act,
        group="task-0",
        trajectory="task-0/{n}",
    )


def test_rollouts_without_indices_are_a_group_where_their_input_is_equal():
    told, rebuilt = (
        import_log([SAMPLES / "nemo-gym" / name])
        for name in ("rollouts.jsonl", "without_indices.jsonl")
    )
    assert_nine_steps(rebuilt, "nemo-gym", action=act)
    log = rebuilt.validated.log
    assert set(log["reconstructed"]) == {"groups"}
    assert rebuilt.report.reconstructed == {"groups": 1.0}
    names = log["trajectory_id"].unique(maintain_order=True).to_list()
    assert names == [f"{log['group_id'][0]}#{number}" for number in range(4)]
    assert any("those with the same input are one group" in text for text in rebuilt.report.notices)
    assert "reconstructed" not in told.validated.log.columns


def test_tokens_of_the_sample_are_the_canonical_ones():
    assert_canonical_tokens(log_of(SAMPLES / "nemo-gym/rollouts.jsonl"))


def test_a_real_file_is_a_valid_log(shared: Path):
    imported = import_log([shared / "data/raw/nemo_gym_tau2_example_rollouts.jsonl"])
    log = imported.validated.log
    assert imported.report.format == "nemo-gym"
    scored = log.filter(pl.col("excluded").is_null())
    assert scored["trajectory_id"].n_unique() == 5
    assert log["observation"][0]
    assert number(log["action"].str.len_chars().min()) > 0


def rollout(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    request = {"input": [{"role": "user", "content": "go"}]}
    return {
        "_ng_task_index": 0,
        "_ng_rollout_index": 0,
        "responses_create_params": request,
        "response": {"output": list(output)},
        "reward": 1.0,
    } | fields


def message(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content, **fields}


def function_call(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c", "name": name, "arguments": "{}", **fields}


def tokens(*ids: int) -> dict[str, Any]:
    return {
        "prompt_token_ids": [1],
        "generation_token_ids": list(ids),
        "generation_log_probs": [-0.5] * len(ids),
    }


def test_the_items_of_one_call_are_one_step(tmp_path: Path):
    record = rollout(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        message("I look"),
        function_call("f"),
        function_call("g", **tokens(5, 6)),
        message("again", **tokens(7)),
        {"type": "function_call_output", "call_id": "c", "output": "seen"},
        message("bye"),
    )
    log = log_of(write_lines(tmp_path / "r.jsonl", [record]))
    assert log["observation"].to_list() == ["go", "", "seen"]
    assert log["action"].to_list() == [
        'I look\n{"arguments": {}, "name": "f"}\n{"arguments": {}, "name": "g"}',
        "again",
        "bye",
    ]
    assert log["response_ids"].to_list() == [[5, 6], [7], None]
    assert "hm" in log["messages"][0]


def test_what_the_assistant_says_in_the_prompt_is_no_step(tmp_path: Path):
    request = {"input": [message("hello"), {"role": "user", "content": "help"}]}
    record = rollout(message("ok"), responses_create_params=request)
    imported = import_log([write_lines(tmp_path / "r.jsonl", [record])])
    log = imported.validated.log
    assert (log["observation"].to_list(), log["action"].to_list()) == (["help"], ["ok"])
    assert any("is history, not a step" in notice for notice in imported.report.notices)


def test_failed_attempts_and_broken_records_are_stated(tmp_path: Path):
    records = [
        rollout(message("ok")),
        rollout(message("ok"), _ng_rollout_index=1, _ng_failure_class="timeout"),
        rollout(_ng_rollout_index=2),
        rollout(message("ok", generation_token_ids=["x"]), _ng_rollout_index=3),
        rollout(message("ok"), _ng_rollout_index=4, response=None),
    ]
    path = write_lines(tmp_path / "r.jsonl", records)
    text = problems_of(path)
    assert f"is not a list of token ids, at {path}:4" in text
    assert f"has no responses_create_params or no response, at {path}:5" in text
    report = import_log([path], skip_bad=True).report
    assert report.trajectories == 1
    assert "is a failed attempt (timeout)" in str(report)
    assert "holds nothing that the model wrote" in str(report)


def test_an_item_whose_type_is_no_text_is_named(tmp_path: Path):
    path = write_lines(tmp_path / "r.jsonl", [rollout(message("ok", type=["message"]))])
    assert f"holds an item whose type is no text, at {path}:1" in problems_of(path)
