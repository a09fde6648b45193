"""Results of vf-eval before verifiers v1 as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import log_of, written
from samples_of import SAMPLES, assert_nine_steps, lines, samples_of

from workbench.errors import LogError
from workbench.readers import import_log, read


@pytest.mark.parametrize("sample", samples_of("verifiers-legacy"))
def test_every_sample_becomes_the_nine_canonical_steps(sample: Path):
    assert_nine_steps(import_log([sample]), "verifiers-legacy")


def test_every_row_of_the_sample_leads_back_to_its_line():
    log = log_of(SAMPLES / "verifiers-legacy/vf_eval_0.1.5")
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert set(log["source_file"]) <= {
        str(path)
        for path in [
            SAMPLES / "verifiers-legacy/vf_eval_0.1.5",
            *(SAMPLES / "verifiers-legacy/vf_eval_0.1.5").rglob("*"),
        ]
    }


def test_real_results_of_vf_eval_are_grouped_by_prompt_not_by_id(shared: Path):
    path = shared / "data/raw/verifiers_math_python_results.jsonl"
    imported = import_log([path])
    log = imported.validated.log
    assert imported.report.rollouts == {3: 5}
    assert (log.height, set(log["model"])) == (45, {"gpt-4.1-mini"})
    # 14 of 15 rollouts were solved; the key `id` would put three different problems together.
    assert log["reward"].sum() == 14
    assert log.filter(pl.col("step_index") == 0)["observation"].n_unique() == 5
    assert log["action"][0].startswith('{"arguments": {"code"')


def result(**changes: Any) -> dict[str, Any]:
    return lines("verifiers-legacy/vf_eval_0.1.14")[0] | changes


def test_a_saved_trajectory_gives_tokens_and_advantages(tmp_path: Path):
    prompt = result()["prompt"]
    first, seen, second = result()["completion"][:3]
    tokens = {"prompt_ids": [1], "completion_ids": [2, 3], "completion_logprobs": [-0.5, 0.0]}
    items = [
        {"prompt": prompt, "completion": [first], "tokens": tokens, "advantage": 0.5},
        {"prompt": [*prompt, first, seen], "completion": [second], "tokens": None},
    ]
    log = log_of(written(tmp_path, [result(trajectory=items)]))
    assert log["action"].to_list() == ["look drawer", "take key"]
    assert log["observation"].to_list()[1] == "You see a key in the drawer."
    assert log["response_ids"].to_list() == [[2, 3], None]
    assert log["response_mask"].to_list() == [[1, 1], None]
    assert log["logged_advantage"].to_list() == [0.5, None]
    items[0]["tokens"] = tokens | {"completion_logprobs": [-0.5]}
    with pytest.raises(LogError, match="logprobs has 1 values for 2 completion tokens"):
        read([written(tmp_path, [result(trajectory=items)])])


def test_text_prompts_and_failed_rollouts_are_read(tmp_path: Path):
    text = result(prompt="2+2=", completion="4")
    failed = result(error="TimeoutError('slow')", example_id=1)
    log = log_of(written(tmp_path, [text, failed]))
    assert log["observation"][0] == "2+2="
    assert log["action"][0] == "4"
    assert set(log["excluded"]) == {None, "the rollout failed (TimeoutError)"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"completion": 5}, "completion: is neither text nor a list of messages"),
        ({"reward": "good"}, "reward: is not a number"),
        (
            {"completion": [{"role": "assistant", "tool_calls": ["{"]}]},
            "completion: holds a tool call that is no JSON",
        ),
        ({"completion": []}, "completion: holds no assistant message"),
        ({"completion": None, "error": "Boom('x')"}, "failed before a step (Boom)"),
    ],
)
def test_a_bad_result_is_named(tmp_path: Path, change: dict[str, Any], says: str):
    with pytest.raises(LogError) as caught:
        import_log([written(tmp_path, [result(**change)])])
    assert says in str(caught.value)
