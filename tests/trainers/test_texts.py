"""TRL's own trainers on the targets of texts: sft-jsonl, kto and dpo."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tiny_policy
from batches import Log, lines, made, step_row
from places import ROOT

Load = Callable[[Path], Any]


def talks() -> Log:
    """Two rollouts of one task; the first replies differ, those of t0 and t2 after it too."""
    said = [
        ("t0", 0, "you see the shelf", "go left", 1.5),
        ("t0", 1, "you see a door", "take key", -0.5),
        ("t1", 0, "you see the shelf", "look", -1.0),
        ("t2", 0, "you see the shelf", "go left", 0.25),
        ("t2", 1, "you see a door", "look up", 2.0),
    ]
    rows = [
        {**step_row(trajectory, step, credit), "observation": seen, "action": done}
        for trajectory, step, seen, done, credit in said
    ]
    return made(rows)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads an export as a person does who follows its card: by the folder."""

    def loaded(folder: Path) -> Any:
        import datasets

        return datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))

    return loaded


@pytest.fixture
def words(tmp_path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_policy.tokenizer(tmp_path / "tokenizer"))


def documented(name: str) -> dict[str, Any]:
    """The names that a block of docs/training_loops.md defines."""
    text = (ROOT / "docs" / "training_loops.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found, name
    names: dict[str, Any] = {}
    exec(compile(found.group(1), name, "exec"), names)
    return names


def settings(kind: Any, folder: Path, rows: int, **more: Any) -> Any:
    return kind(
        output_dir=str(folder.parent / "run"), per_device_train_batch_size=rows, max_steps=1,
        use_cpu=True, bf16=False, report_to="none", save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False, **more,
    )  # fmt: skip


def reply_ids(words: Any, prompt: list[Any], reply: list[Any]) -> tuple[list[int], int]:
    """Ids of prompt and reply, and how many are the prompt's."""
    before = words.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)
    whole = words.apply_chat_template(prompt + reply, return_dict=True)
    return list(whole["input_ids"]), len(before["input_ids"])


def reply_chance(policy: Any, words: Any, prompt: list[Any], reply: list[Any]) -> Any:
    """Log-probability of a reply, summed over its tokens, and their number."""
    ids, cut = reply_ids(words, prompt, reply)
    return tiny_policy.log_probabilities(policy, ids)[cut:]


def test_trls_supervised_loss_is_that_of_the_replies_with_a_weight(
    exported: Any, policy: Any, words: Any
):
    """SFTTrainer knows no weights of messages: each reply that has one is a row of its own."""
    import datasets
    from trl import SFTConfig, SFTTrainer

    folder, _ = exported("sft-jsonl", talks(), weights="binary")
    rows = list(documented("sft")["rows"](folder))
    # Positive advantages: t0's first reply, t2's both.
    said = [row["completion"][0]["content"] for row in rows]
    assert said == ["go left", "go left", "look up"]
    trainer = SFTTrainer(
        model=policy,
        args=settings(SFTConfig, folder, len(rows), completion_only_loss=True),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=words,
    )
    given = next(iter(trainer.get_train_dataloader()))
    loss = float(trainer.model(**given).loss)
    chances = [reply_chance(policy, words, row["prompt"], row["completion"]) for row in rows]
    expected = -sum(float(c.sum()) for c in chances) / sum(len(c) for c in chances)
    assert loss == pytest.approx(expected, abs=1e-5)


def test_trls_kto_trainer_pushes_replies_by_their_label(
    exported: Any, policy: Any, words: Any, load: Load
):
    import torch
    from trl import KTOConfig, KTOTrainer

    folder, batch = exported("kto", talks())
    loaded = load(folder)
    # Advantages 1.5, -0.5, -1, 0.25 and 2.
    assert loaded["label"][:] == [True, False, False, True, True]
    before = {
        (row["trajectory_id"], row["step_index"]): float(
            reply_chance(policy, words, row["prompt"], row["completion"]).sum()
        )
        for row in lines(folder / "kto.jsonl")
    }
    trainer = KTOTrainer(
        model=policy,
        ref_model=copy.deepcopy(policy),
        args=settings(KTOConfig, folder, batch.rows.height, learning_rate=1e-2, optim="sgd"),
        train_dataset=loaded,
        processing_class=words,
    )
    given = next(iter(trainer.get_train_dataloader()))
    assert sorted(given["label"].tolist()) == [False, False, True, True, True]
    # The tokens that the loss is of are those of the replies.
    ids = {
        tuple(given["input_ids"][k][given["completion_mask"][k] == 1].tolist())
        for k in range(len(given["label"]))
    }
    expected = set()
    for row in lines(folder / "kto.jsonl"):
        whole, cut = reply_ids(words, row["prompt"], row["completion"])
        expected.add(tuple(whole[cut:]))
    assert ids == expected
    trainer.train()
    moved = {True: 0.0, False: 0.0}
    with torch.no_grad():
        for row in lines(folder / "kto.jsonl"):
            after = reply_chance(trainer.model, words, row["prompt"], row["completion"]).sum()
            place = row["trajectory_id"], row["step_index"]
            moved[row["label"]] += float(after) - before[place]
    assert moved[True] > 0 > moved[False]


def test_trls_dpo_trainer_widens_the_margin_of_every_pair(
    exported: Any, policy: Any, words: Any, load: Load, tmp_path: Path
):
    import math

    import torch

    folder, batch = exported("dpo", talks())
    loaded = load(folder)
    pairs = lines(folder / "dpo.jsonl")
    # First state: 1.5 (t0), 0.25 (t2), -1 (t1): best with worst. Second: 2 (t2), -0.5 (t0).
    names = [(p["chosen_trajectory_id"], p["rejected_trajectory_id"]) for p in pairs]
    assert names == [("t0", "t1"), ("t2", "t0")]
    assert loaded.num_rows == 2
    assert batch.manifest.counts["already_paired"] == 1

    def margins(model: Any) -> list[float]:
        with torch.no_grad():
            return [
                float(reply_chance(model, words, p["prompt"], p["chosen"]).sum())
                - float(reply_chance(model, words, p["prompt"], p["rejected"]).sum())
                for p in pairs
            ]

    before = margins(policy)
    own = tmp_path / "policy"
    policy.save_pretrained(own)  # the reference is read from where the policy is from
    options = settings(dict, folder, 2, learning_rate=1e-2, optim="sgd", beta=0.1)
    trainer = documented("preferences")["train"](str(folder), str(own), words, **options)
    (loss,) = (entry["train_loss"] for entry in trainer.state.log_history if "train_loss" in entry)
    # The reference is the policy itself: -log sigmoid(0).
    assert loss == pytest.approx(math.log(2), abs=1e-4)
    after = margins(trainer.model)
    assert all(new > old for new, old in zip(after, before, strict=True))


def test_tools_travel_to_the_trainer(exported: Any, load: Load):
    offered = '[{"type": "function", "function": {"name": "take", "parameters": {}}}]'
    log, credit = talks()
    messages = pl.concat_str(
        pl.lit('[{"role": "user", "content": "'), "observation",
        pl.lit('"}, {"role": "assistant", "content": "'), "action", pl.lit('"}]'),
    )  # fmt: skip
    first = pl.col("step_index") == 0
    log = log.with_columns(
        messages.alias("messages"), pl.when(first).then(pl.lit(offered)).alias("tools")
    )
    folder, _ = exported("kto", (log, credit))
    assert load(folder)["tools"][:] == [offered] * 5
    folder, _ = exported("sft-jsonl", (log, credit))
    assert [len(talk["tools"]) for talk in lines(folder / "sft.jsonl")] == [1, 1]
