"""Rollouts of the tiny policy with token ids, and the loss that a trainer has on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import tiny_policy
from batches import Log, made, step_row


def scored(*, logprobs: bool = True, seed: int = 0) -> Log:
    """Two groups of two trajectories of one to three steps, prompts that extend each other."""
    rng = np.random.default_rng(seed)
    policy = tiny_policy.model()
    rows: list[dict[str, Any]] = []
    for trajectory, length in enumerate((2, 3, 1, 2)):
        sequence: list[int] = []
        for step in range(length):
            prompt = sequence + rng.integers(4, 40, int(rng.integers(2, 5))).tolist()
            response = rng.integers(4, 40, int(rng.integers(1, 4))).tolist()
            sequence = prompt + response
            own = tiny_policy.log_probabilities(policy, sequence)[len(prompt) :].tolist()
            # The policy that acted was not quite the one that is trained: ratios are not 1.
            drifted = [value + float(rng.normal(0, 0.3)) for value in own]
            row = step_row(
                f"t{trajectory}", step, float(rng.normal()), group=f"g{trajectory // 2}",
                prompt_ids=prompt, response_ids=response, train_step=3, policy_version=2,
                response_logprobs=drifted if logprobs else None,
            )  # fmt: skip
            rows.append(row)
    return made(rows, response_logprobs=pl.List(pl.Float32))


def clipped_loss_of_rows(policy: Any, rows: pl.DataFrame, clip: float = 0.2) -> tuple[Any, int]:
    """Σ -min(r A, clip(r, 1 ± clip) A) over the trained tokens, row by row without padding.

    Without logged log-probabilities r is 1, its gradient that of the log-probability.
    """
    import torch

    total, count = torch.zeros(()), 0
    for row in rows.iter_rows(named=True):
        new = tiny_policy.log_probabilities(policy, row["input_ids"])
        old = new.detach() if row["old_logprobs"] is None else torch.tensor(row["old_logprobs"])
        mask, credit = torch.tensor(row["loss_mask"]), torch.tensor(row["advantages"])
        ratio = (new - old).exp()
        limited = ratio.clamp(1 - clip, 1 + clip)
        total = total - (torch.minimum(ratio * credit, limited * credit) * mask).sum()
        count += int(mask.sum())
    return total, count
