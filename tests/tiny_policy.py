"""A language model and a chat tokenizer small enough for a test, made from nothing but a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = [
    "<pad>",
    "<unk>",
    "<|im_start|>",
    "<|im_end|>",
    "system",
    "user",
    "assistant",
    "go",
    "look",
    "take",
    "give",
    "up",
    "left",
    "right",
    "key",
    "door",
    "shelf",
    "drawer",
    "you",
    "see",
    "the",
    "a",
    "hold",
    "find",
    "is",
    "empty",
    ".",
    "ok",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} {{ m['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


def tokenizer(folder: Path, *, template: str | dict[str, str] | None = TEMPLATE) -> Path:
    """Writes a word-level tokenizer with a chat template and gives its folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(WORDS))}
    own = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token="<pad>", unk_token="<unk>", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    fast.chat_template = template
    fast.save_pretrained(folder)
    return folder


def model(*, seed: int = 0, vocabulary: int = 48) -> Any:
    """A Qwen2 of two layers with random weights, in float32."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        attention_dropout=0.0, initializer_range=0.4, pad_token_id=0, eos_token_id=3,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def log_probabilities(policy: Any, ids: list[int]) -> Any:
    """Log-probability of each token given those before it, 0 for the first. (T,)"""
    import torch

    logits = policy(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    after = logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return torch.cat([torch.zeros(1), after])
