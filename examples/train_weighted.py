"""From a log to a policy that follows its credit: score, export, train a tiny model on the batch.

    python examples/train_weighted.py data/household.parquet -o trained/

The policy is a Qwen2 of two layers with random weights, and its tokenizer knows the words of the
log, so nothing is downloaded and a CPU is enough. It is trained on the exported file alone, with
the clipped loss of PPO against the policy at the start:

    loss = Σ mask · weight · -min(r · A, clip(r, 1 ± 0.2) · A) / Σ mask,   r = π / π_start

At the end the log-probability of steps with positive credit has risen and that of steps with
negative credit has fallen; the script says by how much, and fails if they have not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from rich.progress import track
from torch.nn.utils.rnn import pad_sequence

from workbench.exporters import TARGETS, read_batch
from workbench.methods.scoring import score
from workbench.workspace.opened import open_log

CLIP = 0.2
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(log: pl.DataFrame, folder: Path) -> str:
    """A tokenizer of the log's own words, with a chat template; gives the folder's name."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<|im_start|>", "<|im_end|>"]
    own = Tokenizer(models.WordLevel(unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = [*log["observation"].unique().sort(), *log["action"].unique().sort(), "user assistant"]
    own.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token="<pad>", unk_token="<unk>", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return str(folder)


def mixed_groups(log: pl.DataFrame) -> list[str]:
    """Groups whose trajectories did not all earn the same: they have credit to learn from."""
    earned = log.group_by("group_id", "trajectory_id").agg(pl.col("reward").sum())
    varied = earned.group_by("group_id").agg(pl.col("reward").n_unique() > 1).filter("reward")
    return varied["group_id"].sort().to_list()


def export(source: Path, method: str, groups: int, folder: Path) -> pl.DataFrame:
    """Scores a log and exports some groups of it; the rows of the batch."""
    space = open_log(source, embedder="tfidf")
    log, credit = space.steps.log, score(space, method)
    chosen = mixed_groups(log)[:groups]
    TARGETS["weighted-batch"](
        log, credit.scored(), folder / "batch", groups=chosen,
        drop_zero_groups=True, overwrite=True, tokenizer=make_tokenizer(log, folder / "tokenizer"),
    )  # fmt: skip
    return read_batch(folder / "batch")


def tiny_policy(vocabulary: int) -> Any:
    """A Qwen2 of two layers with random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096, pad_token_id=0,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


def batches(rows: pl.DataFrame, size: int) -> Iterator[dict[str, torch.Tensor]]:
    """Rows of similar length as padded tensors, shifted: position t is about token t + 1."""
    types = {"input_ids": torch.long, "loss_mask": torch.float32, "advantages": torch.float32}
    ordered = rows.sort(pl.col("input_ids").list.len(), maintain_order=True)
    for part in ordered.iter_slices(size):
        padded = {
            name: pad_sequence(
                [torch.tensor(values, dtype=dtype) for values in part[name].to_list()],
                batch_first=True,
            )
            for name, dtype in types.items()
        }
        yield {
            "input_ids": padded["input_ids"],
            "mask": padded["loss_mask"][:, 1:],
            "advantages": padded["advantages"][:, 1:]
            * torch.tensor(part["weight"].to_list())[:, None],
        }


def log_probabilities(policy: Any, ids: torch.Tensor) -> torch.Tensor:
    """Of each token but the first, given those before it; padding on the right is harmless."""
    logits = policy(input_ids=ids).logits[:, :-1].log_softmax(-1)
    return logits.gather(2, ids[:, 1:, None])[:, :, 0]


def mean_by_sign(policy: Any, data: Sequence[dict[str, torch.Tensor]]) -> tuple[float, float]:
    """Mean log-probability of the trained tokens with positive and with negative credit."""
    sums = torch.zeros(4, dtype=torch.float64)
    with torch.no_grad():
        for batch in data:
            value, credit = log_probabilities(policy, batch["input_ids"]), batch["advantages"]
            for at, chosen in ((0, credit > 0), (2, credit < 0)):
                sums[at] += value[chosen].double().sum()
                sums[at + 1] += chosen.sum()
    return float(sums[0] / sums[1]), float(sums[2] / sums[3])


def train(
    policy: Any, data: Sequence[dict[str, torch.Tensor]], steps: int, rate: float, *, quiet: bool
) -> None:
    """Some optimiser steps, each over the whole batch, part by part."""
    with torch.no_grad():
        start = [log_probabilities(policy, part["input_ids"]) for part in data]
    count = sum(float(part["mask"].sum()) for part in data)
    optimiser = torch.optim.Adam(policy.parameters(), lr=rate)
    for _ in track(range(steps), description="training", disable=quiet):
        optimiser.zero_grad()
        for part, before in zip(data, start, strict=True):
            ratio = (log_probabilities(policy, part["input_ids"]) - before).exp()
            limited = ratio.clamp(1 - CLIP, 1 + CLIP)
            gain = torch.minimum(ratio * part["advantages"], limited * part["advantages"])
            (-(gain * part["mask"]).sum() / count).backward()
        optimiser.step()


def run(
    source: Path,
    folder: Path,
    *,
    method: str = "proxmo",
    groups: int = 2,
    steps: int = 32,
    rate: float = 1e-3,
    quiet: bool = False,
) -> dict[str, tuple[float, float]]:
    """The whole way; mean log-probability before and after, by the sign of the credit."""
    rows = export(source, method, groups, folder)
    torch.manual_seed(0)
    policy = tiny_policy(int(rows["input_ids"].list.max().max()) + 1)  # type: ignore[arg-type]
    data = list(batches(rows, 8))
    before = mean_by_sign(policy, data)
    train(policy, data, steps, rate, quiet=quiet)
    after = mean_by_sign(policy, data)
    return {"positive": (before[0], after[0]), "negative": (before[1], after[1])}


def main() -> None:
    """Reads the command line, trains, and says what became of the log-probabilities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("-o", dest="folder", type=Path, default=Path("trained"))
    parser.add_argument("-m", dest="method", default="proxmo")
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--steps", type=int, default=32)
    given = parser.parse_args()
    found = run(
        given.log, given.folder, method=given.method, groups=given.groups, steps=given.steps
    )
    for sign, (before, after) in found.items():
        print(f"log-probability of tokens with {sign} credit: {before:.3f} -> {after:.3f}")
    rose, fell = (after - before for before, after in found.values())
    if not rose > 0 > fell:
        sys.exit("the policy does not follow the credit")


if __name__ == "__main__":
    main()
