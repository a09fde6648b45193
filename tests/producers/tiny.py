"""A tokenizer and a model small enough to run a trainer for a step on a processor."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest
from packaging.version import Version


def needs(distribution: str, version: str = "0") -> pytest.MarkDecorator:
    """Skips the tests of a module where what writes the files is not installed.

    Nothing is imported for it: trainers take long to import, and some change others.
    """
    try:
        found = Version(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return pytest.mark.skip(reason=f"{distribution} is not installed")
    reason = f"{distribution} is older than {version}"
    return pytest.mark.skipif(found < Version(version), reason=reason)


END, PAD = "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Any:
    """Bytes as tokens, with the marks of ChatML as special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [PAD, "<|im_start|>", END]
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=PAD)
    fast.chat_template = TEMPLATE
    return fast


def model(vocabulary: int) -> Any:
    """A causal language model of a few thousand random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=None,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
