"""Situations that people of this field reported in public, each from its file to the right value.

The inputs are in `samples_cases`.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from places import ROOT

import workbench
from workbench.errors import LogError
from workbench.readers import import_log
from workbench.workspace.opened import OpenedLog

CASES = ROOT / "tests/samples_cases"


def advantages(*names: str, method: str = "grpo", **options: Any) -> dict[str, list[float]]:
    """Trajectory -> the advantages of its steps."""
    imported = import_log([CASES / name for name in names], **options)
    space = OpenedLog.of_import(imported).space("tfidf")
    table = workbench.score(space, method).table()
    rows = table.group_by("trajectory_id", maintain_order=True).agg("advantage")
    return dict(rows.iter_rows())


def firsts(found: dict[str, list[float]]) -> list[float]:
    """The first step's advantage of each trajectory."""
    return [values[0] for values in found.values()]


def near(*values: float | None) -> Any:
    return pytest.approx(list(values), abs=1e-4)


# Who votes and who trains


@pytest.mark.parametrize("name", ["top", "nested"])
def test_a_rollout_that_its_trainer_masks_has_no_vote_and_no_part_in_the_loss(name: str):
    # Of 1, 0, 0: mean 1/3, sample deviation .57735, so 2/3 / .57735 = 1.1547 and -.5774.
    file = f"gym_mask_sample/{name}.jsonl"
    assert firsts(advantages(file))[:3] == near(1.1547, -0.57735, -0.57735)
    imported = import_log([CASES / file])
    log, report = imported.validated.log, imported.report
    assert log["in_group_statistics"].to_list() == [True, True, True, False]
    assert log["gradient_mask"].to_list() == [True, True, True, False]
    assert report.masked == 1
    assert "masked in the log    1 trajectory" in str(report)
    if name == "top":
        assert log["failure_kind"].to_list() == [None, None, None, "sandbox_lost"]


def test_a_masked_rollout_counts_and_trains_where_the_user_keeps_it():
    # Of 1, 0, 0, 0: mean .25, sample deviation .5, so 1.5 and -.5.
    file = "gym_mask_sample/top.jsonl"
    assert firsts(advantages(file, keep_masked=True)) == near(1.5, -0.5, -0.5, -0.5)
    imported = import_log([CASES / file], keep_masked=True)
    assert imported.validated.log["gradient_mask"].all()
    assert (imported.report.masked, imported.report.kept_masked) == (0, 1)


def test_an_aborted_rollout_without_a_reward_has_no_number_and_is_never_0():
    # Over 1, 0, 0: 1.1547 and -.5774.
    found = advantages("aborted_none/chat.jsonl")
    assert firsts(found)[:3] == near(1.1547, -0.57735, -0.57735)
    assert found["q/3"] == [None]


# Groups


def test_results_of_two_agents_in_one_folder_are_groups_of_their_own():
    # Within strong (mean .75, deviation .5): .5 .5 .5 -1.5; within weak (.25): -.5 -.5 -.5 1.5.
    found = advantages("two_runs_one_folder/runs")
    assert firsts(found) == near(0.5, 0.5, 0.5, -1.5, -0.5, -0.5, -0.5, 1.5)
    log = import_log([CASES / "two_runs_one_folder/runs"]).validated.log
    means = log.group_by("group_id", maintain_order=True).agg(pl.col("reward").sum() / 4)
    assert dict(means.iter_rows()) == {"strong/7": 0.75, "weak/7": 0.25}


@pytest.mark.parametrize("name", ["two_agents_harbor", "two_runs_tau_bench", "two_models_gym"])
def test_two_agents_that_are_each_always_alike_teach_nothing(name: str):
    # The strong one always succeeds, the weak one never: no group has a difference.
    assert firsts(advantages(name)) == near(0, 0, 0, 0)
    report = import_log([CASES / name]).report
    assert dict(report.rollouts) == {2: 2}
    assert any("are kept apart" in notice for notice in report.notices)


