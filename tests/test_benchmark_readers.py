"""Files of benchmarks and of the formats that several of them share, as step logs."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.errors import LogError, MissingDependencyError, ParameterError
from workbench.readers import import_log, read
from workbench.readers.scores import score_number

SAMPLES = Path(__file__).parent / "samples"
STEPS = pl.read_parquet(SAMPLES / "canonical_steps.parquet").sort("trajectory_id", "step_index")
MINARI = SAMPLES / "minari"


def call(command: str) -> str:
    return f'{{"arguments": {{"command": "{command}"}}, "name": "act"}}'


def log_of(path: Path, **options: Any) -> pl.DataFrame:
    return import_log([path], **options).validated.log


def problems_of(path: Path) -> str:
    with pytest.raises(LogError) as caught:
        import_log([path])
    return str(caught.value)


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "form", "group", "trajectory", "action"),
    [
        ("tau2_results.json", "tau2", "find-key", "s{n}", call),
        ("inspect/find.eval", "inspect", "find/mockllm/model/find-key", None, call),
        ("inspect/find.json", "inspect", "find/mockllm/model/find-key", None, call),
        ("scout", "scout", "find-key-env/find-key/demo-7b", "tr-{n}", str),
        ("nemo_gym", "nemo-gym", "task-0", "task-0/{n}", call),
        ("swe_agent", "swe-agent", "find-key", "find-key/run{n}", str),
        ("harbor_job", "atif", "find-key", "find-key__{n}", call),
        ("minari", "minari", "seed 7", "seed 7/episode_{n}", str),
    ],
)
def test_every_sample_becomes_the_nine_canonical_steps(
    name: str, form: str, group: str, trajectory: str | None, action: Callable[[str], str]
):
    if form == "minari":
        pytest.importorskip("h5py")
    imported = import_log([SAMPLES / name])
    log = imported.validated.log
    assert imported.report.format == form
    assert set(log["group_id"]) == {group}
    assert log["observation"].to_list() == STEPS["observation"].to_list()
    assert log["action"].to_list() == [action(text) for text in STEPS["action"]]
    assert log["reward"].to_list() == STEPS["reward"].to_list()
    assert log["step_index"].to_list() == STEPS["step_index"].to_list()
    if trajectory is not None:
        names = [trajectory.format(n=text.removeprefix("t")) for text in STEPS["trajectory_id"]]
        assert log["trajectory_id"].to_list() == names
    assert (imported.report.rows, imported.report.rows_read) == (9, 9)
    assert dict(imported.report.rollouts) == {4: 1}
    assert imported.report.dropped == ()


@pytest.mark.parametrize("name", ["nemo_gym", "harbor_job"])
def test_token_ids_and_logprobs_are_those_of_the_canonical_steps(name: str):
    log = log_of(SAMPLES / name)
    for column in ("prompt_ids", "response_ids", "response_logprobs"):
        assert log[column].to_list() == STEPS[column].to_list()
    assert log["response_mask"].to_list() == [[1] * len(ids) for ids in STEPS["response_ids"]]


def test_summaries_without_text_have_the_rewards_and_no_two_equal_states():
    imported = import_log([SAMPLES / "tinker_cookbook"])
    log = imported.validated.log
    assert imported.report.format == "tinker"
    assert log["reward"].to_list() == STEPS["reward"].to_list()
    assert log["step_index"].to_list() == STEPS["step_index"].to_list()
    assert log["response_tokens"].to_list() == STEPS["response_ids"].list.len().to_list()
    assert log["done"].to_list() == STEPS["done"].to_list()
    assert log["observation"].n_unique() == 9
    assert set(log["group_id"]) == {"train-12/0"}
    assert any("holds no text" in notice for notice in imported.report.notices)


def test_every_step_leads_back_to_its_place():
    assert log_of(SAMPLES / "tau2_results.json")["source_line"].to_list() == [
        1,
        1,
        2,
        2,
        2,
        3,
        3,
        4,
        4,
    ]
    harbor = log_of(SAMPLES / "harbor_job")
    # Step 1 of each trajectory is the user's.
    assert harbor["source_line"].to_list() == [2, 3, 2, 3, 4, 2, 3, 2, 3]
    assert harbor["source_file"][0] == str(SAMPLES / "harbor_job/find-key__0/agent/trajectory.json")
    assert log_of(SAMPLES / "swe_agent")["source_line"].to_list() == [1, 2, 1, 2, 3, 1, 2, 1, 2]


@pytest.mark.parametrize(
    ("name", "form", "rows", "rewards"),
    [
        ("inspect_ai_log_popularity.json", "inspect", 3, 3),
        ("nemo_gym_tau2_example_rollouts.jsonl", "nemo-gym", None, 5),
        ("swe_agent_marshmallow-1867.traj", "swe-agent", 12, 0),
    ],
)
def test_real_files_are_valid_logs(
    shared: Path, name: str, form: str, rows: int | None, rewards: int
):
    imported = import_log([shared / "data/raw" / name])
    log = imported.validated.log
    assert imported.report.format == form
    assert rows is None or log.height == rows
    scored = log.filter(pl.col("excluded").is_null())
    assert scored["trajectory_id"].n_unique() == rewards
    assert log["observation"][0]
    assert log["action"].str.len_chars().min() > 0


def test_the_real_swe_agent_run_is_its_commands_after_what_they_answered(shared: Path):
    path = shared / "data/raw/swe_agent_marshmallow-1867.traj"
    logged = json.loads(path.read_text())["trajectory"]
    log = log_of(path)
    assert log["action"].to_list() == [step["action"] for step in logged]
    assert log["observation"].to_list()[1:] == [step["observation"] for step in logged[:-1]]
    assert "ISSUE" in log["observation"][0]
    assert log["finish_reason"][-1] == "submitted"


def test_the_real_inspect_log_has_the_scores_of_its_own_summary(shared: Path):
    # Its own accuracy is 2 of 3.
    log = log_of(shared / "data/raw/inspect_ai_log_popularity.json")
    assert sorted(log["reward"]) == [0.0, 1.0, 1.0]
    assert set(log["model"]) == {"openai/gpt-4o-mini"}


# tau2


def simulation(**fields: Any) -> dict[str, Any]:
    return {
        "id": "s",
        "task_id": 1,
        "trial": 0,
        "termination_reason": "user_stop",
        "reward_info": {"reward": 1.0},
        "messages": [
            {"role": "user", "content": "help"},
            {"role": "assistant", "content": "yes"},
        ],
    } | fields


def test_the_greeting_of_the_benchmark_is_no_step_of_the_agent(tmp_path: Path):
    greeting = {"role": "assistant", "content": "Hi! How can I help you today?"}
    talk = [greeting, *simulation()["messages"]]
    log = log_of(write(tmp_path / "r.json", {"simulations": [simulation(messages=talk)]}))
    assert log["observation"].to_list() == ["help"]
    assert log["action"].to_list() == ["yes"]
    # An agent that says the same later says it itself.
    again = [*simulation()["messages"], {"role": "user", "content": "x"}, greeting]
    log = log_of(write(tmp_path / "r.json", {"simulations": [simulation(messages=again)]}))
    assert log["action"].to_list() == ["yes", greeting["content"]]


def test_what_only_the_simulated_user_sees_is_left_out_and_said(tmp_path: Path):
    talk = [
        {"role": "user", "tool_calls": [{"id": "u", "name": "look", "requestor": "user"}]},
        {"role": "tool", "id": "u", "content": "secret", "requestor": "user"},
        {"role": "user", "content": "it is red"},
        {"role": "assistant", "tool_calls": [{"id": "a", "name": "f", "arguments": {}}]},
        {"role": "tool", "tool_messages": [
            {"role": "tool", "id": "a", "content": "one", "requestor": "assistant"},
            {"role": "tool", "id": "b", "content": "two", "requestor": "assistant"},
        ]},
        {"role": "assistant", "content": "done"},
    ]  # fmt: skip
    imported = import_log(
        [write(tmp_path / "r.json", {"simulations": [simulation(messages=talk)]})]
    )
    log = imported.validated.log
    assert log["observation"].to_list() == ["it is red", "one\ntwo"]
    assert not log["messages"].str.contains("secret").any()
    assert any("simulated user" in notice for notice in imported.report.notices)


def test_a_simulation_without_a_verdict_is_not_scored(tmp_path: Path):
    runs = [
        simulation(id="a", reward_info=None),
        simulation(id="b", termination_reason="infrastructure_error"),
        simulation(id="c", termination_reason="max_steps", reward_info={"reward": 0.0}),
        simulation(id="d", messages=[{"role": "user", "content": "hello"}]),
    ]
    imported = import_log([write(tmp_path / "r.json", {"simulations": runs})])
    log = imported.validated.log
    assert log["reward"].to_list() == [None, None, 0.0]
    assert log["truncated"].to_list() == [False, False, True]
    assert log["success"].to_list() == [None, None, False]
    assert imported.report.excluded == {"reward is null": 2}
    assert "hold none of the agent's" in str(imported.report)


def test_simulations_in_files_of_their_own_are_one_log(tmp_path: Path):
    write(tmp_path / "results.json", {"info": {"agent_info": {"llm": "m"}}, "tasks": []})
    for name in ("a", "b"):
        write(tmp_path / f"simulations/{name}.json", simulation(id=name))
    log = log_of(tmp_path)
    assert log["trajectory_id"].to_list() == ["a", "b"]
    assert set(log["model"]) == {"m"}


def test_checked_actions_are_counted(tmp_path: Path):
    checks = [{"action_match": True}, {"action_match": False}, {"action_match": True}]
    runs = [simulation(reward_info={"reward": 0.0, "action_checks": checks})]
    log = log_of(write(tmp_path / "r.json", {"simulations": runs}))
    assert log["matched_actions"].to_list() == [2.0]


# ATIF and Harbor


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
    write(tmp_path / "a/result.json", result("a"))
    log = log_of(write(tmp_path / "a/agent/trajectory.json", trial).parent.parent)
    assert log["action"].to_list() == ["mine"]
    assert log["observation"].to_list() == ["now"]
    assert log["source_line"].to_list() == [6]


def test_continuations_are_read_once_as_one_trajectory(tmp_path: Path):
    write(tmp_path / "a/result.json", result("a"))
    first = atif(told("go"), said("one"), continued_trajectory_ref="trajectory.cont-1.json")
    copied = told("go") | {"is_copied_context": True}
    second = atif(copied, told("go on"), said("two"))
    write(tmp_path / "a/agent/trajectory.json", first)
    write(tmp_path / "a/agent/trajectory.cont-1.json", second)
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
    write(tmp_path / "a/result.json", result("a"))
    write(tmp_path / "a/agent/trajectory.json", outer)
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
    write(tmp_path / "a/result.json", result("a"))
    write(
        tmp_path / "a/agent/trajectory.json",
        atif(told("x"), delegating(trajectory_path="sub.json")),
    )
    write(tmp_path / "a/agent/sub.json", atif(told("find"), said("looking")))
    log = log_of(tmp_path)
    assert log["trajectory_id"].to_list() == ["a", "a/main/sub"]


def test_a_circle_of_sub_agents_is_an_error_that_names_the_place(tmp_path: Path):
    write(tmp_path / "a/result.json", result("a"))
    main = write(
        tmp_path / "a/agent/trajectory.json",
        atif(told("x"), delegating(trajectory_path="one.json")),
    )
    write(tmp_path / "a/agent/one.json", atif(told("x"), delegating(trajectory_path="two.json")))
    write(tmp_path / "a/agent/two.json", atif(told("x"), delegating(trajectory_path="one.json")))
    text = problems_of(main)
    assert "sub-agents refer to each other in a circle" in text
    assert str(tmp_path / "a/agent/two.json") in text


def test_a_circle_of_continuations_is_an_error_that_names_the_place(tmp_path: Path):
    main = tmp_path / "a/agent/trajectory.json"
    write(main, atif(told("x"), said("y"), continued_trajectory_ref="trajectory.json"))
    assert f"refer to each other in a circle, at {main}" in problems_of(main)


def test_files_that_only_refer_to_each_other_are_an_error_that_names_them(tmp_path: Path):
    write(tmp_path / "b/result.json", result("b"))
    write(tmp_path / "b/agent/trajectory.json", atif(told("go"), said("fine")))
    for name, other in (("a", "b"), ("b", "a")):
        document = atif(told("x"), said("y"), continued_trajectory_ref=f"{other}.json")
        write(tmp_path / f"a/agent/{name}.json", document)
    text = problems_of(tmp_path)
    assert "in a circle, and none of them begins" in text
    assert f"{tmp_path}/a/agent/a.json, {tmp_path}/a/agent/b.json" in text


def test_what_the_simulated_user_did_is_left_out_and_said(tmp_path: Path):
    write(tmp_path / "a/result.json", result("a"))
    write(tmp_path / "a/agent/trajectory.json", atif(told("go"), said("mine")))
    write(tmp_path / "a/user-agent/trajectory.json", atif(told("go"), said("theirs")))
    imported = import_log([tmp_path])
    assert imported.validated.log["action"].to_list() == ["mine"]
    assert "is the simulated user's" in str(imported.report)


def test_trials_without_a_trajectory_or_a_verdict_are_stated(tmp_path: Path):
    error = {"exception_type": "AgentTimeoutError"}
    write(tmp_path / "a/result.json", result("a", exception_info=error, verifier_result=None))
    write(tmp_path / "b/result.json", result("b", exception_info=error, verifier_result=None))
    write(tmp_path / "b/agent/trajectory.json", atif(told("go"), said("one")))
    write(tmp_path / "c/result.json", result("c", reward_valid=False))
    write(tmp_path / "c/agent/trajectory.json", atif(told("go"), said("one")))
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
    write(tmp_path / "a/result.json", outcome)
    write(tmp_path / "a/agent/trajectory.json", atif(told("go"), said("one"), said("two")))
    assert log_of(tmp_path)["response_ids"].to_list() == [[2], [3, 4]]
    assert log_of(tmp_path)["response_logprobs"].to_list() == [[-0.5], [-0.25, -1.0]]
    details["logprobs"] = [[-0.5]]
    write(tmp_path / "a/result.json", outcome)
    imported = import_log([tmp_path])
    assert imported.report.missing_token_ids == 1.0
    assert any("no logprobs for each step" in notice for notice in imported.report.notices)


def test_one_of_several_rewards_is_the_reward_and_the_others_are_kept(tmp_path: Path):
    rewards = {"speed": 0.5, "reward": 1.0}
    write(tmp_path / "a/result.json", result("a", verifier_result={"rewards": rewards}))
    path = write(tmp_path / "a/agent/trajectory.json", atif(told("go"), said("one")))
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
    write(tmp_path / "a/result.json", result("a", verifier_result=None, step_results=judged))
    for name in ("build", "test"):
        write(tmp_path / f"a/steps/{name}/agent/trajectory.json", atif(told("go"), said(name)))
    log = log_of(tmp_path)
    assert log["trajectory_id"].to_list() == ["a/build", "a/test"]
    assert log["reward"].to_list() == [1.0, 0.0]


# Inspect


def sample(**fields: Any) -> dict[str, Any]:
    talk = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}]
    return {"id": "a", "epoch": 1, "input": "go", "messages": talk} | fields


def inspect_log(path: Path, *samples: dict[str, Any]) -> Path:
    evaluation = {"task": "t", "model": "m", "run_id": "r"}
    return write(path, {"version": 2, "status": "success", "eval": evaluation, "samples": samples})


@pytest.mark.parametrize(
    ("value", "reward"),
    [
        ("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), (True, 1.0), ("yes", 1.0), ("0.25", 0.25),
        (3, 3.0), ("good", None), ([1, 2], None), (10**400, float("inf")),
    ],
)  # fmt: skip
def test_scores_mean_what_they_mean_to_inspect(value: Any, reward: float | None):
    assert score_number(value) == reward


def test_a_sample_that_failed_or_was_not_scored_is_not_counted(tmp_path: Path):
    scores = {"match": {"value": "C"}}
    path = inspect_log(
        tmp_path / "log.json",
        sample(epoch=1, scores=scores, error={"message": "boom"}),
        sample(epoch=2),
        sample(epoch=3, scores=scores, limit={"type": "token", "limit": 10}),
        sample(epoch=4, scores={"match": {"value": "odd"}}),
    )
    imported = import_log([path])
    log = imported.validated.log
    assert log["reward"].to_list() == [None, None, 1.0, None]
    assert log["truncated"].to_list() == [False, False, True, False]
    assert log["finish_reason"].to_list() == [None, None, "token", None]
    notices = " ".join(imported.report.notices)
    assert "ended in an error" in notices
    assert "the score 'match' is no number" in notices


def test_of_several_scores_the_first_is_taken_and_said(tmp_path: Path):
    scores = {"judge": {"value": {"style": 0.5, "facts": 1}}, "match": {"value": "I"}}
    path = inspect_log(tmp_path / "log.json", sample(scores=scores))
    imported = import_log([path])
    log = imported.validated.log
    assert log.select("reward", "aux_reward_judge.facts", "aux_reward_match").row(0) == (0.5, 1, 0)
    assert "'judge.style' is the reward" in " ".join(imported.report.notices)
    assert log_of(path, mapping={"columns": {"reward": "match"}})["reward"].to_list() == [0.0]


def test_attachments_are_put_in_and_reasoning_is_no_action(tmp_path: Path):
    talk = [
        {"role": "user", "content": "attachment://x"},
        {"role": "assistant", "content": [
            {"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "ok"},
        ]},
    ]  # fmt: skip
    path = inspect_log(tmp_path / "log.json", sample(messages=talk, attachments={"x": "long text"}))
    log = log_of(path)
    assert log["observation"].to_list() == ["long text"]
    assert log["action"].to_list() == ["ok"]
    assert "hm" in log["messages"][0]


def test_a_damaged_entry_of_an_archive_is_named_and_the_others_are_read(tmp_path: Path):
    source, copy = SAMPLES / "inspect/find.eval", tmp_path / "find.eval"
    content = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        entry = next(item for item in archive.infolist() if item.filename.startswith("samples/"))
    name_length, extra = struct.unpack("<HH", content[entry.header_offset + 26 :][:4])
    start = entry.header_offset + 30 + name_length + extra
    content[start + 20 : start + 30] = b"\xff" * 10
    copy.write_bytes(content)
    assert entry.filename in problems_of(copy)
    assert import_log([copy], skip_bad=True).report.trajectories == 3


def test_the_archive_of_a_run_that_was_killed_is_read_by_its_journal(tmp_path: Path):
    path = tmp_path / "log.eval"
    start = {"version": 2, "eval": {"task": "t", "model": "m"}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", json.dumps(start))
        archive.writestr("samples/a_epoch_1.json", json.dumps(sample(scores={"x": {"value": 1}})))
    log = log_of(path)
    assert log.select("group_id", "reward").row(0) == ("t/m/a", 1.0)


def test_an_archive_of_something_else_is_no_log(tmp_path: Path):
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    assert "it is a zip archive; unpack it first" in problems_of(path)


# NeMo Gym


def rollout(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    request = {"input": [{"role": "user", "content": "go"}]}
    return {
        "_ng_task_index": 0,
        "_ng_rollout_index": 0,
        "responses_create_params": request,
        "response": {"output": list(output)},
        "reward": 1.0,
    } | fields


def message(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content, **fields}


def function_call(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c", "name": name, "arguments": "{}", **fields}


def tokens(*ids: int) -> dict[str, Any]:
    return {
        "prompt_token_ids": [1],
        "generation_token_ids": list(ids),
        "generation_log_probs": [-0.5] * len(ids),
    }


def write_lines(path: Path, records: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in records), encoding="utf-8")
    return path


def test_the_items_of_one_call_are_one_step(tmp_path: Path):
    record = rollout(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        message("I look"),
        function_call("f"),
        function_call("g", **tokens(5, 6)),
        message("again", **tokens(7)),
        {"type": "function_call_output", "call_id": "c", "output": "seen"},
        message("bye"),
    )
    log = log_of(write_lines(tmp_path / "r.jsonl", [record]))
    assert log["observation"].to_list() == ["go", "", "seen"]
    assert log["action"].to_list() == [
        'I look\n{"arguments": {}, "name": "f"}\n{"arguments": {}, "name": "g"}',
        "again",
        "bye",
    ]
    assert log["response_ids"].to_list() == [[5, 6], [7], None]
    assert "hm" in log["messages"][0]


def test_what_the_assistant_says_in_the_prompt_is_no_step(tmp_path: Path):
    request = {"input": [message("hello"), {"role": "user", "content": "help"}]}
    record = rollout(message("ok"), responses_create_params=request)
    imported = import_log([write_lines(tmp_path / "r.jsonl", [record])])
    log = imported.validated.log
    assert (log["observation"].to_list(), log["action"].to_list()) == (["help"], ["ok"])
    assert any("is history, not a step" in notice for notice in imported.report.notices)


def test_failed_attempts_and_broken_records_are_stated(tmp_path: Path):
    records = [
        rollout(message("ok")),
        rollout(message("ok"), _ng_rollout_index=1, _ng_failure_class="timeout"),
        rollout(_ng_rollout_index=2),
        rollout(message("ok", generation_token_ids=["x"]), _ng_rollout_index=3),
        rollout(message("ok"), _ng_rollout_index=4, response=None),
    ]
    path = write_lines(tmp_path / "r.jsonl", records)
    text = problems_of(path)
    assert f"is not a list of token ids, at {path}:4" in text
    assert f"has no responses_create_params or no response, at {path}:5" in text
    report = import_log([path], skip_bad=True).report
    assert report.trajectories == 1
    assert "is a failed attempt (timeout)" in str(report)
    assert "holds nothing that the model wrote" in str(report)


# Scout


def transcripts(path: Path, **columns: Any) -> Path:
    talk = json.dumps([{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}])
    count = len(next(iter(columns.values())))
    base = {"transcript_id": [f"t{at}" for at in range(count)], "messages": [talk] * count}
    pl.DataFrame(base | columns, strict=False).write_parquet(path)
    return path


def test_a_transcript_is_scored_by_its_score_or_its_success(tmp_path: Path):
    path = transcripts(
        tmp_path / "t.parquet",
        score=["0.5", None, '"C"', "C", None, "1"],
        success=[None, True, None, None, None, True],
        error=[None, "", None, None, None, "boom"],
        limit=["", None, None, None, None, "tokens"],
    )
    assert log_of(path)["truncated"].to_list() == [False] * 5 + [True]
    assert log_of(path)["reward"].to_list() == [0.5, 1.0, 1.0, 1.0, None, None]


def test_a_broken_transcript_is_named_by_its_row(tmp_path: Path):
    path = transcripts(tmp_path / "t.parquet", messages=["[", "null", '["x"]'])
    text = problems_of(path)
    assert all(f"{path}:{row}" in text for row in (1, 2, 3))


# SWE-agent


def traj(**fields: Any) -> dict[str, Any]:
    steps = [{"action": "ls", "observation": "a b", "response": "I look\nls"}]
    return {
        "trajectory": steps,
        "history": [{"role": "user", "content": "fix"}],
        "info": {},
    } | fields


@pytest.mark.parametrize(
    ("results", "reward"),
    [
        ({"resolved_ids": ["x"]}, 1.0),
        ({"resolved_ids": []}, 0.0),
        ({"resolved": ["x"]}, 1.0),
        ({"resolved_ids": [], "unresolved_ids": ["x"]}, 0.0),
        ({"resolved_ids": [], "unresolved_ids": ["y"]}, None),
        (None, None),
    ],
)
def test_the_verdict_is_that_of_the_results_beside_the_run(
    tmp_path: Path, results: Any, reward: float | None
):
    path = write(tmp_path / "run/x/x.traj", traj())
    if results is not None:
        write(tmp_path / "run/results.json", results)
    log = log_of(path)
    assert log["reward"].to_list() == [reward]
    assert log["trajectory_id"].to_list() == ["x/run"]


def test_attempts_are_trajectories_that_the_verdict_does_not_tell_apart(tmp_path: Path):
    write(tmp_path / "run/results.json", {"resolved_ids": ["x"]})
    info = {"exit_status": "submitted (exit_cost)"}
    path = write(tmp_path / "run/x/x.traj", {"attempts": [traj(), traj(info=info)]})
    imported = import_log([path])
    log = imported.validated.log
    assert log["trajectory_id"].to_list() == ["x/run/0", "x/run/1"]
    assert log["reward"].to_list() == [None, None]
    assert log["truncated"].to_list() == [False, True]
    assert any("not judged one by one" in notice for notice in imported.report.notices)


# Minari


def test_without_h5py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"trajectory-workbench\[minari\]"):
        read([MINARI])


def test_a_damaged_hdf5_file_is_named(tmp_path: Path):
    pytest.importorskip("h5py")
    content = next(MINARI.rglob("*.hdf5")).read_bytes()
    path = tmp_path / "main_data.hdf5"
    path.write_bytes(content[: len(content) // 2])
    write(tmp_path / "metadata.json", {})
    assert "cannot be read as HDF5 (" in problems_of(path)


# tinker-cookbook


def summary(**fields: Any) -> dict[str, Any]:
    steps = [{"reward": 0.25, "ac_len": 3, "episode_done": False}, {"reward": 0.0, "ac_len": 2}]
    return {
        "split": "train", "iteration": 1, "group_idx": 0, "traj_idx": 0,
        "sampling_client_step": None, "total_reward": 1.25, "final_reward": 1.0, "steps": steps,
    } | fields  # fmt: skip


def test_the_reward_of_the_group_is_added_to_the_last_step(tmp_path: Path):
    log = log_of(write_lines(tmp_path / "s.jsonl", [summary()]))
    assert log["reward"].to_list() == [0.25, 1.0]
    assert log["episode_reward"].to_list() == [1.25, 1.25]


def test_summaries_without_steps_or_numbers_are_stated(tmp_path: Path):
    bad = summary(traj_idx=2, steps=[{"reward": "x"}])
    path = write_lines(tmp_path / "s.jsonl", [summary(), summary(traj_idx=1, steps=[]), bad])
    assert f"reward: is not a number, at {path}:3" in problems_of(path)
    assert "steps: are none" in str(import_log([path], skip_bad=True).report)
