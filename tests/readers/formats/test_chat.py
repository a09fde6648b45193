"""OpenAI-style chat records as steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import act, assistant, log_of, record, user, write_lines
from samples_of import SAMPLES, assert_nine_steps

from workbench.errors import LogError
from workbench.readers import import_log, import_to, read

CHAT = SAMPLES / "openai_chat.jsonl"


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(
        import_log([SAMPLES / "openai_chat.jsonl"]),
        "chat",
        action=act,
        group="find-key",
        trajectory="find-key/{n}",
    )


def test_terminal_outcomes_say_so_and_the_last_answer_is_kept():
    log = log_of(CHAT)
    assert set(log["reward_source"]) == {"terminal"}
    assert log["next_observation"].to_list()[:2] == [
        "You see a key in the drawer.",
        "You hold the key.",
    ]


def test_messages_of_all_steps_joined_are_the_conversation():
    log = import_log([CHAT]).validated.log.filter(pl.col("trajectory_id") == "find-key/1")
    joined = [message for text in log["messages"] for message in json.loads(text)]
    logged = json.loads(CHAT.read_text().splitlines()[1])["messages"]
    assert joined == logged[:-1]


def test_every_step_leads_back_to_its_line():
    log = import_log([CHAT]).validated.log
    assert set(log["source_file"]) == {str(CHAT)}
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert log["source_row"].to_list() == list(range(9))


def test_a_first_line_longer_than_the_head_is_recognised(tmp_path: Path):
    long = record(messages=[user("word " * 200_000), assistant("ok")])
    path = write_lines(tmp_path / "log.jsonl", [long])
    log = import_log([path]).validated.log
    assert len(log["observation"][0]) == 1_000_000


def test_broken_lines_are_all_listed_or_left_out_and_counted(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    good = json.dumps(record()).encode()
    broken = [
        b"nonsense",
        good[:-20],
        b'{"messages": "caf\xe9"}',
        json.dumps({"task_id": 1}).encode(),
    ]
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([good, *broken, b"", good]))
    with pytest.raises(LogError) as caught:
        import_log([path])
    text = str(caught.value)
    assert f"line: is not JSON, at {path}:2 (Expecting value, column 1), {path}:3 (" in text
    assert f"line: is not UTF-8, at {path}:4 (byte 17)" in text
    assert f"messages: the record has no key 'messages', at {path}:5" in text
    imported = import_log([path], skip_bad=True)
    assert imported.validated.log["source_line"].to_list() == [1, 7]
    assert sum(problem.count for problem in imported.report.dropped) == 4
    assert f"{path}:5" in str(imported.report)


def test_a_conversation_without_a_step_is_dropped_and_named(tmp_path: Path):
    path = write_lines(tmp_path / "log", [record(), record(messages=[user("go")])])
    report = import_log([path]).report
    assert report.trajectories == 1
    assert "dropped           1 record: messages: hold no assistant message" in str(report)
    assert f"at {path}:2" in str(report)


def test_null_and_infinite_rewards_are_excluded_and_counted(tmp_path: Path):
    values = [1.0, None, float("nan"), float("inf"), 10**400]
    path = write_lines(tmp_path / "log", [record(reward=value) for value in values])
    imported = import_log([path])
    assert imported.report.excluded == {"reward is not finite": 3, "reward is null": 1}
    assert (imported.report.null_rewards, imported.report.nonfinite_rewards) == (1, 3)
    assert imported.validated.log.height == 5


def test_a_log_without_a_reward_key_has_null_rewards_and_says_so(tmp_path: Path):
    bare = {"messages": [user("go"), assistant("a"), user("b"), assistant("c")], "task_id": 1}
    imported = import_log([write_lines(tmp_path / "log", [bare])])
    assert imported.validated.log["reward"].to_list() == [None, None]
    assert imported.validated.log["reward_source"].to_list() == [None, None]
    assert any("rewards are null" in notice for notice in imported.report.notices)


def test_a_reward_that_is_no_number_is_a_problem(tmp_path: Path):
    path = write_lines(tmp_path / "log", [record(reward={"a": 1}), record(reward=[0, 1])])
    with pytest.raises(LogError) as caught:
        read([path])
    text = str(caught.value)
    assert f"reward: 'reward' is not a number, at {path}:1. Hint: name a number in it" in text
    assert "with --map, as reward: one of ['reward.a']" in text
    assert f"reward: 'reward' has 2 values for 1 turn, at {path}:2" in text


def test_a_reward_for_each_turn_is_the_reward_of_each_step(tmp_path: Path):
    talk = [user("go"), assistant("a"), user("b"), assistant("c")]
    path = write_lines(tmp_path / "log", [{"messages": talk, "task_id": 1, "rewards": [0.5, 1]}])
    log = log_of(path)
    assert log["reward"].to_list() == [0.5, 1.0]
    assert set(log["reward_source"]) == {"dense"}


def rollouts(folder: Path, *fields: dict[str, Any]) -> Path:
    """Rollouts of one task that have no name but their line, and keys of their own."""
    bare = [
        {"messages": [user("go"), assistant(f"a{n}")], "task_id": 1} for n in range(len(fields))
    ]
    records = [
        one | {"reward": float(n % 2)} | own
        for n, (one, own) in enumerate(zip(bare, fields, strict=True))
    ]
    return write_lines(folder / "log.jsonl", records)


@pytest.mark.parametrize("key", ["global_step", "train_step", "step", "epoch", "update"])
def test_rollouts_of_two_updates_share_no_group(tmp_path: Path, key: str):
    path = rollouts(tmp_path, *[{key: n // 2} for n in range(4)])
    log = log_of(path)
    assert sorted(set(log["group_id"])) == [f"{key}=0/1", f"{key}=1/1"]
    # An epoch has several updates, so that its steps are no one batch.
    assert ("train_step" in log.columns) is (key != "epoch")


def test_a_step_that_differs_for_each_rollout_is_no_update_and_is_said(tmp_path: Path):
    path = rollouts(tmp_path, *[{"step": n} for n in range(4)])
    imported = import_log([path])
    assert set(imported.validated.log["group_id"]) == {"1"}
    assert any("'step' differs between records of a group" in n for n in imported.report.notices)


def test_keys_that_nothing_reads_are_named_with_their_records(tmp_path: Path):
    path = rollouts(tmp_path, {"mood": "good"}, {"mood": "bad", "weight": 0}, {"mask": True})
    notices = import_log([path]).report.notices
    assert any("'mood' (2 records)" in notice for notice in notices)
    assert any("'mask' is not read" in notice for notice in notices)
    assert any("'weight' is not read" in notice for notice in notices)
    assert import_to(tmp_path / "out.parquet", [path]).notices == notices


def test_what_says_that_a_limit_cut_a_rollout_is_understood(tmp_path: Path):
    fields: list[dict[str, Any]] = [
        {"is_truncated": True},
        {"status": "truncated"},
        {"timeout": "yes"},
        {"status": "ok"},
        {"timeout": False},
    ]
    log = log_of(rollouts(tmp_path, *fields))
    assert log["truncated"].to_list() == [True, True, True, False, False]


def test_a_verdict_that_is_not_understood_is_not_said_to_be_missing(tmp_path: Path):
    path = rollouts(tmp_path, *[{"reward": None, "resolved": word} for word in ("yes", "resolved")])
    text = " ".join(import_log([path]).report.notices)
    assert "'resolved' is not read as the reward: its values ('resolved', 'yes')" in text
    assert "no record has a value" not in text


def test_a_truth_value_is_a_reward_and_a_success(tmp_path: Path):
    bare = {"messages": [user("go"), assistant("ok")], "task_id": 1}
    logs = [
        import_log([write_lines(tmp_path / key, [bare | {key: True}, bare | {key: False}])])
        for key in ("success", "reward")
    ]
    for imported in logs:
        assert imported.validated.log["reward"].to_list() == [1.0, 0.0]
        assert imported.validated.log["success"].to_list() == [True, False]
    assert logs[0].report.renamed["reward"] == "success"


def test_without_a_task_the_first_user_message_makes_the_group(tmp_path: Path):
    asked = [record(task_id=None, messages=[user(text), assistant("ok")]) for text in "aba"]
    imported = import_log([write_lines(tmp_path / "log", asked)])
    assert imported.report.rollouts == {1: 1, 2: 1}
    assert "a group is the rollouts with the same first user message" in str(imported.report)


def test_a_record_without_a_task_or_a_user_asks_for_a_mapping(tmp_path: Path):
    bare = {"messages": [assistant("ok")], "question": "q", "info": {"score": 2}}
    path = write_lines(tmp_path / "log", [bare])
    with pytest.raises(LogError, match=r"--map") as caught:
        read([path])
    assert "found ['question']" in str(caught.value)
    columns = {"group_id": "question", "reward": "info.score"}
    log = import_log([path], mapping={"columns": columns}).validated.log
    assert log["group_id"].to_list() == ["q"]
    assert log["reward"].to_list() == [2.0]


def test_a_record_without_its_group_is_a_problem_not_a_group_of_its_own(tmp_path: Path):
    path = write_lines(tmp_path / "log", [record(), record(task_id=None)])
    with pytest.raises(LogError, match=r"group_id: the record has no value for 'task_id', at .*:2"):
        read([path])


def test_numbers_count_within_their_group_and_text_is_an_id(tmp_path: Path):
    numbers = write_lines(tmp_path / "n", [record(task_id=g, trial=0) for g in ("a", "b")])
    assert read([numbers]).frame["trajectory_id"].to_list() == ["a/0", "b/0"]
    texts = write_lines(tmp_path / "t", [record(trajectory_id=name) for name in ("x", "y")])
    assert read([texts]).frame["trajectory_id"].to_list() == ["x", "y"]


def test_nameless_trajectories_are_numbered_over_all_files(tmp_path: Path):
    two_steps = [user("go"), assistant("a"), user("b"), assistant("c")]
    write_lines(tmp_path / "1", [record(messages=two_steps), record(task_id="b")])
    write_lines(tmp_path / "2", [record(), record()])
    raw = read([tmp_path])
    assert raw.frame["trajectory_id"].to_list() == ["a#0", "a#0", "b#0", "a#1", "a#2"]
    assert any("numbered in their group" in notice for notice in raw.notices)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"task_id": True}, "group_id: 'task_id' is neither text nor a whole number"),
        ({"task_id": 1.5}, "group_id: 'task_id' is neither text nor a whole number"),
        ({"success": 0.5}, "success: 'success' is neither true nor false"),
    ],
)
def test_values_of_a_wrong_kind_are_problems(tmp_path: Path, fields: dict[str, Any], says: str):
    with pytest.raises(LogError) as caught:
        read([write_lines(tmp_path / "log", [record(**fields)])])
    assert says in str(caught.value)


def test_whole_numbers_are_one_id_however_they_are_written(tmp_path: Path):
    path = write_lines(tmp_path / "log", [record(task_id=value) for value in (3, 3.0, "3")])
    assert read([path]).frame["group_id"].to_list() == ["3"] * 3


def test_user_keys_are_kept_and_never_shadow_a_step_column(tmp_path: Path):
    keys = {"model": "m", "seed": 7, "action": "mine", "done": True, "extras": [1], "mixed": "x"}
    other = record(mixed=1, seed=2**70)
    two_steps = [user("go"), assistant("a"), user("b"), assistant("c")]
    raw = read([write_lines(tmp_path / "log", [record(messages=two_steps, **keys), other])])
    assert raw.frame["model"].to_list() == ["m", "m", None]
    assert raw.frame["seed"].to_list() == ["7", "7", str(2**70)]
    assert raw.frame["record_action"].to_list() == ["mine", "mine", None]
    assert raw.frame["action"].to_list() == ["a", "c", "ok"]
    assert raw.frame["done"].to_list() == [None, True, None]
    assert raw.frame["mixed"].to_list() == ["x", "x", "1"]
    assert any("not kept: ['extras']" in notice for notice in raw.notices)


def test_empty_and_one_word_observations_are_kept(tmp_path: Path):
    talk = [user(""), assistant("a"), user("word"), assistant("b"), assistant("c")]
    log = import_log([write_lines(tmp_path / "log", [record(messages=talk)])]).validated.log
    assert log["observation"].to_list() == ["", "word", ""]
    assert log["next_observation"].to_list() == ["word", "", None]


def test_half_an_emoji_is_mended_and_said(tmp_path: Path):
    path = write_lines(
        tmp_path / "log", [record(messages=[user("\ud83d"), assistant("\U0001f600")])]
    )
    raw = read([path])
    assert raw.frame["observation"].to_list() == ["\ufffd"]
    assert raw.frame["action"].to_list() == ["\U0001f600"]
    assert raw.notices[0] == f"halves of surrogate pairs became U+FFFD, at {path}:1"


def test_a_malformed_tool_call_is_a_problem_with_its_line(tmp_path: Path):
    bad = [user("go"), assistant("", tool_calls=[{"id": 1}])]
    path = write_lines(tmp_path / "log", [record(messages=bad)])
    with pytest.raises(LogError, match=r"messages: holds a tool call without a name, at .*:1"):
        read([path])


def test_a_prompt_and_its_answer_are_a_conversation_of_one_step(tmp_path: Path):
    records = [
        {"prompt": "2 + 2?", "response": text, "score": float(text == "4"), "step": 3}
        for text in ("4", "5")
    ]
    records.append({"prompt": "1 + 1?", "response": "2", "score": 1.0, "step": 3})
    imported = import_log([write_lines(tmp_path / "log", records)])
    log = imported.validated.log
    assert dict(imported.report.rollouts) == {1: 1, 2: 1}
    assert imported.report.renamed["messages"] == "prompt and response"
    first = log.filter(pl.col("action") == "4")
    assert first.select("observation", "reward").row(0) == ("2 + 2?", 1.0)
    assert json.loads(first["messages"][0]) == [user("2 + 2?"), assistant("4")]
    assert "prompt" not in log.columns


def test_what_the_assistant_says_in_a_prompt_is_history(tmp_path: Path):
    prompt = [user("a"), assistant("few"), user("b")]
    record = {"prompt": prompt, "completion": [assistant("own")], "reward": 1.0}
    log = import_log([write_lines(tmp_path / "log", [record])]).validated.log
    assert log["action"].to_list() == ["own"]
    assert json.loads(log["messages"][0]) == [*prompt, assistant("own")]


def test_another_picture_is_another_prompt(tmp_path: Path):
    records = [
        {"prompt": "<image> what?", "completion": "x", "images": [name], "reward": 1.0}
        for name in ("a.png", "a.png", "b.png")
    ]
    report = import_log([write_lines(tmp_path / "log", records)]).report
    assert dict(report.rollouts) == {1: 1, 2: 1}


@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_file_of_messages_is_one_conversation(tmp_path: Path, form: str):
    messages = [user("go"), assistant("left"), user("on"), assistant("right")]
    for name in ("one", "two"):
        text = json.dumps(messages, indent=1)
        lines = "\n".join(map(json.dumps, messages))
        (tmp_path / name).write_text(text if form == "array" else lines)
    imported = import_log([tmp_path])
    log = imported.validated.log
    assert log["action"].to_list() == ["left", "right"] * 2
    assert dict(imported.report.rollouts) == {2: 1}
    (tmp_path / "two").write_text(json.dumps([*messages, {"content": "by nobody"}]))
    with pytest.raises(LogError, match=rf"a message without a role, at {tmp_path}/two"):
        read([tmp_path])


def test_messages_of_several_sessions_in_one_file_are_not_one_conversation(tmp_path: Path):
    lines = [{**user("go"), "session_id": name} for name in "ab"]
    with pytest.raises(LogError, match="no reader recognises it"):
        read([write_lines(tmp_path / "log", lines)])


def test_a_preamble_that_every_record_has_may_hide_the_task(tmp_path: Path):
    records = [
        {"conversations": [user("Play."), assistant("OK"), user(task), assistant("go")]}
        for task in ("find the key", "find the door")
    ]
    report = import_log([write_lines(tmp_path / "log", records)]).report
    assert "every record has the same first user message" in str(report)
    other = import_log(
        [
            write_lines(
                tmp_path / "log", [record(task_id=None, messages=records[0]["conversations"])]
            )
        ]
    ).report
    assert "a group is the rollouts with the same first user message" in str(other)


def test_a_key_that_may_hold_a_verdict_or_something_else_is_looked_at(tmp_path: Path):
    # The answer that is asked for is no reward, and neither is a number such as a price.
    for values in (["42", "43"], ["Paris", "Rome"], [17, 3]):
        records = [record(reward=None, target=value) for value in values]
        log = import_log([write_lines(tmp_path / "log", records)]).validated.log
        assert log["reward"].null_count() == 2
    records = [record(reward=None, target=value) for value in (True, False)]
    log = import_log([write_lines(tmp_path / "log", records)]).validated.log
    assert log.select("reward", "success").rows() == [(1.0, True), (0.0, False)]


def test_a_verdict_of_minus_one_is_not_known(tmp_path: Path):
    records = [record(reward=None, resolved=value) for value in (1, 0, -1)]
    log = import_log([write_lines(tmp_path / "log", records)]).validated.log
    assert log["success"].to_list() == [True, False, None]
    assert log["reward"].to_list() == [1.0, 0.0, None]
    # Beside 1 alone it is the failure.
    records = [record(reward=None, resolved=value) for value in (1, -1)]
    log = import_log([write_lines(tmp_path / "log", records)]).validated.log
    assert log.select("success", "reward").rows() == [(True, 1.0), (False, -1.0)]


def test_a_run_names_a_rollout_only_where_no_two_of_a_task_have_it(tmp_path: Path):
    def talk(task: str, run: str) -> dict[str, Any]:
        return {**record(task_id=task), "run_id": run, "messages": [user(task), assistant(run)]}

    each = [talk(task, run) for task in "ab" for run in ("r1", "r2")]
    log = import_log([write_lines(tmp_path / "log", each)]).validated.log
    assert log["trajectory_id"].to_list() == ["a/r1", "a/r2", "b/r1", "b/r2"]
    assert log["group_id"].to_list() == ["a", "a", "b", "b"]
    twice = import_log([write_lines(tmp_path / "log", [*each, talk("a", "r1")])])
    assert "trajectory_id" not in twice.report.renamed


def test_messages_that_are_json_text_are_read_in_any_container(tmp_path: Path):
    records = [{**record(), "messages": json.dumps(record()["messages"])}]
    assert import_log([write_lines(tmp_path / "log", records)]).report.rows == 1


def test_a_prompt_without_an_answer_is_no_step_and_counted(tmp_path: Path):
    talks = [{"prompt": "p", "completion": text, "reward": 1} for text in ("a", "", None)]
    imported = import_log([write_lines(tmp_path / "log.jsonl", [*talks, {"prompt": "p"}])])
    # What is empty was answered with nothing; what is null or missing was not answered.
    assert imported.validated.log["action"].to_list() == ["a", ""]
    assert [problem.count for problem in imported.report.dropped] == [2]


def test_the_system_prompt_beside_a_prompt_goes_before_it(tmp_path: Path):
    talk = {"system": "be brief", "prompt": "p", "completion": "a", "reward": 1}
    log = log_of(write_lines(tmp_path / "log.jsonl", [talk]))
    roles = [message["role"] for message in json.loads(log["messages"][0])]
    assert roles == ["system", "user", "assistant"]


def test_messages_behind_a_damaged_line_are_left_out_and_counted(tmp_path: Path):
    path = write_lines(tmp_path / "log.jsonl", [user("go"), assistant("I go.")])
    path.write_text(path.read_text() + "{\n" + json.dumps(assistant("Done.")) + "\n")
    raw = read([path], skip_bad=True)
    assert raw.frame["action"].to_list() == ["I go."]
    assert "behind a damaged line" in raw.dropped[0].rule


def test_ids_in_a_table_of_text_stay_as_they_are_written(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text(
        "prompt,completion,task_id,rollout_id,reward\np,a,1e1,1e2,1\nq,b,10,100,0\n",
    )
    log = log_of(path)
    # Read as numbers, both would be the rollout 100 of the task 10.
    assert log["group_id"].to_list() == ["10", "1e1"]
    assert log["trajectory_id"].to_list() == ["10/100", "1e2"]
