"""TRL trains for a step and writes its completions, and the reader reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from producers import tiny
from workbench.readers import import_log

pytestmark = [tiny.needs("trl"), pytest.mark.filterwarnings("ignore")]


def length(completions: list[Any], **_: Any) -> list[float]:
    return [float(len(str(item))) for item in completions]


def odd(completions: list[Any], **_: Any) -> list[float | None]:
    """Cannot score every second completion."""
    return [None if at % 2 else 1.0 for at in range(len(completions))]


def never(completions: list[Any], **_: Any) -> list[None]:
    return [None] * len(completions)


def train(folder: Path, prompts: list[Any], rewards: list[Any], **options: Any) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = tiny.tokenizer()
    usual = {
        "output_dir": str(folder),
        "log_completions": True,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "max_completion_length": 6,
        "max_steps": 1,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "seed": 1,
    }
    config = GRPOConfig(**(usual | options))
    GRPOTrainer(
        model=tiny.model(len(tokenizer)),
        reward_funcs=rewards,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
    ).train()


def advantages(log: pl.DataFrame) -> pl.Series:
    """TRL's default advantages: centred in the group, over its deviation plus 1e-4."""
    reward = pl.col("reward")
    of_group = (reward - reward.mean().over("group_id")) / (reward.std().over("group_id") + 1e-4)
    return log.select(of_group)["reward"]


def test_grpo_on_chat_prompts(tmp_path: Path):
    talk = [[{"role": "user", "content": text}] for text in ("one", "two")]
    train(tmp_path, talk, [length])
    imported = import_log([tmp_path / "completions"])
    log = imported.validated.log
    assert imported.report.format == "trl"
    assert imported.report.rollouts == {4: 2}
    assert set(log["observation"]) == {"one", "two"}
    assert log["aux_reward_length"].to_list() == log["reward"].to_list()
    assert log["logged_advantage"].to_list() == pytest.approx(advantages(log).to_list(), abs=1e-5)


def test_grpo_on_text_prompts_with_rewards_that_cannot_score(tmp_path: Path):
    train(tmp_path, ["one", "two"], [length, odd])
    imported = import_log([tmp_path / "completions"])
    log = imported.validated.log
    # pandas writes the NaN of an unscorable completion as null.
    parts = [log["aux_reward_length"], log["aux_reward_odd"].fill_null(0.0)]
    assert log["reward"].to_list() == (parts[0] + parts[1]).to_list()
    assert log["aux_reward_odd"].null_count() == 4
    assert log["logged_advantage"].to_list() == pytest.approx(advantages(log).to_list(), abs=1e-5)
    assert "weights are not logged" in str(imported.report)


def test_what_no_function_could_score_is_excluded(tmp_path: Path):
    train(tmp_path, ["one", "two"], [never])
    imported = import_log([tmp_path / "completions"])
    assert imported.report.excluded == {"reward is null": 8}


def test_a_generation_that_serves_several_steps_is_written_each_time(tmp_path: Path):
    texts = [f"prompt {number}" for number in range(8)]
    options = {"steps_per_generation": 2, "gradient_accumulation_steps": 1, "max_steps": 2}
    train(tmp_path, texts, [length], **options)
    files = sorted((tmp_path / "completions").iterdir())
    assert len(files) == 2
    first, second = (import_log([file]).validated.log for file in files)
    assert first["action"].equals(second["action"])
    both = import_log(files)
    assert both.report.rollouts == {4: 8}
    assert "as in completions_00001.parquet" in str(both.report)
    assert "one generation that several steps trained on" not in str(import_log(files[:1]).report)
