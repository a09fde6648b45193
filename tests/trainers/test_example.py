"""The example that trains a language model in TRL, with a tiny Llama in its place."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import logs
import numpy as np
import polars as pl
import pytest
import tiny_policy
from places import ROOT


@pytest.fixture
def train_trl() -> ModuleType:
    path = ROOT / "examples" / "train_trl.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A folder with a Llama of two layers and a tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=48, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        initializer_range=0.1, pad_token_id=0, eos_token_id=3,
    )  # fmt: skip
    folder = tmp_path / "policy"
    LlamaForCausalLM(config).save_pretrained(folder)
    return tiny_policy.tokenizer(folder)


def rollouts(policy: Path, file: Path) -> Path:
    """Two groups of four rollouts of four steps; in two of each every second step is rewarded."""
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(policy).eval()
    rng = np.random.default_rng(0)
    described: dict[str, Any] = {}
    tokens: dict[str, list[Any]] = {"prompt_ids": [], "response_ids": [], "response_logprobs": []}
    for group in "ab":
        described[group] = {}
        for rollout in range(4):
            sequence: list[int] = []
            steps = []
            for step in range(4):
                prompt = sequence + rng.integers(4, 48, 3).tolist()
                response = rng.integers(4, 48, 3).tolist()
                sequence = prompt + response
                own = tiny_policy.log_probabilities(model, sequence).detach()[len(prompt) :]
                steps.append((f"room {step}", f"go {step}", float(rollout % 2 and step % 2)))
                tokens["prompt_ids"].append(prompt)
                tokens["response_ids"].append(response)
                tokens["response_logprobs"].append(own.tolist())
            described[group][f"{group}/{rollout}"] = steps
    types = {name: pl.List(pl.Int32) for name in ("prompt_ids", "response_ids")}
    series = {name: pl.Series(name, rows, dtype=types.get(name)) for name, rows in tokens.items()}
    logs.log(described, **series).write_parquet(file)
    return file


def test_the_policy_follows_its_own_credit_and_not_the_shuffled(
    train_trl: ModuleType, policy: Path, tmp_path: Path
):
    log = rollouts(policy, tmp_path / "log.parquet")
    found = train_trl.run(
        str(log), policy, tmp_path / "out", method="return-to-go", updates=4, rate=2e-3
    )
    assert found["trained on"].to_list() == ["return-to-go", "shuffled"]
    own, shuffled = found.iter_rows(named=True)
    assert own["+ before"] == shuffled["+ before"]
    assert own["+ change"] > 0.05
    assert own["− change"] < -0.05
    apart = own["+ change"] - own["− change"]
    assert shuffled["+ change"] - shuffled["− change"] < apart


def test_a_policy_that_did_not_write_the_log_is_refused(
    train_trl: ModuleType, policy: Path, tmp_path: Path
):
    log = rollouts(policy, tmp_path / "log.parquet")
    other = pl.read_parquet(log).with_columns(
        pl.col("response_logprobs").list.eval(pl.element() - 0.1)
    )
    other.write_parquet(log)
    with pytest.raises(SystemExit, match=r"did not write this log.* differ by 0\.100"):
        train_trl.run(str(log), policy, tmp_path / "out", method="return-to-go")


def test_a_log_whose_groups_are_all_dead_teaches_nothing(
    train_trl: ModuleType, policy: Path, tmp_path: Path
):
    log = rollouts(policy, tmp_path / "log.parquet")
    pl.read_parquet(log).with_columns(reward=pl.lit(0.0)).write_parquet(log)
    with pytest.raises(SystemExit, match="there is nothing to learn"):
        train_trl.run(str(log), policy, tmp_path / "out")
