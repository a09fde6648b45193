"""SkyRL writes its own evaluation dump, and the reader reads it."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import typing_extensions

from producers import tiny
from workbench.readers import import_log

pytestmark = [tiny.needs("skyrl"), pytest.mark.filterwarnings("ignore")]

PROMPT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
TWO_TURNS = (
    "look<|im_end|>\n<|im_start|>user\na key\nuser\n<|im_end|>\n"
    "<|im_start|>assistant\ntake<|im_end|>\n"
)


def dump(folder: Path, **columns: list[Any]) -> None:
    # pydantic refuses the TypedDict of Python before 3.12, which SkyRL uses.
    original, typing.TypedDict = typing.TypedDict, typing_extensions.TypedDict
    try:
        from skyrl.train.utils.trainer_utils import dump_per_dataset_eval_results
    finally:
        typing.TypedDict = original
    tokenizer = tiny.tokenizer()
    count = len(columns["rewards"])

    def ids(texts: list[str]) -> list[list[int]]:
        return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

    outputs: dict[str, Any] = {
        "prompt_token_ids": ids(columns["prompts"]),
        "response_ids": ids(columns["responses"]),
        "rewards": columns["rewards"],
    }
    if "stop_reasons" in columns:
        outputs["stop_reasons"] = columns["stop_reasons"]
    folder.mkdir(parents=True)
    dump_per_dataset_eval_results(
        folder,
        tokenizer,
        outputs,
        columns["sources"],
        ["find"] * count,
        [{"extra_info": {"index": number // 2}} for number in range(count)],
        {"eval/all/avg_score": 0.5},
    )


def test_a_dump_of_two_data_sources(tmp_path: Path):
    folder = tmp_path / "dumped_evals/global_step_30_evals"
    dump(
        folder,
        prompts=[PROMPT.format("a")] * 2 + [PROMPT.format("b")] * 2,
        responses=[TWO_TURNS, "wait<|im_end|>", TWO_TURNS, "cut"],
        rewards=[1.0, float("nan"), [0.0, 0.5, 0.25], 0.0],
        stop_reasons=["stop", "stop", "stop", "length"],
        sources=["one/x", "one/x", None, None],
    )
    imported = import_log([folder])
    log = imported.validated.log
    assert imported.report.format == "skyrl"
    assert imported.report.rollouts == {2: 2}
    assert set(log["train_step"]) == {30}
    assert log.filter(log["group_id"].str.contains("one/x"))["observation"].to_list() == [
        "a",
        "a key\nuser",  # a line that is a role is no mark where the marks of ChatML are there
        "a",
    ]
    assert log.filter(log["reward"] == 0.75).height == 1
    assert imported.report.excluded == {"reward is not finite": 1}
    assert log["truncated"].drop_nulls().to_list().count(True) == 1
    assert "aggregated_results.jsonl" in str(imported.report)


def test_a_dump_without_stop_reasons(tmp_path: Path):
    folder = tmp_path / "evals"
    dump(folder, prompts=[PROMPT.format("a")], responses=["x"], rewards=[1.0], sources=["s"])
    log = import_log([folder]).validated.log
    assert log["action"].to_list() == ["x"]
    assert not {"finish_reason", "truncated", "train_step"} & set(log.columns)