def test_rollouts_without_a_number_of_their_task_are_grouped_by_their_input():
    # Of 1, 0, 0, 1: mean .5, sample deviation .57735, so ±.866.
    file = "gym_no_index/rollouts.jsonl"
    assert firsts(advantages(file)) == near(0.866, -0.866, -0.866, 0.866)
    report = import_log([CASES / file]).report
    assert dict(report.reconstructed) == {"groups": 1.0}
    mapping = {"columns": {"group_id": "response.object"}}
    log = import_log([CASES / file], mapping=mapping).validated.log
    assert set(log["group_id"]) == {"response"}


def test_groups_of_uneven_sizes_are_each_taken_by_themselves():
    # a: 1 3 1 3, mean 2, deviation 1.1547; b: all alike; c: 0 0 0 2, mean .5, deviation 1;
    # d: alone.
    found = firsts(advantages("uneven_groups/chat.jsonl"))
    assert found[:4] == near(-0.866, 0.866, -0.866, 0.866)
    assert found[4:] == near(0, 0, 0, -0.5, -0.5, -0.5, 1.5, 0)


@pytest.mark.parametrize("name", ["completions_00001.parquet", "1.jsonl"])
def test_pictures_that_the_log_does_not_tell_apart_are_said_to_merge_groups(name: str):
    # A has 1 1 1 0 and B 0 0 0 1; as one group of eight, mean .5, deviation .53452: ±.935.
    file = f"same_text_other_image/{name}"
    assert firsts(advantages(file)) == near(*[0.935412] * 3, *[-0.935412] * 4, 0.935412)
    notices = import_log([CASES / file]).report.notices
    assert any("an image that the log does not tell from others" in notice for notice in notices)


def test_unequal_advantages_of_equal_rewards_contradict_the_groups():
    # The trainer gave the three winners of A .5 and the winner of B 1.5.
    imported = import_log([CASES / "same_text_other_image/completions_00001.parquet"])
    space = OpenedLog.of_import(imported).space("tfidf")
    found = workbench.audit(workbench.score(space, "grpo"), controls=()).findings
    (merged,) = [finding for finding in found if finding.name == "merged-groups"]
    assert "equal rewards have different advantages in 1" in merged.text


# Rewards


def test_null_rewards_of_one_function_leave_those_of_the_other():
    # Sums 1, 0, 0, 1 and none: mean .5, sample deviation .57735, so ±.866; the last has no number.
    found = firsts(advantages("trl_none_rewards/completions_00001.parquet"))
    assert found[:4] == near(0.866, -0.866, -0.866, 0.866)
    assert found[4] is None


@pytest.mark.parametrize("number", [2, 3])
def test_whole_numbers_beside_a_column_of_nulls_are_the_rewards(number: int):
    # 1, 0, 0, 1 again.
    found = firsts(advantages(f"trl_none_rewards/completions_0000{number}.parquet"))
    assert found == near(0.866, -0.866, -0.866, 0.866)


def test_rewards_of_turns_are_kept_and_add_up_to_the_return():
    # Step rewards -.2 1, 0 0, -.2 0, 0 1: returns-to-go .8 0 -.2 1 at the first step and 1 0 0 1
    # at the second. Means .4 and .5; mc-q without a deviation would be the difference.
    log = import_log([CASES / "turn_rewards_kept/episodes.jsonl"]).validated.log
    assert log["reward"].to_list() == [-0.2, 1, 0, 0, -0.2, 0, 0, 1]
    returns = log.group_by("trajectory_id", maintain_order=True).agg(pl.col("reward").sum())
    assert returns["reward"].to_list() == near(0.8, 0, -0.2, 1)
    # GRPO on the sums: mean .4, deviation sqrt((.16 + .16 + .36 + .36) / 3) = .58878.
    found = firsts(advantages("turn_rewards_kept/episodes.jsonl"))
    assert found == near(0.67936, -0.67936, -1.01905, 1.01905)


# Steps and tokens


def test_every_step_keeps_its_own_mask():
    # Rewards 1 and 0: mean .5, sample deviation .70711, so ±.70711 on every step.
    found = advantages("stepwise_own_mask/log.parquet")
    assert found == {"t0": near(*[0.70711] * 3), "t1": near(*[-0.70711] * 2)}
    log = import_log([CASES / "stepwise_own_mask/log.parquet"]).validated.log
    # 5, 1, 4 and 2, 7 tokens, of which the second is a tool's where there are 4 or more.
    assert [sum(mask) for mask in log["response_mask"]] == [4, 1, 3, 2, 6]


