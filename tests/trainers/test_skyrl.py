from __future__ import annotations

import types
import typing
from typing import Any

import pytest
import typing_extensions
from policy_rollouts import clipped_loss_of_rows


@pytest.fixture(autouse=True)
def python_311(monkeypatch: pytest.MonkeyPatch):
    """skyrl 0.3.0 cannot be imported under Python 3.11 with the `TypedDict` of `typing`."""
    monkeypatch.setattr(typing, "TypedDict", typing_extensions.TypedDict)


@pytest.mark.parametrize("unit", ["step", "trajectory"])
def test_skyrls_policy_loss_on_our_generator_output_is_that_computed_by_hand(
    exported: Any, loader: Any, policy: Any, unit: str
):
    from omegaconf import OmegaConf
    from skyrl.backends.skyrl_train.utils import ppo_utils
    from skyrl.train.dataset.preprocess import convert_prompts_responses_to_batch_tensors
    from skyrl.train.utils.trainer_utils import validate_generator_output

    folder, batch = exported("skyrl", unit=unit)
    output, uids = loader(folder).generator_output(folder)
    validate_generator_output(batch.rows.height, output)
    assert uids == batch.rows["group_id"].to_list()
    sequences, attention, response_mask, rewards, loss_mask, old, *_ = (
        convert_prompts_responses_to_batch_tensors(
            types.SimpleNamespace(pad_token_id=0),
            output["prompt_token_ids"],
            output["response_ids"],
            output["rewards"],
            output["loss_masks"],
            output["rollout_logprobs"],
        )
    )
    estimator = ppo_utils.AdvantageEstimatorRegistry.get("precomputed")
    advantages, _ = estimator(token_level_rewards=rewards, response_mask=response_mask, index=uids)
    # SkyRL sums the loss and has its mean over tokens in the advantages.
    advantages = ppo_utils.apply_loss_reduction_to_advantages_minibatch(
        advantages, loss_mask, "token_mean", micro_batch_size=1, max_seq_len=64
    )

    length = response_mask.shape[1]
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    logits = policy(sequences, attention_mask=attention, position_ids=positions).logits
    new = logits[:, -length - 1 : -1].log_softmax(-1)
    new = new.gather(2, sequences[:, -length:, None])[:, :, 0]
    config = OmegaConf.create(
        {"policy_loss_type": "regular", "eps_clip_low": 0.2, "eps_clip_high": 0.2,
         "loss_reduction": "token_mean", "max_seq_len": None, "use_tis": False,
         "off_policy_correction": {
             "tis_ratio_type": None, "sequence_mask_metric": None,
             "outlier_token_is_threshold_low": None, "outlier_token_is_threshold_high": None,
             "token_mask_is_threshold_low": None, "token_mask_is_threshold_high": None,
         }},
    )  # fmt: skip
    loss, _ = ppo_utils.ppo_policy_loss(new, old, advantages, config, loss_mask=loss_mask)
    total, count = clipped_loss_of_rows(policy, batch.rows)
    assert float(loss) == pytest.approx(float(total) / count, abs=1e-5)
