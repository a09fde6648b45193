"""A SkyRL batch of an export. Written by the trajectory workbench; needs only `skyrl`.

Importing this module registers the advantage estimator "precomputed", which passes the token-level
rewards of the export, its advantages, through as they are:

    trainer.algorithm.advantage_estimator=precomputed
    trainer.algorithm.advantage_batch_normalize=false  generator.step_wise_trajectories=false
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from skyrl.backends.skyrl_train.utils.ppo_utils import (
    AdvantageEstimatorRegistry,
    register_advantage_estimator,
)


def precomputed(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and returns, both what came as token-level rewards. (B, R) each."""
    advantages = token_level_rewards * response_mask
    return advantages, advantages


# Of two exports in one process, or in one Ray cluster, the first registers it.
if "precomputed" not in AdvantageEstimatorRegistry.list_available():
    register_advantage_estimator("precomputed")(precomputed)


def generator_output(folder: str | Path) -> tuple[dict[str, Any], list[str]]:
    """The GeneratorOutput and the uid of each row, for a generator that replays it."""
    from skyrl.train.generators.base import TrajectoryID

    path = Path(folder) / "generator_output.json"
    output = json.loads(path.read_text(encoding="utf-8"))
    output.pop("workbench_trajectory_ids")
    output["trajectory_ids"] = [TrajectoryID(**entry) for entry in output["trajectory_ids"]]
    output["rollout_metrics"] = None
    return output, [entry.instance_id for entry in output["trajectory_ids"]]
