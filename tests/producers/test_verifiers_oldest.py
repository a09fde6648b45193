"""The `vf-eval` of verifiers 0.1.5 writes its own results, and the reader reads them.

It cannot be installed beside later ones: this test runs where `verifiers==0.1.5` is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.readers import import_log

pytestmark = pytest.mark.filterwarnings("ignore")
script = pytest.importorskip("verifiers.scripts.eval", reason="needs verifiers 0.1.5")
if not hasattr(script, "eval_environment"):
    pytest.skip("needs verifiers 0.1.5", allow_module_level=True)


class Environment:
    """Two examples, three rollouts each, in the order in which 0.1.5 has them: by rollout."""

    def evaluate(self, **_: Any) -> Any:
        from openai.types.chat import ChatCompletionMessageToolCall
        from verifiers.types import GenerateOutputs

        tasks = ["one", "two"] * 3
        call = ChatCompletionMessageToolCall.model_validate(
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        )
        answers = [
            [{"role": "assistant", "content": f"{task} {number}", "tool_calls": [call]}]
            for number, task in enumerate(tasks)
        ]
        times = {"timing": {"generation_ms": 1.0, "scoring_ms": 1.0, "total_ms": 2.0}}
        return GenerateOutputs.model_construct(
            prompt=[[{"role": "user", "content": task}] for task in tasks],
            completion=answers,
            answer=tasks,
            state=[times] * 6,
            info=[{}] * 6,
            task=["default"] * 6,
            reward=[1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
            metrics={"correct": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]},
        )


def test_the_id_counts_rows_and_the_prompt_tells_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_KEY", "none")
    monkeypatch.setattr(script.vf, "load_environment", lambda **_: Environment())
    script.eval_environment(
        env="find",
        env_args={},
        env_dir_path="environments",
        endpoints_path="endpoints.py",
        model="m",
        api_key_var="NO_KEY",
        api_base_url="http://localhost:1",
        num_examples=2,
        rollouts_per_example=3,
        max_concurrent=1,
        max_tokens=None,
        temperature=None,
        sampling_args=None,
        verbose=False,
        save_dataset=True,
        save_to_hf_hub=False,
        hf_hub_dataset_name="",
        extra_headers={},
    )
    imported = import_log([Path(os.curdir) / "outputs"])
    log = imported.validated.log
    assert imported.report.rollouts == {3: 2}
    # All rollouts of the first example were solved, and none of the second.
    by_task = dict(log.group_by("observation").agg(pl.col("reward").mean()).rows())
    assert by_task == {"one": 1.0, "two": 0.0}
    assert log["action"][0].endswith('{"arguments": {}, "name": "f"}')
    assert set(log["model"]) == {"m"}
    assert log["group_id"][0].startswith("find--m/")
