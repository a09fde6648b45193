"""The bundled log of a language model, and the script that makes it with a tiny Llama instead."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import tiny_policy
from places import DATA

import workbench as wb

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return wb.open_log("smollm2", embedder="tfidf").steps.log


def test_the_bundled_log_is_as_its_readme_says(log: pl.DataFrame):
    assert [log[name].n_unique() for name in ("group_id", "trajectory_id")] == [16, 128]
    earned = log.group_by("group_id", "trajectory_id").agg(pl.col("reward").sum())
    live = earned.group_by("group_id").agg(pl.col("reward").n_unique() > 1)
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    said = (
        f"| groups, trajectories, steps | 16, 128, {log.height} |",
        f"| success | {int(earned['reward'].sum())} of 128; {live['reward'].sum()} of 16 groups",
        f"| replies that are no admissible action | {(~log['valid_action']).sum()} |",
        f"| tokens of replies | {log['response_ids'].list.len().sum()} |",
    )
    assert [line for line in said if line not in readme] == []
    assert live["reward"].sum() >= 6
    assert (DATA / "smollm2.parquet").stat().st_size < 2_000_000


def test_every_reply_has_its_tokens_and_their_log_probabilities(log: pl.DataFrame):
    assert log.select(pl.col("response_logprobs").list.max().max()).item() <= 0.0
    assert log["response_logprobs"].explode().is_finite().all()
    size = log["response_ids"].list.len()
    for name in ("response_logprobs", "response_mask"):
        assert (log[name].list.len() == size).all()
    assert (size == log["response_tokens"]).all()
    assert log["response_mask"].explode().unique().to_list() == [1]
    assert set(log["tokenizer"]) == {"SmolLM2-135M-Instruct"}


def test_every_prompt_goes_on_where_the_reply_before_ended(log: pl.DataFrame):
    for steps in log.sort("trajectory_id", "step_index").partition_by("trajectory_id"):
        before: list[int] = []
        for row in steps.iter_rows(named=True):
            assert row["prompt_ids"][: len(before)] == before
            before = row["prompt_ids"] + row["response_ids"]


def test_the_methods_tell_its_steps_apart(log: pl.DataFrame):
    space = wb.open_log("smollm2", embedder="tfidf")
    for method in ("gigpo", "history-gae"):
        found = wb.score(space, method).advantage
        assert np.isfinite(found).all()
        assert len(np.unique(found.round(9))) > 50


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, Any, pl.DataFrame]:
    """The script, the Llama after imitation, and its log: two tasks of three rollouts."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    spec = importlib.util.spec_from_file_location("make_smollm2", DATA / "make_smollm2.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    folder = tiny_policy.tokenizer(tmp_path_factory.mktemp("tokenizer"), template=TEMPLATE)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=28, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
        initializer_range=0.1, pad_token_id=0, eos_token_id=3,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    module.load_tokenizer = lambda: AutoTokenizer.from_pretrained(folder)
    module.load_model = lambda: model
    for name, value in {"TASKS": 2, "ROLLOUTS": 3, "SHOWN": 8, "PASSES": 1, "HORIZON": 4}.items():
        setattr(module, name, value)
    return module, model, module.smollm2()


def test_the_log_probabilities_are_those_of_one_pass_over_the_whole(
    made: tuple[ModuleType, Any, pl.DataFrame],
):
    """Played side by side, padded and remembered; read again, each reply alone."""
    _, model, log = made
    assert set(log["finish_reason"]) == {"stop", "length"}
    assert log["response_tokens"].n_unique() > 3
    for row in log.iter_rows(named=True):
        whole = row["prompt_ids"] + row["response_ids"]
        own = tiny_policy.log_probabilities(model, whole).detach()[len(row["prompt_ids"]) :]
        assert row["response_logprobs"] == pytest.approx(own.tolist(), abs=1e-4)


def test_what_is_no_action_has_no_effect(made: tuple[ModuleType, Any, pl.DataFrame]):
    module, _, log = made
    wrong = log.filter(~pl.col("valid_action"))
    assert wrong.height > 10
    assert set(wrong["next_observation"]) == {module.NO_EFFECT}
    assert wrong["reward"].sum() == 0.0


def test_each_step_has_the_messages_that_are_new(made: tuple[ModuleType, Any, pl.DataFrame]):
    _, _, log = made
    for row in log.iter_rows(named=True):
        first = ["system"] if row["step_index"] == 0 else []
        messages = json.loads(row["messages"])
        assert [each["role"] for each in messages] == [*first, "user", "assistant"]
        assert [each["content"] for each in messages[-2:]] == [row["observation"], row["action"]]


def test_an_episode_of_the_expert_is_rendered_as_a_prompt_is(
    made: tuple[ModuleType, Any, pl.DataFrame],
):
    module, _, _ = made
    task = next(iter(module.drawn_tasks(module.expert_world(), 1, 0)))
    (episode,) = module.play([task], None, episodes=1, horizon=4, seed=[0])
    chat = module.Chat(module.load_tokenizer())
    ids, mask = module.demonstration(chat, task, episode)
    # A reply is the words of its action and the end of the turn.
    words = [
        len(d.options[c].split()) + 1
        for d, c in zip(episode.decisions, episode.chosen, strict=True)
    ]
    assert sum(mask) == sum(words)
    assert [token for token, acts in zip(ids, mask, strict=True) if acts].count(chat.end) == len(
        words
    )
    assert ids[-1] == chat.end
