"""Traces of verifiers v1 and prime-rl as steps."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import act, log_of, written
from polars.testing import assert_frame_equal
from samples_of import (
    SAMPLES,
    assert_canonical_advantages,
    assert_canonical_tokens,
    assert_nine_steps,
    lines,
)

from workbench.errors import LogError
from workbench.readers import import_log, read

TRACES = SAMPLES / "verifiers/prime_traces.jsonl"


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([TRACES]), "verifiers", action=act)


def test_tokens_of_the_sample_are_the_canonical_ones():
    assert_canonical_tokens(log_of(TRACES))


def test_the_trainer_s_own_advantages_are_logged():
    assert_canonical_advantages(log_of(TRACES), 1e-6)


def test_advantages_of_tokens_lie_on_the_sampled_ones():
    log = log_of(TRACES)
    assert log["logged_token_advantage"].list.len().equals(log["response_ids"].list.len())
    assert log["logged_token_advantage"][0].to_list() == pytest.approx([0.866024] * 3)


def test_every_row_of_the_sample_leads_back_to_its_line():
    log = log_of(TRACES)
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert set(log["source_file"]) == {str(TRACES)}


def test_samples_of_the_platform_are_the_episodes_that_they_hold(tmp_path: Path):
    path = SAMPLES / "verifiers/prime_samples.parquet"
    places = ["source_file"]
    assert_frame_equal(log_of(path).drop(places), log_of(TRACES).drop(places))
    # An episode that was too large for the platform has no graph there.
    rows = pl.read_parquet(path)
    first = pl.int_range(pl.len()) == 0
    bare = pl.when(first).then(pl.lit("{}")).otherwise(pl.col("info")).alias("info")
    rows.with_columns(bare).write_parquet(tmp_path / "samples.parquet")
    report = import_log([tmp_path / "samples.parquet"]).report
    assert report.trajectories == 3
    assert "a large episode is sent as a summary without its graph" in str(report)
    assert f"{tmp_path}/samples.parquet row 1" in str(report)


def episode(**changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(lines("verifiers")[1])
    made["traces"][0] |= changes
    return made


def test_branches_keep_the_order_of_sampling_and_each_its_own_context(tmp_path: Path):
    made = episode()
    nodes = made["traces"][0]["nodes"]
    # A second branch leaves the first observation: another answer to it, sampled last.
    other = nodes[1] | {"message": {"role": "assistant", "content": "look elsewhere"}}
    nodes.append(other)
    # A third one begins at a root of its own, as after a compaction.
    nodes.append({"message": {"role": "user", "content": "summary"}, "token_ids": [7], "mask": [0]})
    last = {"message": {"role": "assistant", "content": "go on"}, "sampled": True}
    nodes.append(last | {"parent": 7, "token_ids": [8], "mask": [1]})
    imported = import_log([written(tmp_path, [made])])
    log = imported.validated.log
    assert log["action"].to_list()[3:] == ["look elsewhere", "go on"]
    assert log["observation"].to_list()[3:] == [log["observation"][0], "summary"]
    assert log["prompt_ids"][3].to_list() == log["prompt_ids"][0].to_list()
    assert log["prompt_ids"][4].to_list() == [7]
    assert log["next_observation"].to_list()[3:] == [None, None]
    assert set(log["branches"]) == {3}
    assert log["reward"].to_list() == [0.0] * 4 + [1.0]
    assert "several branches" in str(imported.report)


def test_a_compaction_that_led_nowhere_takes_no_part_in_the_loss(tmp_path: Path):
    for resumed in (False, True):
        made = episode()
        nodes = made["traces"][0]["nodes"]
        attempt = {"message": {"role": "assistant", "content": "summary"}, "sampled": True}
        attempt |= {"parent": 0, "token_ids": [8], "mask": [1]}
        attempt["semantic_parents"] = [{"node": 1, "type": "compaction_attempt"}]
        nodes.append(attempt)
        if resumed:
            nodes[5]["semantic_parents"] = [{"node": 6, "type": "compaction"}]
        log = log_of(written(tmp_path, [made]))
        assert log["gradient_mask"].to_list() == [True, True, True, resumed]


def test_agents_that_are_not_trained_are_left_out_and_stated(tmp_path: Path):
    made = episode()
    judge = copy.deepcopy(made["traces"][0])
    judge |= {"id": "judge", "agent": {"name": "judge", "trainable": False}}
    made["traces"].append(judge)
    report = import_log([written(tmp_path, [made])]).report
    assert report.trajectories == 1
    assert "agent: is not trained" in str(report)
    assert "log.jsonl:1 trace 1" in str(report)


def test_failed_and_unscored_traces_are_excluded_not_failures(tmp_path: Path):
    failed = episode(id="x", ok=False, errors=[{"type": "SandboxError", "message": "gone"}])
    unscored = episode(id="y", rewards={"correct": None})
    partly = episode(
        id="z", rewards={"correct": None, "form": {"score": 0.5, "weight": 0.2}}, ok=True
    )
    imported = import_log([written(tmp_path, [failed, unscored, partly])])
    log = imported.validated.log.unique("trajectory_id").sort("trajectory_id")
    assert log["excluded"].to_list() == [
        "the rollout failed (SandboxError)",
        "reward is null at step 0",
        None,
    ]
    last = imported.validated.log.filter(pl.col("trajectory_id") == "z")
    assert last["reward"].to_list() == pytest.approx([0.0, 0.0, 0.1])
    assert last["aux_reward_form"].to_list() == [None, None, 0.5]


def test_limits_truncate_and_an_end_does_not(tmp_path: Path):
    calls = [{"node": 5, "finish_reason": "length", "model": "m"}]
    changes: list[dict[str, Any]] = [
        {"id": "a", "stop_condition": "max_turns"},
        {"id": "b", "stop_condition": "done"},
        {"id": "c", "stop_condition": "done", "calls": calls},
    ]
    log = log_of(written(tmp_path, [episode(**change) for change in changes]))
    ends = log.filter(pl.col("truncated").is_not_null())
    assert ends["truncated"].to_list() == [True, False, True]
    assert ends["model"].to_list() == [None, None, "m"]


def test_an_episode_without_a_group_is_grouped_by_its_task(tmp_path: Path):
    made = episode()
    del made["group"]
    assert log_of(written(tmp_path, [made]))["group_id"][0] == "step12/find-key/find-key"
    del made["traces"][0]["task"]["key"]
    with pytest.raises(LogError, match=r"no group, and its task no key.*:1"):
        read([written(tmp_path, [made])])


def test_a_group_dispatched_over_two_steps_is_of_the_step_that_trained_on_it(tmp_path: Path):
    early, late = episode(id="early"), episode(id="late")
    late["run"]["work"]["step"] = 13
    log = log_of(written(tmp_path / "step_14/train/all", [early, late], "traces.jsonl"))
    assert set(log["train_step"]) == {14}
    assert set(log["dispatch_step"]) == {12, 13}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nodes": None}, "nodes is not a list"),
        ({"nodes": [{"message": {}}]}, "a message without a role"),
        ({"id": None}, "the trace has no id"),
        ({"rewards": {"r": {"score": "high"}}}, "reward 'r' is not a number"),
    ],
)
def test_a_malformed_trace_is_named_with_its_line(
    tmp_path: Path, change: dict[str, Any], says: str
):
    path = written(tmp_path, [episode(), episode(**change)])
    with pytest.raises(LogError, match=re.escape(says)) as caught:
        read([path])
    assert f"{path}:2" in str(caught.value)
    assert read([path], skip_bad=True).frame.height == 3


@pytest.mark.parametrize(
    ("node", "change", "says"),
    [
        (1, {"parent": 4}, "the parent of node 1 is 4, not an earlier node"),
        (1, {"parent": 1}, "the parent of node 1 is 1, not an earlier node"),
        (1, {"mask": [True]}, "mask of node 1 has 1 values for 4 tokens"),
        (1, {"logprobs": [0.0]}, "logprobs of node 1 has 1 values for 3 sampled tokens"),
        (1, {"token_ids": ["a"]}, "is not a list of token ids"),
    ],
)
def test_a_malformed_node_is_named(tmp_path: Path, node: int, change: dict[str, Any], says: str):
    made = episode()
    made["traces"][0]["nodes"][node] |= change
    with pytest.raises(LogError, match=re.escape(says)):
        read([written(tmp_path, [made])])


def test_traces_without_tokens_have_none(tmp_path: Path):
    made = episode()
    for node in made["traces"][0]["nodes"]:
        for key in ("token_ids", "mask", "logprobs", "advantages"):
            node.pop(key, None)
    imported = import_log([written(tmp_path, [made])])
    assert imported.report.missing_token_ids == 1.0
    assert "logged_advantage" not in imported.validated.log.columns
