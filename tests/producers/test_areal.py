"""AReaL writes its own rollout dump, and the reader reads it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from producers import tiny
from workbench.readers import import_log

pytestmark = [tiny.needs("areal"), pytest.mark.filterwarnings("ignore")]

PROMPT = "<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n"
BETWEEN = "<|im_end|>\n<|im_start|>user\nseen<|im_end|>\n<|im_start|>assistant\n"


def dump(
    folder: Path, task: int, samples: list[list[tuple[str, int]]], rewards: list[float]
) -> Any:
    """Writes samples, each as stretches of text that the policy sampled (1) or not (0)."""
    import torch
    from areal.infra.workflow_executor import WorkflowExecutor

    tokenizer = tiny.tokenizer()
    executor = WorkflowExecutor.__new__(WorkflowExecutor)
    executor.logger = logging.getLogger("areal")
    executor._tokenizer = tokenizer
    executor._get_tokenizer = lambda: tokenizer
    executor._get_dump_dir = lambda _: str(folder)
    executor.inference_engine = SimpleNamespace(get_version=lambda: 8)
    rows = []
    for stretches in samples:
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text, _ in stretches]
        pairs = zip(ids, stretches, strict=True)
        rows.append([(token, sampled) for some, (_, sampled) in pairs for token in some])
    width = max(map(len, rows))
    padded = [[*row, *[(0, 0)] * (width - len(row))] for row in rows]
    trajectory = {
        "input_ids": torch.tensor([[token for token, _ in row] for row in padded]),
        "loss_mask": torch.tensor([[sampled for _, sampled in row] for row in padded]),
        "attention_mask": torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows]),
        "rewards": torch.tensor(rewards),
        "versions": torch.tensor([[7] * width for _ in rows]),
    }
    return asyncio.run(executor._dump_trajectory(trajectory, task, False))


def test_single_turns_of_two_tasks(tmp_path: Path):
    for task in (0, 1):
        samples = [[(PROMPT, 0), (f"{number}<|im_end|>", 1)] for number in range(3)]
        samples.append([(PROMPT, 0)])  # wrote nothing, so AReaL does not write it either
        assert dump(tmp_path, task, samples, [1.0, 0.0, float("nan"), 0.0]) == (True, "")
    imported = import_log([tmp_path])
    log = imported.validated.log
    assert imported.report.format == "areal"
    assert imported.report.rollouts == {3: 2}
    assert log["observation"].to_list() == ["go"] * 6
    assert log["action"].to_list() == ["0", "1", "2"] * 2
    assert set(log["policy_version"]) == {7}
    assert imported.report.excluded == {"reward is not finite": 2}


def test_the_cut_of_several_turns_falls_too_late(tmp_path: Path):
    sample = [(PROMPT, 0), ("look", 1), (BETWEEN, 0), ("take", 1)]
    dump(tmp_path, 0, [sample], [1.0])
    imported = import_log([tmp_path])
    # Eight sampled tokens from the end: the completion begins inside the mark before "take".
    assert imported.validated.log["action"].to_list()[-1].endswith("take")
    assert imported.report.reconstructed == {"turns": 1.0}
