"""A verl batch of an export. Written by the trajectory workbench; needs only `verl`.

Importing this module registers the advantage estimator "precomputed", which passes the advantages
in `rm_scores` through as they are:

    algorithm.adv_estimator=precomputed  algorithm.use_kl_in_reward=false
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from verl import DataProto
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, register_adv_est


def precomputed(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and returns, both what came as token-level rewards. (B, R) each."""
    advantages = token_level_rewards * response_mask
    return advantages, advantages


# Of two exports in one process the first registers it.
if "precomputed" not in ADV_ESTIMATOR_REGISTRY:
    register_adv_est("precomputed")(precomputed)


def data_proto(folder: str | Path) -> DataProto:
    """The batch, with `rm_scores` as token-level scores and rewards as well.

    `old_log_probs` are the logged ones where there are any; else the trainer computes them.
    """
    with np.load(Path(folder) / "verl_batch.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    names = ("uid", "traj_uid", "step_index")
    others = {name: arrays.pop(name).astype(object) for name in names}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors["token_level_scores"] = tensors["token_level_rewards"] = tensors["rm_scores"]
    if "rollout_log_probs" in tensors:
        tensors["old_log_probs"] = tensors["rollout_log_probs"]
    return DataProto.from_dict(tensors=tensors, non_tensors=others)
