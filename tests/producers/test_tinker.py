"""tinker-cookbook summaries as the cookbook itself writes them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

logging = pytest.importorskip("tinker_cookbook.rl.rollout_logging")

import tinker  # noqa: E402  after the check that it is there
from tinker_cookbook.rl.types import (  # noqa: E402
    TokensWithLogprobs,
    Trajectory,
    TrajectoryGroup,
    Transition,
)

from workbench.readers import import_log  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def trajectory(*rewards: float) -> Trajectory:
    return Trajectory(
        transitions=[
            Transition(
                ob=tinker.ModelInput.from_ints([1] * (at + 1)),
                ac=TokensWithLogprobs(tokens=[2] * (at + 2), maybe_logprobs=[-0.5] * (at + 2)),
                reward=reward,
                episode_done=at == len(rewards) - 1,
                metrics={"m": 1.0},
                logs={},
            )
            for at, reward in enumerate(rewards)
        ],
        final_ob=tinker.ModelInput.empty(),
    )


def test_rewards_lengths_and_groups_are_those_of_the_cookbook(tmp_path: Path):
    groups = [
        TrajectoryGroup([trajectory(0.0, 0.5), trajectory(0.25)], [1.0, 0.0], [{}, {"a": 1}]),
        TrajectoryGroup([trajectory(0.0)], [0.0], [{}]),
    ]
    records = logging.serialize_rollout_summaries(
        split="train", iteration=3, trajectory_groups_P=groups, taglist_P=[["x"], []],
        sampling_client_steps_P=[2, None],
    )  # fmt: skip
    path = tmp_path / "train_rollout_summaries.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    imported = import_log([path])
    log = imported.validated.log
    assert dict(imported.report.rollouts) == {1: 1, 2: 1}
    assert log["reward"].to_list() == [0.0, 1.5, 0.25, 0.0]
    totals = [total for group in groups for total in group.get_total_rewards()]
    sums = log.group_by("trajectory_id", maintain_order=True).agg(pl.col("reward").sum())
    assert sums["reward"].to_list() == totals
    assert log["response_tokens"].to_list() == [2, 3, 2, 2]
    assert log["policy_version"].to_list() == [2, 2, 2, None]
