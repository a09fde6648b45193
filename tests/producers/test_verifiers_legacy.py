"""verifiers before v1 writes its own results, and the reader reads them.

It cannot be installed beside later ones: these tests run where `verifiers==0.1.14` is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.readers import import_log

pytestmark = pytest.mark.filterwarnings("ignore")
save_utils = pytest.importorskip("verifiers.utils.save_utils", reason="needs verifiers 0.1.14")


def call(arguments: str) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "act", "arguments": arguments}}


def state(**changes: Any) -> dict[str, Any]:
    prompt = [{"role": "system", "content": "rules"}, {"role": "user", "content": "go"}]
    completion = [
        {"role": "assistant", "content": "hm", "tool_calls": [call('{"b": 1, "a": 2}')]},
        {"role": "tool", "tool_call_id": "c", "content": "seen"},
        {"role": "assistant", "content": "done"},
    ]
    tokens = {
        "prompt_ids": [1, 2],
        "prompt_mask": [0, 0],
        "completion_ids": [3, 4],
        "completion_mask": [1, 1],
        "completion_logprobs": [-0.5, -0.25],
        "overlong_prompt": False,
        "is_truncated": False,
    }
    step: dict[str, Any] = {
        "response": None,
        "reward": 1.0,
        "advantage": 0.5,
        "is_truncated": False,
        "extras": {},
    }
    steps = [
        step | {"prompt": prompt, "completion": completion[:1], "tokens": tokens},
        step | {"prompt": [*prompt, *completion[:2]], "completion": completion[2:], "tokens": None},
    ]
    made = {
        "example_id": 3,
        "prompt": prompt,
        "completion": completion,
        "answer": "42",
        "info": {"level": 1},
        "reward": 1.0,
        "metrics": {"correct": 1.0, "turns": 2.0},
        "timing": {"generation_ms": 1.0, "scoring_ms": 1.0, "total_ms": 2.0},
        "is_completed": True,
        "is_truncated": False,
        "stop_condition": "done",
        "trajectory": steps,
    }
    return made | changes


def written(folder: Path, states: list[dict[str, Any]], columns: list[str]) -> Path:
    outputs = [save_utils.state_to_output(item, columns) for item in states]
    save_utils.save_outputs(outputs, folder)
    return folder / "results.jsonl"


def test_results_with_and_without_a_trajectory(tmp_path: Path):
    plain = import_log([written(tmp_path / "a", [state()], [])]).validated.log
    full = import_log([written(tmp_path / "b", [state()], ["trajectory"])]).validated.log
    for log in (plain, full):
        assert set(log["group_id"]) == {"example-3"}
        assert log["observation"].to_list() == ["go", "seen"]
        assert log["action"].to_list() == [
            'hm\n{"arguments": {"a": 2, "b": 1}, "name": "act"}',
            "done",
        ]
        assert log["reward"].to_list() == [0.0, 1.0]
    assert "response_ids" not in plain.columns
    assert full["response_ids"].to_list() == [[3, 4], None]
    assert full["response_logprobs"].to_list() == [[-0.5, -0.25], None]
    assert full["logged_advantage"].to_list() == [0.5, None]


def test_failures_limits_and_missing_fields(tmp_path: Path):
    early = state(completion=None, error=ValueError("lost"), reward=0.0, trajectory=[])
    late = state(error=TimeoutError("slow"), reward=0.0)
    cut = state(is_truncated=True, is_completed=False, stop_condition="max_turns_reached")
    bare = state(metrics=None, info={}, answer="", reward=None)
    path = written(tmp_path, [early, late, cut, bare], [])
    imported = import_log([path])
    log = imported.validated.log
    assert imported.report.rollouts == {3: 1}
    assert "the rollout failed before a step (ValueError)" in str(imported.report)
    assert imported.report.excluded == {"reward is null": 1, "the rollout failed (TimeoutError)": 1}
    assert log["truncated"].drop_nulls().to_list().count(True) == 1


def test_text_completions(tmp_path: Path):
    path = written(tmp_path, [state(prompt="2+2=", completion="4", trajectory=[])], [])
    log = import_log([path]).validated.log
    assert log.select("observation", "action").rows() == [("2+2=", "4")]
