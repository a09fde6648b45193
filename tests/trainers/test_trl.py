from __future__ import annotations

import copy
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import tiny_policy
from policy_rollouts import clipped_loss_of_rows, scored


def trained(module: Any, folder: Path, policy: Any, rows: int) -> tuple[Any, float]:
    """One optimiser step of TRL over the whole export; the trainer and the loss it computed."""
    import torch
    from transformers import AutoTokenizer
    from trl import GRPOConfig

    arguments = GRPOConfig(
        output_dir=str(folder.parent / "run"), per_device_train_batch_size=rows,
        num_generations=rows, max_steps=1, loss_type="dapo", beta=0.0, learning_rate=0.5,
        optim="sgd", max_grad_norm=1e9, lr_scheduler_type="constant", use_cpu=True, bf16=False,
        report_to="none", save_strategy="no", gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    own = AutoTokenizer.from_pretrained(tiny_policy.tokenizer(folder.parent / "tokenizer"))
    trainer = module.PrecomputedGRPOTrainer(
        folder=folder, model=policy, args=arguments, processing_class=own
    )
    losses = []
    compute = trainer.compute_loss

    def remembered(*given: Any, **more: Any) -> Any:
        loss = compute(*given, **more)
        losses.append(float(loss.detach()))
        return loss

    trainer.compute_loss = remembered
    trainer.train()
    assert isinstance(trainer.model, torch.nn.Module)
    (loss,) = losses
    return trainer, loss


@pytest.mark.parametrize("unit", ["step", "trajectory"])
@pytest.mark.parametrize("logprobs", [True, False])
def test_trl_takes_the_gradient_step_that_is_computed_by_hand(
    exported: Any, loader: Any, policy: Any, unit: str, logprobs: bool
):
    import torch

    folder, batch = exported("trl", scored(logprobs=logprobs), unit=unit)
    by_hand = copy.deepcopy(policy)
    trainer, loss = trained(loader(folder), folder, policy, batch.rows.height)

    total, count = clipped_loss_of_rows(by_hand, batch.rows)
    expected = total / count
    assert loss == pytest.approx(float(expected), abs=1e-5)
    # One step of plain gradient descent with the same rate leads to the same weights.
    expected.backward()
    moved = 0.0
    for own, hand in zip(trainer.model.parameters(), by_hand.parameters(), strict=True):
        step = hand.detach() - 0.5 * hand.grad
        torch.testing.assert_close(own.detach(), step, atol=1e-4, rtol=1e-4)
        moved = max(moved, float((0.5 * hand.grad).abs().max()))
    assert moved > 0.01


def test_every_line_is_trained_once_a_pass(exported: Any, loader: Any, policy: Any, tmp_path: Path):
    folder, batch = exported("trl")
    trainer, _ = trained(loader(folder), folder, policy, batch.rows.height)
    numbers = [int(trainer.train_dataset[i]["prompt"]) for i in trainer._get_train_sampler()]
    assert sorted(numbers) == list(range(batch.rows.height))


def test_async_grpo_takes_the_samples_that_are_replayed(exported: Any, loader: Any):
    from trl.experimental.async_grpo.async_grpo_trainer import RolloutQueueDataset

    folder, batch = exported("trl")
    worker = loader(folder).ReplayWorker(folder, model_version=7)
    worker.start()
    worker.check_health(1.0)
    stream = iter(
        RolloutQueueDataset(
            worker.rollout_buffer,
            lambda: 7,
            worker.check_health,
            1.0,
            defaultdict(list),
            poll_interval_s=0.01,
        )
    )
    found = [next(stream) for _ in range(batch.rows.height)]
    for sample, row in zip(found, batch.rows.iter_rows(named=True), strict=True):
        assert sample["input_ids"].tolist() == row["input_ids"]
        assert sample["completion_mask"].tolist() == row["loss_mask"]
        assert sample["old_log_probs"].tolist() == pytest.approx(row["old_logprobs"])
        mask = sample["completion_mask"]
        assert (sample["advantage"] * mask).tolist() == pytest.approx(row["advantages"])
    assert [sample["group_id"] for sample in found] == [0] * 5 + [1] * 3
    with pytest.raises(RuntimeError, match="every line of the export was replayed"):
        next(stream)
