from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from logs import Described, described_logs, log, rows, steps

from workbench.errors import LogError, ParameterError
from workbench.log.schema import validate
from workbench.log.steps import Steps

# In canonical order: a/t0 (2 steps), a/t1 (1), b/t2 (3).
THREE: Described = {
    "a": {"t0": [("s0", "x", 1.0), ("s1", "y", 2.0)], "t1": [("s0", "x", 4.0)]},
    "b": {"t2": [("s0", "x", 8.0), ("s2", "y", 16.0), ("s2", "z", -32.0)]},
}


def test_arrays_of_a_small_log() -> None:
    found = steps(THREE)
    assert found.row.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.group.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.trajectory.tolist() == [0, 0, 1, 2, 2, 2]
    assert found.step_index.tolist() == [0, 1, 0, 0, 1, 2]
    assert found.reward.tolist() == [1.0, 2.0, 4.0, 8.0, 16.0, -32.0]
    assert (len(found), found.trajectories, found.groups) == (6, 3, 2)
    assert found.group_start.tolist() == [0, 3, 6]
    assert found.trajectory_start.tolist() == [0, 2, 3, 6]
    assert found.trajectory_group.tolist() == [0, 0, 1]


def test_arrays_have_the_declared_types() -> None:
    found = steps(THREE)
    for name in ("row", "group", "trajectory", "step_index", "group_start", "trajectory_start"):
        assert getattr(found, name).dtype == np.int64, name
    for name in ("reward", "episode_reward", "copies"):
        assert getattr(found, name).dtype == np.float64, name
    for name in ("counted", "invalid_action"):
        assert getattr(found, name).dtype == np.bool_, name


def test_episode_rewards_are_undiscounted_sums() -> None:
    # 1 + 2, 4, and 8 + 16 - 32.
    assert steps(THREE).episode_reward.tolist() == [3.0, 4.0, -8.0]


def test_one_step_is_a_log() -> None:
    found = steps({"g": {"t": [("s", "x", 0.5)]}})
    assert (len(found), found.trajectories, found.groups) == (1, 1, 1)
    assert found.group_start.tolist() == [0, 1]
    assert found.episode_reward.tolist() == [0.5]


def test_excluded_trajectories_are_not_among_the_steps() -> None:
    found = steps(THREE, reward=[1.0, None, 4.0, 8.0, 16.0, -32.0], note=list("abcdef"))
    # t0 is gone as a whole: the groups are still two, the trajectories are numbered from 0.
    assert found.row.tolist() == [2, 3, 4, 5]
    assert found.trajectory.tolist() == [0, 1, 1, 1]
    assert found.group.tolist() == [0, 1, 1, 1]
    assert found.group_start.tolist() == [0, 1, 4]
    assert found.reward.tolist() == [4.0, 8.0, 16.0, -32.0]
    assert found.episode_reward.tolist() == [4.0, -8.0]
    assert found.column("note").to_list() == ["c", "d", "e", "f"]
    assert found.log.height == 6


def test_a_group_without_a_scored_trajectory_has_no_number() -> None:
    found = steps(THREE, reward=[1.0, None, float("nan"), 8.0, 16.0, -32.0])
    assert found.groups == 1
    assert found.group.tolist() == [0, 0, 0]
    assert found.identity(0) == {"group_id": "b", "trajectory_id": "t2", "step_index": 0}


def test_a_log_of_which_nothing_can_be_scored_is_refused() -> None:
    frame = log(THREE, reward=[None, 0.0, float("inf"), 0.0, None, 0.0])
    with pytest.raises(LogError) as caught:
        Steps.from_log(frame)
    assert [str(problem) for problem in caught.value.problems] == [
        "reward: every trajectory is excluded: reward is not finite at step 0; "
        "reward is null at step 0; reward is null at step 1. "
        "Hint: without rewards no credit can be given; see `workbench facts`"
    ]


@settings(deadline=None, max_examples=60)
@given(described_logs())
def test_arrays_are_aligned_with_the_log(described: Described) -> None:
    frame = rows(described, note=list(range(rows(described).height)))
    # Every fifth row has no reward, so trajectories are missing here and there.
    frame = frame.with_columns(reward=pl.when(pl.col("note") % 5 != 4).then("reward"))
    whole = validate(frame).log
    scored = whole.filter(pl.col("excluded").is_null())
    if scored.is_empty():
        with pytest.raises(LogError):
            Steps.from_log(whole)
        return
    found = Steps.from_log(whole)
    assert found.column("note").to_list() == scored["note"].to_list()
    assert found.reward.tolist() == scored["reward"].to_list()
    assert found.step_index.tolist() == scored["step_index"].to_list()
    for codes, name in ((found.group, "group_id"), (found.trajectory, "trajectory_id")):
        numbers = {label: n for n, label in enumerate(scored[name].unique(maintain_order=True))}
        assert codes.tolist() == [numbers[label] for label in scored[name]]
    for step in range(len(found)):
        identity = found.identity(step)
        assert found.find(identity["trajectory_id"], identity["step_index"]) == step
    sums = scored.group_by("trajectory_id", maintain_order=True).agg(pl.col("reward").sum())
    assert found.episode_reward.tolist() == sums["reward"].to_list()


