import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.facts import GROUP_KINDS, facts
from workbench.schema import validate


def log(
    trajectories: list[tuple[str, list[float | None], dict[str, Any]]], **columns: Any
) -> pl.DataFrame:
    """A log of trajectories (group, rewards of its steps, further columns of each step)."""
    rows = [
        {
            "group_id": group,
            "trajectory_id": f"t{number}",
            "step_index": step,
            "observation": f"state {step}",
            "action": "go",
            "reward": reward,
            **more,
        }
        for number, (group, rewards, more) in enumerate(trajectories)
        for step, reward in enumerate(rewards)
    ]
    return validate(pl.DataFrame(rows, infer_schema_length=None, **columns)).log


@pytest.mark.parametrize(
    ("name", "success", "mixed", "singleton", "groups", "steps"),
    [
        ("webshop_grpo_dev", 0.438, 6, 0.095, 16, 1042),
        ("taubench_airline_gpt4o", 0.420, 26, 0.617, 50, 2454),
        ("alfworld_mint", 0.430, 134, 0.278, 134, 24401),
        ("alfworld_knowagent", 0.310, 120, 0.234, 510, 17948),
        ("webshop_react", 0.175, 145, 0.320, 500, 8773),
    ],
)
def test_known_answers_of_real_logs(  # noqa: PLR0917  one argument a column of the table
    shared: Path, name: str, success: float, mixed: int, singleton: float, groups: int, steps: int
) -> None:
    found = facts(validate(pl.read_parquet(shared / "data" / f"{name}.parquet")).log)
    assert found.success["rate"] == pytest.approx(success, abs=5.1e-4)  # 0.4375 is .438
    assert found.mixed_outcome_groups == mixed
    assert found.singleton_rate == pytest.approx(singleton, abs=5e-4)
    assert (found.groups, found.rows) == (groups, steps)
    assert sum(found.group_kinds.values()) == groups


def test_groups_that_mix_policies_in_real_logs(shared: Path) -> None:
    mint = facts(validate(pl.read_parquet(shared / "data" / "alfworld_mint.parquet")).log)
    taubench = facts(
        validate(pl.read_parquet(shared / "data" / "taubench_airline_gpt4o.parquet")).log
    )
    assert mint.mixed_policy_groups == 1.0
    assert taubench.mixed_policy_groups == 0.0
    assert mint.rollouts_per_group == {51: 134}


def test_every_kind_of_group() -> None:
    found = facts(
        log(
            [
                ("live", [0.0, 1.0], {}),
                ("live", [0.0], {}),
                ("penalty", [1.0], {"valid_action": True}),
                ("penalty", [0.0, 1.0], {"valid_action": False}),
                ("fail", [0.0], {}),
                ("fail", [0.0, 0.0], {}),
                ("pass", [1.0], {}),
                ("pass", [1.0], {}),
                ("one", [1.0], {}),
                ("none", [None], {}),
            ]
        )
    )
    assert found.group_kinds == {
        "live": 1,
        "penalty_only": 1,
        "all_fail": 1,
        "all_pass": 1,
        "constant_reward": 0,
        "one_rollout": 1,
        "unscored": 1,
    }
    # 9 scored trajectories, rewards 1, 0, 1, 1, 0, 0, 1, 1, 1.
    assert found.success == {"rate": pytest.approx(6 / 9), "known": 9, "source": "episode reward"}
    assert found.mixed_outcome_groups == 1
    assert found.excluded == {"reward is null": 1}


def test_equal_rewards_that_are_neither_success_nor_failure() -> None:
    found = facts(log([("g", [0.5], {}), ("g", [0.25, 0.25], {})]))
    assert found.group_kinds["constant_reward"] == 1
    assert found.success == {"rate": None, "known": 0, "source": None}


def test_success_wins_over_the_reward() -> None:
    rows = [("g", [0.5], {"success": False}), ("g", [0.5], {"success": False})]
    found = facts(log(rows))
    assert found.group_kinds["all_fail"] == 1
    assert found.success == {"rate": 0.0, "known": 2, "source": "success"}


