"""ATIF trajectories and Harbor job folders as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import act, log_of, problems_of, write_json
from samples_of import SAMPLES, assert_canonical_tokens, assert_nine_steps

from workbench.errors import ParameterError
from workbench.readers import import_log, read


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "atif/harbor_job"]),
        "atif",
        action=act,
        group="find-key",
        trajectory="find-key__{n}",
    )


def test_tokens_of_the_sample_are_the_canonical_ones():
    assert_canonical_tokens(log_of(SAMPLES / "atif/harbor_job"))


def test_every_step_leads_back_to_its_place():
    harbor = log_of(SAMPLES / "atif/harbor_job")
    # Step 1 of each trajectory is the user's.
    assert harbor["source_line"].to_list() == [2, 3, 2, 3, 4, 2, 3, 2, 3]
    first = SAMPLES / "atif/harbor_job/find-key__0/agent/trajectory.json"
    assert harbor["source_file"][0] == str(first)


def atif(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    numbered = [{"step_id": at, **step} for at, step in enumerate(steps, start=1)]
    agent = {"name": "demo", "version": "1", "model_name": "m"}
    return {"schema_version": "ATIF-v1.8", "agent": agent, "steps": numbered} | fields


def told(text: str) -> dict[str, Any]:
    return {"source": "user", "message": text}


def said(text: str, **fields: Any) -> dict[str, Any]:
    return {"source": "agent", "message": text, **fields}


def result(trial: str, **fields: Any) -> dict[str, Any]:
    verdict = {"rewards": {"reward": 1.0}}
    return {"task_name": "t", "trial_name": trial, "verifier_result": verdict} | fields


def delegating(**reference: Any) -> dict[str, Any]:
    results = [{"content": "found", "subagent_trajectory_ref": [reference]}]
    return said("ask", observation={"results": results})


def test_copied_context_and_steps_without_a_model_are_history(tmp_path: Path):
    trial = atif(
        told("go"),
        said("old", is_copied_context=True),
        told("again"),
        said("fixed", llm_call_count=0),
        told("now"),
        said("mine"),
    )
    write_json(tmp_path / "a/result.json", result("a"))
    log = log_of(write_json(tmp_path / "a/agent/trajectory.json", trial).parent.parent)
    assert log["action"].to_list() == ["mine"]
    assert log["observation"].to_list() == ["now"]
    assert log["source_line"].to_list() == [6]


def test_continuations_are_read_once_as_one_trajectory(tmp_path: Path):
    write_json(tmp_path / "a/result.json", result("a"))
    first = atif(told("go"), said("one"), continued_trajectory_ref="trajectory.cont-1.json")
    copied = told("go") | {"is_copied_context": True}
    second = atif(copied, told("go on"), said("two"))
    write_json(tmp_path / "a/agent/trajectory.json", first)
    write_json(tmp_path / "a/agent/trajectory.cont-1.json", second)
    log = log_of(tmp_path)
    assert log["action"].to_list() == ["one", "two"]
    assert log["reward"].to_list() == [0.0, 1.0]
    assert [Path(name).name for name in log["source_file"]] == [
        "trajectory.json",
        "trajectory.cont-1.json",
    ]


def test_sub_agents_are_trajectories_of_their_own_that_know_who_called(tmp_path: Path):
    inner = atif(told("find"), said("looking"), said("deeper"), trajectory_id="search")
    outer = atif(
        told("go"),
        said("think"),
        delegating(trajectory_id="search"),
        said("done"),
        subagent_trajectories=[inner],
    )
    write_json(tmp_path / "a/result.json", result("a"))
    write_json(tmp_path / "a/agent/trajectory.json", outer)
    log = log_of(tmp_path)
    nodes = dict(zip(log["node_id"], log["parent_id"], strict=True))
    assert nodes == {
        "a:main:0": None,
        "a:main:1": "a:main:0",
        "a:main:2": "a:main:1",
        "a:main/search:0": "a:main:1",
        "a:main/search:1": "a:main/search:0",
    }
    assert set(log["tree_id"]) == {"a"}
    assert log.filter(pl.col("agent_id") == "main/search")["reward"].to_list() == [None, None]
    assert log.filter(pl.col("agent_id") == "main")["reward"].to_list() == [0.0, 0.0, 1.0]


def test_sub_agents_in_files_beside_are_read_where_they_are_called(tmp_path: Path):
    write_json(tmp_path / "a/result.json", result("a"))
    write_json(
        tmp_path / "a/agent/trajectory.json",
        atif(told("x"), delegating(trajectory_path="sub.json")),
    )
    write_json(tmp_path / "a/agent/sub.json", atif(told("find"), said("looking")))
    log = log_of(tmp_path)
    assert log["trajectory_id"].to_list() == ["a", "a/main/sub"]


def test_a_circle_of_sub_agents_is_an_error_that_names_the_place(tmp_path: Path):
    write_json(tmp_path / "a/result.json", result("a"))
    main = write_json(
        tmp_path / "a/agent/trajectory.json",
        atif(told("x"), delegating(trajectory_path="one.json")),
    )
    write_json(
        tmp_path / "a/agent/one.json", atif(told("x"), delegating(trajectory_path="two.json"))
    )
    write_json(
        tmp_path / "a/agent/two.json", atif(told("x"), delegating(trajectory_path="one.json"))
    )
    text = problems_of(main)
    assert "sub-agents refer to each other in a circle" in text
    assert str(tmp_path / "a/agent/two.json") in text


def test_a_circle_of_continuations_is_an_error_that_names_the_place(tmp_path: Path):
    main = tmp_path / "a/agent/trajectory.json"
    write_json(main, atif(told("x"), said("y"), continued_trajectory_ref="trajectory.json"))
    assert f"refer to each other in a circle, at {main}" in problems_of(main)


def test_files_that_only_refer_to_each_other_are_an_error_that_names_them(tmp_path: Path):
    write_json(tmp_path / "b/result.json", result("b"))
    write_json(tmp_path / "b/agent/trajectory.json", atif(told("go"), said("fine")))
    for name, other in (("a", "b"), ("b", "a")):
        document = atif(told("x"), said("y"), continued_trajectory_ref=f"{other}.json")
        write_json(tmp_path / f"a/agent/{name}.json", document)
    text = problems_of(tmp_path)
    assert "in a circle, and none of them begins" in text
    assert f"{tmp_path}/a/agent/a.json, {tmp_path}/a/agent/b.json" in text


def test_what_the_simulated_user_did_is_left_out_and_said(tmp_path: Path):
    write_json(tmp_path / "a/result.json", result("a"))
    write_json(tmp_path / "a/agent/trajectory.json", atif(told("go"), said("mine")))
    write_json(tmp_path / "a/user-agent/trajectory.json", atif(told("go"), said("theirs")))
    imported = import_log([tmp_path])
    assert imported.validated.log["action"].to_list() == ["mine"]
    assert "is the simulated user's" in str(imported.report)


def test_trials_without_a_trajectory_or_a_verdict_are_stated(tmp_path: Path):
    error = {"exception_type": "AgentTimeoutError"}
    write_json(tmp_path / "a/result.json", result("a", exception_info=error, verifier_result=None))
    write_json(tmp_path / "b/result.json", result("b", exception_info=error, verifier_result=None))
    write_json(tmp_path / "b/agent/trajectory.json", atif(told("go"), said("one")))
    write_json(tmp_path / "c/result.json", result("c", reward_valid=False))
    write_json(tmp_path / "c/agent/trajectory.json", atif(told("go"), said("one")))
    imported = import_log([tmp_path])
    log = imported.validated.log
    assert log["reward"].to_list() == [None, None]
    assert log["finish_reason"].to_list() == ["AgentTimeoutError", None]
    assert f"{tmp_path}/a/result.json (AgentTimeoutError)" in str(imported.report)
    assert any("invalid" in notice for notice in imported.report.notices)


def test_token_ids_may_lie_in_the_result(tmp_path: Path):
    details = {
        "prompt_token_ids": [[1], [1, 2]],
        "completion_token_ids": [[2], [3, 4]],
        "logprobs": [[-0.5], [-0.25, -1.0]],
    }
    outcome = result("a", agent_result={"rollout_details": [details]})
    write_json(tmp_path / "a/result.json", outcome)
    write_json(tmp_path / "a/agent/trajectory.json", atif(told("go"), said("one"), said("two")))
    assert log_of(tmp_path)["response_ids"].to_list() == [[2], [3, 4]]
    assert log_of(tmp_path)["response_logprobs"].to_list() == [[-0.5], [-0.25, -1.0]]
    details["logprobs"] = [[-0.5]]
    write_json(tmp_path / "a/result.json", outcome)
    imported = import_log([tmp_path])
    assert imported.report.missing_token_ids == 1.0
    assert any("no logprobs for each step" in notice for notice in imported.report.notices)


def test_one_of_several_rewards_is_the_reward_and_the_others_are_kept(tmp_path: Path):
    rewards = {"speed": 0.5, "reward": 1.0}
    write_json(tmp_path / "a/result.json", result("a", verifier_result={"rewards": rewards}))
    path = write_json(tmp_path / "a/agent/trajectory.json", atif(told("go"), said("one")))
    log = log_of(path)
    assert (log["reward"][0], log["aux_reward_speed"][0]) == (1.0, 0.5)
    log = log_of(path, mapping={"columns": {"reward": "speed"}})
    assert (log["reward"][0], log["aux_reward_reward"][0]) == (0.5, 1.0)
    with pytest.raises(ParameterError, match="names the score 'cost'"):
        read([path], mapping={"columns": {"reward": "cost"}})
    with pytest.raises(ParameterError, match="fixed names"):
        read([path], mapping={"columns": {"group_id": "cost"}})


def test_steps_of_a_trial_in_several_steps_are_judged_one_by_one(tmp_path: Path):
    judged = [
        {"step_name": name, "verifier_result": {"rewards": {"reward": value}}}
        for name, value in (("build", 1.0), ("test", 0.0))
    ]
    write_json(tmp_path / "a/result.json", result("a", verifier_result=None, step_results=judged))
    for name in ("build", "test"):
        write_json(tmp_path / f"a/steps/{name}/agent/trajectory.json", atif(told("go"), said(name)))
    log = log_of(tmp_path)
    assert log["trajectory_id"].to_list() == ["a/build", "a/test"]
    assert log["reward"].to_list() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": ["agent"]}, "hold one of source ['agent']"),
        ({"step_id": "two"}, "step_id: is not a whole number"),
        ({"metrics": {"completion_tokens": float("nan")}}, "completion_tokens: is not a whole"),
        ({"metrics": {"logprobs": ["x"]}}, "logprobs: is not a list of numbers"),
    ],
)
def test_a_step_with_a_value_of_another_type_is_named(
    tmp_path: Path, change: dict[str, Any], says: str
):
    path = write_json(tmp_path / "a/agent/trajectory.json", atif(told("go"), said("ok") | change))
    text = problems_of(path)
    assert says in text
    assert str(path) in text
