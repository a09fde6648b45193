import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.log.facts import GROUP_KINDS, facts, group_table, length_histogram
from workbench.log.schema import validate

Described = Sequence[tuple[str, Sequence[float | None], dict[str, Any]]]


def log(trajectories: Described, **columns: Any) -> pl.DataFrame:
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
    assert found.success == {
        "rate": pytest.approx(6 / 9),
        "known": 9,
        "of": 9,
        "source": "episode reward",
    }
    assert found.mixed_outcome_groups == 1
    assert found.excluded == {"reward is null": 1}


def test_equal_rewards_that_are_neither_success_nor_failure() -> None:
    found = facts(log([("g", [0.5], {}), ("g", [0.25, 0.25], {})]))
    assert found.group_kinds["constant_reward"] == 1
    assert found.success == {"rate": None, "known": 0, "of": 2, "source": None}


def test_success_wins_over_the_reward() -> None:
    rows: Described = [("g", [0.5], {"success": False}), ("g", [0.5], {"success": False})]
    found = facts(log(rows))
    assert found.group_kinds["all_fail"] == 1
    assert found.success == {"rate": 0.0, "known": 2, "of": 2, "source": "success"}


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
    rows: Described = [("g", [0.0], {}), ("g", [0.0] * 3, {}), ("h", [0.0] * 5, {})]
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
    rows: Described = [
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


def test_a_table_of_groups():
    given = log(
        [
            ("a", [0.0, 1.0], {"task": "find"}),
            ("a", [0.0], {"task": "find"}),
            ("b", [None, 1.0], {"task": None}),
            ("b", [0.0] * 4, {"task": None}),
        ]
    )
    assert group_table(given).to_dicts() == [
        {
            "group_id": "a",
            "task": "find",
            "first_trajectory": "t0",
            "rollouts": 2,
            "scored": 2,
            "success_rate": 0.5,
            "mean_length": 1.5,
            "kind": "live",
        },
        {
            "group_id": "b",
            "task": None,
            "first_trajectory": "t2",
            "rollouts": 2,
            "scored": 1,
            "success_rate": 0.0,
            "mean_length": 3.0,
            "kind": "one_rollout",
        },
    ]
    assert group_table(given.drop("task"))["task"].to_list() == [None, None]


def test_groups_of_the_table_are_those_that_the_facts_count(shared: Path):
    real = validate(pl.read_parquet(shared / "data" / "webshop_grpo_dev.parquet")).log
    kinds = dict(group_table(real)["kind"].value_counts().iter_rows())
    assert kinds == {kind: n for kind, n in facts(real).group_kinds.items() if n}


def test_lengths_by_outcome():
    given = log([("g", [1.0], {}), ("g", [0.0], {}), ("h", [0.0] * 3, {}), ("h", [None] * 3, {})])
    assert length_histogram(given).rows() == [(1, 1, 1, 1, 0), (2, 2, 0, 0, 0), (3, 3, 0, 1, 1)]
    # Lengths 1 to 3 in at most two bins: 1 to 2 and 3 to 4.
    assert length_histogram(given, most=2).rows() == [(1, 2, 1, 1, 0), (3, 4, 0, 1, 1)]


def test_the_main_facts_in_a_sentence():
    rows: Described = [("g", [0.0, 1.0], {}), ("g", [0.0], {}), ("h", [1.0], {}), ("h", [1.0], {})]
    assert facts(log(rows)).sentence() == (
        "5 steps in 4 trajectories: 2 groups × 2 rollouts. 75.0 % succeed. 1 group is live, 1 dead."
    )
    uneven: Described = [("g", [0.5], {}), ("h", [0.25], {}), ("h", [None], {})]
    assert facts(log(uneven)).sentence() == (
        "3 steps in 3 trajectories: 2 groups of 1 to 2 rollouts. Success is not known. "
        "0 groups are live, 2 dead. 1 trajectory not scored."
    )
    assert facts(log([("g", [1.0], {})])).sentence().startswith("1 step in 1 trajectory: 1 group ")


def test_details_leave_out_what_the_sentence_says():
    labels = [label for label, _ in facts(log([("g", [1.0], {"response_tokens": 4})])).details()]
    assert "response tokens" in labels
    assert "success" not in labels


def test_mixed_outcomes_are_not_known_where_success_is_not() -> None:
    found = facts(log([("g", [0.5], {}), ("g", [0.25], {})]))
    assert found.mixed_outcome_groups is None
    assert "mixed outcomes        not known" in found.lines()
    assert json.loads(json.dumps(found.to_dict()))["mixed_outcome_groups"] is None


def test_missing_success_is_filled_from_rewards_that_are_outcomes() -> None:
    rows: Described = [
        ("g", [1.0], {"success": True}),
        ("g", [0.0], {}),
        ("g", [0.0], {}),
        ("g", [1.0], {}),
    ]
    found = facts(log(rows))
    # 2 of 4, not 1 of the 1 that says it.
    assert found.success == {
        "rate": 0.5,
        "known": 4,
        "of": 4,
        "source": "success, else episode reward",
    }
    assert found.mixed_outcome_groups == 1


def test_success_that_few_say_is_said_of_how_many() -> None:
    found = facts(log([("g", [0.7], {"success": True}), ("g", [0.2], {}), ("g", [0.4], {})]))
    assert found.success == {"rate": 1.0, "known": 1, "of": 3, "source": "success"}
    lines = "\n".join(found.lines())
    assert "100.0 % of 1 trajectory (by success); not known of 2 of 3" in lines
    assert "mixed outcomes        at least 0 groups" in lines
    assert "100.0 % of the 1 of 3 trajectories whose success is known succeed" in found.sentence()


def test_the_share_of_truncated_counts_trajectories_of_unknown_ends() -> None:
    rows: Described = [("g", [0.0], {"truncated": True}), *[("g", [1.0], {})] * 3]
    found = facts(log(rows))
    # 1 of 4, not 1 of 1.
    assert (found.truncated, found.truncated_known) == (0.25, 1)
    assert "at least 25.0 % of the trajectories; 3 of 4 do not say" in "\n".join(found.lines())