def test_flags_and_counts_are_aligned() -> None:
    found = steps(
        THREE,
        reward=[1.0, None, 4.0, 8.0, 16.0, -32.0],
        copies=[1, 2, 3, 4, 5, 6],
        valid_action=[True, True, False, None, True, False],
        in_group_statistics=[True, True, False, True, True, True],
    )
    assert found.copies.tolist() == [3.0, 4.0, 5.0, 6.0]
    assert found.invalid_action.tolist() == [True, False, False, True]
    assert found.counted.tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("state_key", pl.String),
        ("success", pl.Boolean),
        ("prompt_ids", pl.List(pl.Int32)),
        ("aux_reward_style", pl.Float64),
        ("zebra", pl.Null),
    ],
)
def test_a_column_that_the_log_does_not_have_is_null_and_of_its_type(name: str, dtype: Any) -> None:
    found = steps(THREE).column(name)
    assert found.name == name
    assert found.dtype == dtype
    assert found.to_list() == [None] * 6


def test_a_trajectory_has_its_first_value_that_is_not_null() -> None:
    found = steps(THREE, success=[None, True, None, False, None, None])
    assert found.of_trajectory("success").to_list() == [True, None, False]
    assert steps(THREE).of_trajectory("success").to_list() == [None, None, None]
    assert steps(THREE).of_trajectory("success").dtype == pl.Boolean


def test_a_step_is_found_by_its_ids() -> None:
    found = steps(THREE, reward=[1.0, None, 4.0, 8.0, 16.0, -32.0])
    assert found.find("t1", 0) == 0
    assert found.find("t2", 2) == 3
    assert found.identity(3) == {"group_id": "b", "trajectory_id": "t2", "step_index": 2}


@pytest.mark.parametrize(
    ("trajectory_id", "step_index", "message"),
    [
        ("t9", 0, "no trajectory 't9' in the log; it has ['t0', 't1', 't2'] …"),
        ("1", 0, "no trajectory '1' in the log; it has ['t1'] …"),
        ("t2", 3, "trajectory 't2' has steps 0 to 2, not 3"),
        ("t2", -1, "trajectory 't2' has steps 0 to 2, not -1"),
        ("t0", 0, "trajectory 't0' is excluded: reward is null at step 1"),
    ],
)
def test_a_step_that_is_not_there_is_refused_with_what_is(
    trajectory_id: str, step_index: int, message: str
) -> None:
    found = steps(THREE, reward=[1.0, None, 4.0, 8.0, 16.0, -32.0])
    with pytest.raises(ParameterError) as caught:
        found.find(trajectory_id, step_index)
    assert str(caught.value) == message


def one_step_each(*batches: tuple[str | None, int | None]) -> Steps:
    """Groups g0, g1 and so on of one trajectory of one step, with the run and update of each."""
    described = {f"g{k}": {f"t{k}": [("s", "go", 1.0)]} for k in range(len(batches))}
    runs = pl.Series([run for run, _ in batches], dtype=pl.String)
    updates = pl.Series([update for _, update in batches], dtype=pl.Int64)
    return steps(described, run_id=runs, train_step=updates)


def test_a_log_without_updates_is_one_batch() -> None:
    of_two_runs = one_step_each(("r", None), ("s", None))
    for found in (steps(THREE), of_two_runs):
        assert not found.has_updates
        assert found.batch.tolist() == [0] * len(found)
        assert found.batch.dtype == np.int64
        assert (found.batches, found.batch_name(0)) == (1, "the whole log")


def test_batches_are_runs_and_updates_in_order_of_appearance() -> None:
    found = one_step_each(("r", 7), ("r", 3), ("s", 7), ("r", 7))
    assert found.batch.tolist() == found.group_batch.tolist() == [0, 1, 2, 0]
    assert found.batches == 3
    names = [found.batch_name(batch) for batch in range(3)]
    assert names == ["run r, update 7", "run r, update 3", "run s, update 7"]


def test_a_run_or_an_update_that_is_null_is_one_of_its_own() -> None:
    found = one_step_each((None, 1), ("r", 1), ("r", None), (None, 1), ("r", None))
    assert found.batch.tolist() == [0, 1, 2, 0, 2]
    names = [found.batch_name(batch) for batch in range(3)]
    assert names == ["update 1", "run r, update 1", "run r, no update named"]


def test_a_group_is_in_the_batch_of_the_first_run_and_update_that_it_names() -> None:
    # Trajectories t0 (two steps) and t1 are of group a, t2 of b.
    runs = [None, None, "r", "s", "s", "s"]
    found = steps(THREE, run_id=runs, train_step=[None, None, 4, 4, 4, 4])
    assert [found.batch_name(batch) for batch in found.batch] == [
        *["run r, update 4"] * 3,
        *["run s, update 4"] * 3,
    ]
    mixed = steps(THREE, run_id=["r", "r", "s", "r", "r", "r"], train_step=4)
    assert mixed.batch.tolist() == [0] * 6


def test_excluded_trajectories_name_no_batch() -> None:
    rewards = [1.0, 2.0, 4.0, None, 16.0, -32.0]
    found = steps(THREE, reward=rewards, train_step=[None, None, None, 1, 1, 1])
    assert not found.has_updates
