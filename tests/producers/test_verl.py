"""verl writes its own dumps, and the reader reads them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from producers import tiny
from workbench.readers import import_log

pytestmark = [tiny.needs("verl"), pytest.mark.filterwarnings("ignore")]


def batch(tokenizer: Any, rows: list[dict[str, Any]]) -> Any:
    import numpy as np
    import torch
    from verl.protocol import DataProto

    def padded(texts: list[str], side: str) -> Any:
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        width = max(map(len, ids))
        empty = [[tokenizer.pad_token_id] * (width - len(item)) for item in ids]
        pairs = zip(empty, ids, strict=True)
        return torch.tensor([a + b if side == "left" else b + a for a, b in pairs])

    prompts = padded([row["prompt"] for row in rows], "left")
    responses = padded([row["response"] for row in rows], "right")
    scores = torch.zeros(responses.shape)
    scores[:, -1] = torch.tensor([row["score"] for row in rows])
    models = np.array([{"ground_truth": row["truth"]} for row in rows], dtype=object)
    tensors = {"prompts": prompts, "responses": responses, "token_level_scores": scores}
    return DataProto.from_dict(tensors=tensors, non_tensors={"reward_model": models})


def chat(task: str) -> str:
    rules = "<|im_start|>system\nrules<|im_end|>\n"
    return f"{rules}<|im_start|>user\n{task}<|im_end|>\n<|im_start|>assistant\n"


def turns(*texts: str) -> str:
    between = "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    first, *rest = texts
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return first + "".join(between.format(seen) + said for seen, said in pairs) + "<|im_end|>"


ROWS = [
    {"prompt": chat("a"), "response": turns("look", "a key", "take"), "score": 1.0, "truth": "k"},
    {"prompt": chat("b"), "response": turns("wait"), "score": 0.0, "truth": None},
    {"prompt": chat("a"), "response": turns("leave\nnow"), "score": float("nan"), "truth": "k"},
    {"prompt": chat("b"), "response": turns("", "nothing", "ok"), "score": 0.5, "truth": None},
]


def legacy_dump(folder: Path, rows: list[dict[str, Any]], extra: dict[str, list[Any]]) -> None:
    from verl.trainer.ppo.ray_trainer import RayPPOTrainer

    trainer = RayPPOTrainer.__new__(RayPPOTrainer)
    trainer.tokenizer, trainer.global_steps = tiny.tokenizer(), 7
    trainer._init_dump_executor()
    trainer._log_rollout_data(batch(trainer.tokenizer, rows), extra, {}, str(folder))
    trainer._shutdown_dump_executor()


def test_the_legacy_trainer_writes_what_is_read(tmp_path: Path):
    extra: dict[str, list[Any]] = {
        "acc": [True, False, False, False],
        "short": [1],
        "reward": [1, 2, 3, 4],
    }
    legacy_dump(tmp_path, ROWS, extra)
    imported = import_log([tmp_path])
    log = imported.validated.log
    by_line = {line: rows for (line,), rows in log.group_by("source_line")}
    assert imported.report.format == "verl"
    assert imported.report.rollouts == {2: 2}
    assert by_line[1].sort("step_index").select("observation", "action", "reward").rows() == [
        ("a", "look", 0.0),
        ("a key", "take", 1.0),
    ]
    assert by_line[3]["action"].to_list() == ["leave\nnow"]
    assert by_line[4].sort("step_index")["action"].to_list() == ["", "ok"]
    assert set(log["train_step"]) == {7}
    assert imported.report.excluded == {"reward is not finite": 1}
    assert by_line[1]["success"].to_list() == [True, True]
    assert by_line[4]["record_reward"].to_list() == [4, 4]


def test_a_line_of_one_word_that_is_a_role_is_the_known_limit_of_skipped_marks(tmp_path: Path):
    row = {"prompt": chat("a"), "response": turns("I am\nuser\nfriendly"), "score": 1.0, "truth": 1}
    legacy_dump(tmp_path, [row], {})
    imported = import_log([tmp_path])
    assert imported.validated.log["action"].to_list() == ["I am"]
    assert imported.report.reconstructed == {"turns": 1.0}


def test_the_v1_trainer_writes_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch
    from tensordict import NonTensorStack, TensorDict
    from verl.trainer.ppo.v1 import trainer_base

    tokenizer = tiny.tokenizer()
    keys = ["g_0_0", "h_0_0", "g_1_0", "h_0_1"]
    made = batch(tokenizer, ROWS)
    jagged = {
        name: torch.nested.as_nested_tensor(list(made.batch[name]), layout=torch.jagged)
        for name in ("prompts", "responses")
    }
    scores = made.batch["token_level_scores"]
    data = TensorDict(
        {
            **jagged,
            "rm_scores": scores,
            "uid": NonTensorStack(*keys),
            "reward_model": NonTensorStack(*[{"ground_truth": row["truth"]} for row in ROWS]),
        },
        batch_size=[4],
    )
    monkeypatch.setattr(trainer_base.tq, "kv_batch_get", lambda **_: data)

    monkeypatch.setattr(trainer_base.PPOTrainer, "__abstractmethods__", frozenset())
    trainer = trainer_base.PPOTrainer.__new__(trainer_base.PPOTrainer)
    trainer.tokenizer, trainer.global_steps = tokenizer, 9
    trainer._init_dump_executor()
    stored = SimpleNamespace(keys=keys, partition_id="train")
    trainer._log_rollout_data(stored, {}, str(tmp_path))
    trainer._shutdown_dump_executor()
    log = import_log([tmp_path]).validated.log
    assert set(log["group_id"]) == {"step9/g", "step9/h"}
    session = log.filter(log["trajectory_id"] == "step9/h/0")
    # The outputs of session h/0 hold one and two turns; the last output's score counts.
    assert session["action"].to_list() == ["wait", "", "ok"]
    assert session["reward"].to_list() == [0.0, 0.0, 0.5]
