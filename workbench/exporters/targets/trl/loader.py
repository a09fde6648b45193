"""TRL on an export. Written by the trajectory workbench; needs only `trl`.

GRPOTrainer, in steps over the whole file, one generation batch after the other:

    trainer = PrecomputedGRPOTrainer(folder="batch", model=model, args=args,
                                     processing_class=tokenizer)

AsyncGRPOTrainer (experimental), for exports of one step per line:

    trainer = AsyncGRPOTrainer(..., rollout_worker=ReplayWorker("batch", model_version=version))
"""

from __future__ import annotations

import json
import queue
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

Sample = Mapping[str, Any]


def samples(folder: str | Path) -> list[Sample]:
    """The lines of an export."""
    with (Path(folder) / "rollout_samples.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def inputs(rows: Sequence[Sample], pad_token_id: int = 0) -> dict[str, torch.Tensor]:
    """Lines as the dictionary that GRPOTrainer computes its loss from.

    A sequence is cut before its first trained token. All that comes after is attended to
    (`completion_mask`), and what the policy did not sample is not trained (`tool_mask`).

    Returns:
        prompt_ids, prompt_mask (B, P), padded on the left; completion_ids, completion_mask,
        tool_mask, advantages and, where every line has them, old_per_token_logps (B, T), padded on
        the right; num_items_in_batch, the number of trained tokens.
    """
    cuts = [row["completion_mask"].index(1) for row in rows]
    width, length = max(cuts), max(len(r["input_ids"]) - c for r, c in zip(rows, cuts, strict=True))
    prompt = torch.full((len(rows), width), pad_token_id)
    completion = torch.full((len(rows), length), pad_token_id)
    prompt_mask, completion_mask = torch.zeros_like(prompt), torch.zeros_like(completion)
    trained = torch.zeros_like(completion)
    advantages, logps = torch.zeros(completion.shape), torch.zeros(completion.shape)
    for i, (row, cut) in enumerate(zip(rows, cuts, strict=True)):
        size = len(row["input_ids"]) - cut
        prompt[i, width - cut :] = torch.tensor(row["input_ids"][:cut])
        prompt_mask[i, width - cut :] = 1
        completion[i, :size] = torch.tensor(row["input_ids"][cut:])
        completion_mask[i, :size] = 1
        trained[i, :size] = torch.tensor(row["completion_mask"][cut:])
        credit = row["advantages"][cut:] if "advantages" in row else row["advantage"]
        advantages[i, :size] = torch.tensor(credit)
        if row["old_log_probs"] is not None:
            logps[i, :size] = torch.tensor(row["old_log_probs"][cut:])
    made = {
        "prompt_ids": prompt,
        "prompt_mask": prompt_mask,
        "completion_ids": completion,
        "completion_mask": completion_mask,
        "tool_mask": trained,
        "advantages": advantages * trained,
        "num_items_in_batch": trained.sum(),
    }
    if all(row["old_log_probs"] is not None for row in rows):
        made["old_per_token_logps"] = logps
    return made


class PrecomputedGRPOTrainer(GRPOTrainer):
    """GRPOTrainer that takes sequences and advantages from an export and generates nothing.

    Args:
        folder: The export.
        **arguments: GRPOTrainer's own, without a dataset and reward functions.
    """

    def __init__(self, *, folder: str | Path, **arguments: Any) -> None:
        self._samples = samples(folder)
        rows = Dataset.from_dict({"prompt": [str(i) for i in range(len(self._samples))]})
        # Rewards are never asked for: the advantages are there.
        unused = {"reward_funcs": lambda **_: [], "train_dataset": rows}
        super().__init__(**unused, **arguments)

    def _get_train_sampler(self, dataset: Any = None) -> RepeatSampler:
        """Every line once a pass, where TRL would repeat a prompt `num_generations` times.

        TRL reads a batch again for every use of its generations; so does this. Lines that do not
        fill a last generation batch are left out of the pass.
        """
        return RepeatSampler(
            data_source=dataset or self.train_dataset,
            mini_repeat_count=1,
            batch_size=self.args.generation_batch_size,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )

    def _generate_and_score_completions(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        """Replay the completions in place of generated ones; a prompt is the number of its line."""
        made = inputs([self._samples[int(entry["prompt"])] for entry in batch])
        made = {name: value.to(self.accelerator.device) for name, value in made.items()}
        made["num_items_in_batch"] = self.accelerator.gather(made["num_items_in_batch"]).sum()
        return made


class ReplayWorker:
    """A rollout worker for AsyncGRPOTrainer that plays the lines of an export.

    Args:
        folder: An export of one step per line.
        model_version: Version recorded for every line; None for the logged one, which
            AsyncGRPO drops where it is further behind than its `max_staleness`.
    """

    def __init__(self, folder: str | Path, model_version: int | None = None) -> None:
        self.rollout_buffer: queue.Queue[Any] = queue.Queue()
        self.metrics_queue: queue.Queue[Any] = queue.Queue()
        self._samples = samples(folder)
        self._version = model_version

    def start(self) -> None:
        """Put every line into the buffer."""
        from trl.experimental.async_grpo.async_rollout_worker import RolloutSample

        groups: dict[str, int] = {}
        for row in self._samples:
            version = row["model_version"] if self._version is None else self._version
            sample = RolloutSample(
                prompt=[],
                completion=[],
                input_ids=np.array(row["input_ids"]),
                completion_mask=np.array(row["completion_mask"]),
                old_log_probs=np.array(row["old_log_probs"], dtype=np.float32),
                advantage=row["advantage"],
                model_version=version,
                group_id=groups.setdefault(row["group_id"], len(groups)),
                metrics={},
            )
            self.rollout_buffer.put_nowait(sample)

    def stop(self) -> None:
        """Nothing runs."""

    def update_model_version(self, model_version: int) -> None:
        """Keep the version of what is replayed."""

    def check_health(self, stale_after_s: float) -> None:
        """Say that the last line was taken, which the trainer would wait behind for ever.

        Raises:
            RuntimeError: It was.
        """
        if self.rollout_buffer.empty():
            raise RuntimeError("every line of the export was replayed; set max_steps accordingly")
