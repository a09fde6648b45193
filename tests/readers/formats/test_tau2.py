"""tau2-bench results as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from log_files import act, log_of, write_json
from samples_of import SAMPLES, assert_nine_steps

from workbench.readers import import_log


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "tau2"]), "tau2", action=act, group="find-key", trajectory="s{n}"
    )


def test_every_step_leads_back_to_its_simulation():
    log = log_of(SAMPLES / "tau2/results.json")
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]


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
    log = log_of(write_json(tmp_path / "r.json", {"simulations": [simulation(messages=talk)]}))
    assert log["observation"].to_list() == ["help"]
    assert log["action"].to_list() == ["yes"]
    # An agent that says the same later says it itself.
    again = [*simulation()["messages"], {"role": "user", "content": "x"}, greeting]
    log = log_of(write_json(tmp_path / "r.json", {"simulations": [simulation(messages=again)]}))
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
        [write_json(tmp_path / "r.json", {"simulations": [simulation(messages=talk)]})]
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
    imported = import_log([write_json(tmp_path / "r.json", {"simulations": runs})])
    log = imported.validated.log
    assert log["reward"].to_list() == [None, None, 0.0]
    assert log["truncated"].to_list() == [False, False, True]
    assert log["success"].to_list() == [None, None, False]
    assert imported.report.excluded == {"reward is null": 2}
    assert "hold none of the agent's" in str(imported.report)


def test_simulations_in_files_of_their_own_are_one_log(tmp_path: Path):
    write_json(tmp_path / "results.json", {"info": {"agent_info": {"llm": "m"}}, "tasks": []})
    for name in ("a", "b"):
        write_json(tmp_path / f"simulations/{name}.json", simulation(id=name))
    log = log_of(tmp_path)
    assert log["trajectory_id"].to_list() == ["a", "b"]
    assert set(log["model"]) == {"m"}


def test_checked_actions_are_counted(tmp_path: Path):
    checks = [{"action_match": True}, {"action_match": False}, {"action_match": True}]
    runs = [simulation(reward_info={"reward": 0.0, "action_checks": checks})]
    log = log_of(write_json(tmp_path / "r.json", {"simulations": runs}))
    assert log["matched_actions"].to_list() == [2.0]


def test_a_reason_that_is_no_text_is_none(tmp_path: Path):
    runs = [simulation(termination_reason=["max_steps"])]
    log = log_of(write_json(tmp_path / "r.json", {"simulations": runs}))
    assert log["truncated"].to_list() == [False]
    assert "finish_reason" not in log.columns