def test_the_reward_scale_is_one_success() -> None:
    found = facts(log([("g", [10.0], {"reward_scale": 10.0}), ("g", [0.0], {})]))
    assert found.success["rate"] == 0.5


def test_a_trajectory_outside_the_group_statistics_makes_no_group_live() -> None:
    found = facts(
        log(
            [
                ("g", [1.0], {"in_group_statistics": False}),
                ("g", [0.0], {"in_group_statistics": True}),
                ("g", [0.0], {"in_group_statistics": True}),
            ]
        )
    )
    assert found.group_kinds["all_fail"] == 1


@pytest.mark.parametrize(
    ("rewards", "kind"), [([0.0, 1.0], "terminal"), ([0.5, 0.5], "dense"), ([0.0, 0.0], "terminal")]
)
def test_reward_kind(rewards: list[float], kind: str) -> None:
    assert facts(log([("g", rewards, {})])).reward["kind"] == kind


def test_lengths_and_rollouts() -> None:
    rows = [("g", [0.0], {}), ("g", [0.0] * 3, {}), ("h", [0.0] * 5, {})]
    found = facts(log(rows))
    assert found.lengths == {"minimum": 1, "median": 3.0, "mean": 3.0, "maximum": 5}
    assert found.rollouts_per_group == {1: 1, 2: 1}


def test_singletons_by_depth() -> None:
    # Group g: "state 0" twice, "state 1" … "state 21" once each, so 22 steps + 1, 21 singletons.
    found = facts(log([("g", [0.0] * 22, {}), ("g", [0.0], {})]))
    assert found.singleton_rate == pytest.approx(21 / 23)
    assert found.singleton_rate_by_depth["0"] == 0.0
    assert found.singleton_rate_by_depth["5-9"] == 1.0
    assert list(found.singleton_rate_by_depth) == ["0", "1", "2", "3", "4", "5-9", "10-19", "20+"]


def test_what_else_is_in_a_log() -> None:
    rows = [
        ("g", [0.0, 0.0], {"truncated": True, "response_tokens": 7, "mood": "good", "copies": 3}),
        ("g", [1.0], {"truncated": False, "response_tokens": 3, "prompt_ids": [1]}),
    ]
    found = facts(log(rows).with_columns(response_ids=pl.col("prompt_ids")))
    assert found.truncated == 0.5
    assert found.response_tokens == {
        "median": 7.0,
        "mean": pytest.approx(17 / 3),
        "maximum": 7,
        "total": 17,
    }
    assert found.other_columns == ("mood",)
    assert found.copies == {"rows": 2, "extra": 4}
    assert found.token_ids == pytest.approx(1 / 3)


def test_policies() -> None:
    mixed = facts(log([("g", [0.0], {"policy_version": 1}), ("g", [0.0], {"policy_version": 2})]))
    assert mixed.mixed_policy_groups == 1.0
    assert facts(log([("g", [0.0], {})])).mixed_policy_groups is None


def test_empty_observations() -> None:
    bare = log([("g", [0.0, 0.0], {})]).with_columns(observation=pl.Series(["", "äö"]))
    assert facts(bare).observations == {"median": 1.0, "maximum": 2, "empty": 0.5}


def test_a_log_in_which_nothing_is_scored() -> None:
    found = facts(log([("g", [None], {}), ("h", [None], {})]))
    assert found.singleton_rate is None
    assert found.success["rate"] is None
    assert found.reward["kind"] is None
    assert found.group_kinds["unscored"] == 2
    assert found.lines()


def test_the_dictionary_is_json_and_the_report_short() -> None:
    found = facts(
        log(
            [
                (f"g{i}", [0.5], {"x": 1, "response_tokens": 3, "truncated": False, "model": "m"})
                for i in range(3)
            ]
        )
    )
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["rollouts_per_group"] == {"1": 3}
    # 19 lines and at most one for each kind of dead group.
    assert len(found.lines()) <= 20
    assert 19 + len(GROUP_KINDS) - 1 <= 25


def test_response_tokens_that_are_nowhere_known():
    found = facts(log([("g", [0.0], {"response_tokens": None})]))
    assert found.response_tokens is None