def test_a_prompt_that_does_not_continue_the_one_before_changes_no_credit():
    # Rewards 1, 0, 0 on the last steps: 1.1547, -.5774, -.5774 on both steps of each.
    found = advantages("dropped_separator/log.parquet")
    assert found == {
        "t0": near(1.1547, 1.1547),
        "t1": near(-0.57735, -0.57735),
        "t2": near(-0.57735, -0.57735),
    }


def test_parallel_calls_with_one_id_are_all_kept_in_their_order():
    # Rewards 1 0 0 1: ±.866.
    file = "parallel_same_id/chat.jsonl"
    assert firsts(advantages(file)) == near(0.866, -0.866, -0.866, 0.866)
    log = import_log([CASES / file]).validated.log.filter(pl.col("step_index") == 0)
    assert [action.count("search") for action in log["action"]] == [2, 2, 1, 2]
    assert log["action"][0] == log["action"][3] != log["action"][1]


# Half characters


@pytest.mark.parametrize(
    ("name", "halves"),
    [
        ("traces.jsonl", 2),
        ("gym.jsonl", 2),
        ("chat.jsonl", 6),
        ("chat_id.jsonl", 8),
        ("steps.jsonl", 2),
        ("results.jsonl", 2),
        ("log.json", 2),
    ],
)
def test_half_a_character_is_replaced_and_counted_in_every_reader(name: str, halves: int):
    # Two rollouts each: one half in the arguments of a call (chat: also in the tool's answer and
    # the last message; chat_id: also in the id). Rewards 0 and 1: ±.70711.
    imported = import_log([CASES / "lone_surrogate" / name])
    log = imported.validated.log
    text = "".join(str(row) for row in log.select(pl.col(pl.String)).rows())
    assert "\ufffd" in text or r"\ufffd" in text
    text.encode()  # no half is left
    assert "\\ud83c" not in text
    # A notice names one place a record.
    (notice,) = [text for text in imported.report.notices if "U+FFFD" in text]
    shown = notice.count(name)
    assert halves == shown or notice.endswith(f" and {halves - shown} more")
    found = firsts(advantages(f"lone_surrogate/{name}"))
    assert sorted(found)[0] == pytest.approx(-0.70711, abs=1e-4)
    assert set(log["reward"]) == {0.0, 1.0}


# Refusals


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("short", "logprobs of step 0 has 3 values for 4 response ids"),
        ("null", "logprobs of step 0 is not a list of numbers: value 1 of 4 is null"),
    ],
)
def test_a_list_that_does_not_fit_is_named_with_its_place(name: str, says: str):
    with pytest.raises(LogError) as caught:
        import_log([CASES / f"logprobs_missing/{name}.jsonl"])
    assert f"{says}, at {CASES / f'logprobs_missing/{name}.jsonl'}:2" in str(caught.value)


def test_a_rollout_without_logprobs_is_read():
    # Rewards 1 and 0: ±.70711.
    assert firsts(advantages("logprobs_missing/none.jsonl")) == near(0.70711, -0.70711)


def test_a_group_without_its_broken_rollouts_is_reported_as_biased():
    file = CASES / "verl_last_output_only/5.jsonl"
    with pytest.raises(LogError, match="the outputs of a session are"):
        import_log([file])
    report = import_log([file], skip_bad=True).report
    # Three of the four sessions of the one group lack outputs.
    assert report.trajectories == 1
    (notice,) = [text for text in report.notices if "biased remainder" in text]
    assert notice.startswith("without the 3 broken records what is left is a biased remainder")
    assert "of 1 of 1 group rollouts are missing" in notice


def test_sampled_tokens_are_counted_by_the_mask():
    # 9 and 4 sampled tokens, rewards 1 and 0: baseline 9 / 13, so 4 / 13 and -9 / 13.
    file = "sampled_tokens_not_span/log.parquet"
    log = import_log([CASES / file]).validated.log
    assert log["response_tokens"].to_list() == [9, 4]
    assert firsts(advantages(file, method="opo")) == near(0.307692, -0.692308)
