from __future__ import annotations

from typing import Any

import pytest
import torch
from policy_rollouts import clipped_loss_of_rows


def log_probabilities(policy: Any, data: Any) -> Any:
    """Log-probabilities as verl's actor computes them, from the padded batch. (B, R)"""
    batch = data.batch
    length = batch["responses"].shape[1]
    logits = policy(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
    ).logits[:, -length - 1 : -1]
    return logits.log_softmax(-1).gather(2, batch["responses"][:, :, None])[:, :, 0]


@pytest.mark.parametrize("unit", ["step", "trajectory"])
def test_verls_policy_loss_on_our_data_proto_is_that_computed_by_hand(
    exported: Any, loader: Any, policy: Any, unit: str
):
    from verl.trainer.ppo.core_algos import get_policy_loss_fn
    from verl.trainer.ppo.ray_trainer import compute_advantage
    from verl.workers.config import ActorConfig

    folder, batch = exported("verl", unit=unit)
    data = loader(folder).data_proto(folder)
    assert len(data) == batch.rows.height
    data = compute_advantage(data, "precomputed")
    mask = data.batch["response_mask"]
    # What verl trains on is what was exported, token by token.
    flat = [value for row in batch.rows.iter_rows(named=True)
            for value, trained in zip(row["advantages"], row["loss_mask"], strict=True)
            if trained]  # fmt: skip
    assert data.batch["advantages"][mask == 1].tolist() == flat
    assert not data.batch["advantages"][mask == 0].any()

    config = ActorConfig(
        strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, clip_ratio_c=1e6
    )
    loss, _ = get_policy_loss_fn("vanilla")(
        old_log_prob=data.batch["old_log_probs"],
        log_prob=log_probabilities(policy, data),
        advantages=data.batch["advantages"],
        response_mask=mask,
        loss_agg_mode="token-mean",
        config=config,
    )
    total, count = clipped_loss_of_rows(policy, batch.rows)
    assert float(loss) == pytest.approx(float(total) / count, abs=1e-5)


def test_verls_own_grpo_would_have_changed_the_advantages(exported: Any, loader: Any):
    from verl.trainer.ppo.ray_trainer import AdvantageEstimator, compute_advantage

    folder, _ = exported("verl")
    data = loader(folder).data_proto(folder)
    ours = compute_advantage(data, "precomputed").batch["advantages"].clone()
    theirs = compute_advantage(data, AdvantageEstimator.GRPO).batch["advantages"]
    assert not torch.allclose(ours, theirs)
