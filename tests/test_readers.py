from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from workbench.errors import LogError, ParameterError, PluginError, UnknownNameError
from workbench.log.schema import validate
from workbench.readers import (
    Diagnostics,
    Part,
    import_log,
    load_mapping,
    read,
    reader,
    save_mapping,
)
from workbench.readers.base import FORMATS
from workbench.readers.jsonfiles import leading_keys
from workbench.readers.messages import MessageError, action_text, content_text, turns

SAMPLES = Path(__file__).parent / "samples"
GOLDEN = json.loads((SAMPLES / "golden.json").read_text())
CHAT = SAMPLES / "openai_chat.jsonl"
TAU = SAMPLES / "tau_bench.json"
PARQUET = SAMPLES / "canonical_steps.parquet"


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def record(**fields: Any) -> dict[str, Any]:
    return {"messages": [user("go"), assistant("ok")], "task_id": "a", "reward": 1.0} | fields


def write_lines(path: Path, records: Sequence[Any]) -> Path:
    lines = [item if isinstance(item, str) else json.dumps(item) for item in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_steps(path: Path, columns: Mapping[str, Any] | None = None) -> Path:
    base = {
        "group_id": ["g", "g", "g"],
        "trajectory_id": ["a", "a", "b"],
        "step_index": [0, 1, 0],
        "observation": ["o", "p", "o"],
        "action": ["x", "y", "z"],
        "reward": [0.0, 1.0, 0.0],
    }
    frame = pl.DataFrame({**base, **(columns or {})}, strict=False)
    frame.write_parquet(path)
    return path


def act(command: str) -> str:
    return f'{{"arguments": {{"command": "{command}"}}, "name": "act"}}'


@pytest.mark.parametrize(
    ("path", "form", "group", "trajectory", "action"),
    [
        (PARQUET, "parquet", "{group}", "t{n}", str),
        (CHAT, "chat", "{group}", "{group}/{n}", act),
        (TAU, "tau-bench", "task-0", "task-0/{n}", act),
    ],
)
def test_every_sample_becomes_the_nine_golden_steps(
    path: Path, form: str, group: str, trajectory: str, action: Callable[[str], str]
):
    imported = import_log([path])
    expected = [
        {
            "group_id": group.format(group=step["group_id"]),
            "trajectory_id": trajectory.format(
                group=step["group_id"], n=step["trajectory_id"].removeprefix("t")
            ),
            "step_index": step["step_index"],
            "observation": step["observation"],
            "action": action(step["action"]),
            "reward": step["reward"],
        }
        for step in GOLDEN
    ]
    assert imported.report.format == form
    assert imported.validated.log.select(*expected[0]).to_dicts() == expected


def test_terminal_outcomes_say_so_and_the_last_answer_is_kept():
    for path in (CHAT, TAU):
        log = import_log([path]).validated.log
        assert set(log["reward_source"]) == {"terminal"}
        assert log["next_observation"].to_list()[:2] == [
            "You see a key in the drawer.",
            "You hold the key.",
        ]
    assert import_log([TAU]).validated.log["success"].to_list() == [True] * 5 + [False] * 4
    assert set(import_log([TAU]).validated.log["task"]) == {"Find the key."}


def test_messages_of_all_steps_joined_are_the_conversation():
    log = import_log([CHAT]).validated.log.filter(pl.col("trajectory_id") == "find-key/1")
    joined = [message for text in log["messages"] for message in json.loads(text)]
    logged = json.loads(CHAT.read_text().splitlines()[1])["messages"]
    assert joined == logged[:-1]


def test_every_step_leads_back_to_its_line():
    log = import_log([CHAT]).validated.log
    assert set(log["source_file"]) == {str(CHAT)}
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert import_log([TAU]).validated.log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert import_log([PARQUET]).validated.log["source_line"].to_list() == list(range(1, 10))
    assert log["source_row"].to_list() == list(range(9))


def test_all_tau_bench_trials_equal_the_published_table(shared: Path):
    imported = import_log([shared / "data/raw/tau_bench_airline_3tasks_4trials.json"])
    table = pl.read_parquet(shared / "data/taubench_airline_gpt4o.parquet")
    ids = pl.col("trajectory_id").str.replace("task-", "airline-gpt4o/")
    log = imported.validated.log.with_columns(ids)
    both = log.join(table, on=["trajectory_id", "step_index"], how="left", suffix="_table")
    assert log.height == 196
    assert imported.report.rollouts == {4: 3}
    assert both["reward"].equals(both["reward_table"])
    assert both["success"].equals(both["success_table"])
    assert both["task"].equals(both["task_table"])
    bare = both["observation_table"].str.replace(r"^\[(user|tool:[^\]]*)\] ?", "")
    assert both["observation"].equals(bare)
    assert both["action"].to_list() == [_canonical(text) for text in both["action_table"]]


def _canonical(text: str) -> str:
    """The table's action, which has content, name and arguments in one object, in our form."""
    try:
        call = json.loads(text)
    except ValueError:
        return text
    content = call.pop("content", "")
    return "\n".join(filter(None, [content, json.dumps(call, sort_keys=True, ensure_ascii=False)]))


@pytest.mark.parametrize(
    ("name", "rows", "groups"),
    [
        ("webshop_grpo_dev", 1042, 16),
        ("taubench_airline_gpt4o", 2454, 50),
        ("webshop_react", 8773, 500),
    ],
)
def test_real_step_logs_are_read_without_a_loss(shared: Path, name: str, rows: int, groups: int):
    report = import_log([shared / f"data/{name}.parquet"]).report
    assert (report.rows, report.rows_read, report.groups) == (rows, rows, groups)


# Registry and sniffing


def test_every_format_has_a_description():
    assert {"chat", "parquet", "tau-bench"} <= set(FORMATS)
    assert all(entry.description for entry in FORMATS.values())


def test_a_new_reader_is_one_class_and_goes_before_the_generic_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS.items()))
    before = set(FORMATS)

    @reader("shouting", description="chat in capitals")
    class Shouting:
        def sniff(self, path: Path, head: bytes) -> bool:
            return b"GO" in head

        def read(self, path: Path, columns: Mapping[str, str]) -> Part:
            return Part(frame=pl.read_parquet(PARQUET), diagnostics=Diagnostics())

    assert set(FORMATS) == before | {"shouting"}
    loud = write_lines(tmp_path / "loud", [record(messages=[user("GO"), assistant("ok")])])
    quiet = write_lines(tmp_path / "quiet", [record()])
    assert read([loud]).format == "shouting"
    assert read([quiet]).format == "chat"


def test_a_file_that_two_formats_claim_asks_for_one_of_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS.items()))
    for name in ("first", "second"):
        reader(name, description=name)(type(FORMATS["parquet"].reader))
    with pytest.raises(LogError, match=r"several formats fit.*\['first', 'second'\]"):
        read([PARQUET])
    assert read([PARQUET], format="second").frame.height == 9


def test_two_readers_of_one_name_are_refused():
    with pytest.raises(PluginError, match="two formats are called 'chat'"):
        reader("chat", description="")(type(FORMATS["chat"].reader))


def test_files_are_told_by_content_not_by_name(tmp_path: Path):
    for source, form in ((PARQUET, "parquet"), (CHAT, "chat"), (TAU, "tau-bench")):
        copy = tmp_path / "log.xyz"
        copy.write_bytes(source.read_bytes())
        assert read([copy]).format == form


def test_a_first_line_longer_than_the_head_is_recognised(tmp_path: Path):
    long = record(messages=[user("word " * 200_000), assistant("ok")])
    path = write_lines(tmp_path / "log.jsonl", [long])
    log = import_log([path]).validated.log
    assert len(log["observation"][0]) == 1_000_000


def test_leading_keys_survive_a_cut_anywhere():
    text = json.dumps([{"a": 'x"{y', "b": [{"c": 1}], "d": 2}, {"e": 3}]).encode()
    assert leading_keys(text) == {"a", "b", "d"}
    for end in range(len(text)):
        assert leading_keys(text[:end]) <= {"a", "b", "d"}
    assert leading_keys(b'\xef\xbb\xbf{"a": 1}') == {"a"}
    assert leading_keys(b"plain text") == frozenset()


def test_importing_the_readers_loads_nothing_heavy():
    code = (
        "import sys, workbench.readers.base as r; list(r.FORMATS);"
        "heavy = {'torch', 'faiss', 'sentence_transformers', 'streamlit', 'pyarrow', 'sklearn'};"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Files, folders, patterns


def test_a_folder_and_a_pattern_give_the_same_log_as_the_files(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    lines = CHAT.read_text().splitlines()
    write_lines(tmp_path / "b.jsonl", lines[2:])
    write_lines(tmp_path / "deep/a.jsonl", lines[:2])
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "_SUCCESS").write_text("")
    named = read([tmp_path / "b.jsonl", tmp_path / "deep/a.jsonl"])
    assert_frame_equal(read([tmp_path]).frame, named.frame)
    assert_frame_equal(read([str(tmp_path / "**/*.jsonl")]).frame, named.frame)
    assert_frame_equal(read([tmp_path, tmp_path / "b.jsonl"]).frame, named.frame)
    assert read([str(tmp_path / "de*")]).frame.height == 5
    assert read(str(tmp_path / "deep/a.jsonl")).frame.height == 5
    assert named.frame["source_row"].to_list() == list(range(9))


def test_parquet_parts_are_joined_and_a_missing_column_is_null(tmp_path: Path):
    write_steps(tmp_path / "1.parquet")
    write_steps(tmp_path / "2.parquet", {"trajectory_id": ["c", "c", "d"], "model": ["m"] * 3})
    log = import_log([tmp_path]).validated.log
    assert log["model"].to_list() == [None] * 3 + ["m"] * 3
    assert log["source_line"].to_list() == [1, 2, 3, 1, 2, 3]
    assert log["source_row"].to_list() == list(range(6))


def test_a_strange_file_in_a_folder_is_passed_over_and_said(tmp_path: Path):
    write_lines(tmp_path / "log.jsonl", [record()])
    (tmp_path / "README.md").write_text("words")
    raw = read([tmp_path])
    assert raw.notices[0] == f"files of no known format were passed over, at {tmp_path}/README.md"
    with pytest.raises(LogError, match="no reader recognises it"):
        read([tmp_path / "README.md", tmp_path / "log.jsonl"])


def test_a_damaged_file_in_a_folder_is_never_passed_over(tmp_path: Path):
    write_lines(tmp_path / "log.jsonl", [record()])
    (tmp_path / "zeros.jsonl").write_bytes(b"\0" * 100)
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(LogError) as caught:
        read([tmp_path])
    assert "empty.jsonl" in str(caught.value)
    assert "zeros.jsonl" in str(caught.value)
    assert read([tmp_path], skip_bad=True).frame.height == 1


def test_mixed_formats_are_refused_with_each_file_named(tmp_path: Path):
    with pytest.raises(LogError) as caught:
        read([CHAT, PARQUET])
    assert f"1 of format 'chat', at {CHAT}" in str(caught.value)
    assert f"1 of format 'parquet', at {PARQUET}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello world", "workbench formats lists what is read"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\x1f\x8b\x08\x00rest", "is damaged or cut off, as gzip"),
        (b"\x28\xb5\x2f\xfdrest", "is damaged or cut off, as zstd"),
        (b"\x80\x04\x95pickled", "pickle, which can run any code and is never opened"),
        ('{"messages": []}'.encode("utf-16"), "hold no assistant message"),
        ('{"messages": []}'.encode("utf-16")[:-1], "is damaged or cut off, as utf-16"),
        (b'{"key": 1}', "--format"),
        (b"PAR1", "cannot be read as Parquet"),
        (b"PAR1" + b"\0" * 200 + b"PAR1", "cannot be read as Parquet"),
        (PARQUET.read_bytes()[:-100], "cannot be read as Parquet"),
        (b'[{"traj": []}] more', "text behind its JSON array"),
        (b'[{"traj": []} {"traj": []}]', "cut off or damaged here, at behind"),
        (b'[{"traj": [], "reward": 1}]', "task_id: is missing or null"),
        (b'[{"traj": "caf\xe9"}]', "is not UTF-8"),
        (b'{"messages": []}', "hold no assistant message"),
        (b'{"messages": null}', "the record has no key 'messages'"),
        (b'{"messages": {"role": "user"}}', "is a dict, expected a list"),
        (b'{"messages": ["hi"]}', "a message without a role"),
        (b'{"messages": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"messages": 1}\n[1]\n', "is a list, expected a JSON object"),
    ],
)
def test_a_hostile_file_is_a_clear_error_that_names_it(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "log"
    path.write_bytes(content)
    for skip_bad in (False, True):
        with pytest.raises(LogError) as caught:
            import_log([path], skip_bad=skip_bad)
        assert says in str(caught.value)
        assert str(path) in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    given = [tmp_path / name for name in ("nothing", "*.parquet", "empty", "pipe")]
    with pytest.raises(LogError) as caught:
        read(given)
    rules = [problem.rule for problem in caught.value.problems]
    assert rules == [
        "does not exist",
        "no file matches the pattern",
        "the folder holds no file",
        "is no regular file; write it to disk first",
    ]
    with pytest.raises(LogError, match="none were given"):
        read([])


def test_an_unknown_format_name_lists_those_that_exist():
    with pytest.raises(UnknownNameError, match="did you mean 'parquet'"):
        read([PARQUET], format="parquett")


def test_a_named_format_is_not_sniffed_but_still_checked(tmp_path: Path):
    with pytest.raises(LogError, match="cannot be read as Parquet"):
        read([CHAT], format="parquet")
    with pytest.raises(LogError, match="is not a JSON array"):
        read([CHAT], format="tau-bench")


# Chat records


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
    path = write_lines(tmp_path / "log", [record(reward="1.0"), record(reward=[0, 1])])
    with pytest.raises(LogError, match=r"reward: 'reward' is not a number, at .*:1, .*:2"):
        read([path])


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


def test_a_log_without_a_group_key_asks_for_a_mapping(tmp_path: Path):
    bare = {"messages": [user("go"), assistant("ok")], "question": "q", "info": {"score": 2}}
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
    keys = {"model": "m", "seed": 7, "action": "mine", "done": True, "tools": [1], "mixed": "x"}
    other = record(mixed=1, seed=2**70)
    two_steps = [user("go"), assistant("a"), user("b"), assistant("c")]
    raw = read([write_lines(tmp_path / "log", [record(messages=two_steps, **keys), other])])
    assert raw.frame["model"].to_list() == ["m", "m", None]
    assert raw.frame["seed"].to_list() == ["7", "7", str(2**70)]
    assert raw.frame["record_action"].to_list() == ["mine", "mine", None]
    assert raw.frame["action"].to_list() == ["a", "c", "ok"]
    assert raw.frame["done"].to_list() == [None, True, None]
    assert raw.frame["mixed"].to_list() == ["x", "x", "1"]
    assert any("not kept: ['tools']" in notice for notice in raw.notices)


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


# Messages


def test_system_messages_are_observed_only_where_nothing_else_is_new():
    system = {"role": "system", "content": "rules"}
    both = turns([system, user("go"), assistant("a"), system, assistant("b")])
    assert [turn.observation for turn in both] == ["go", "rules"]
    assert json.loads(both[0].messages)[0] == system
    assert turns([system, assistant("a")])[0].observation == "rules"


def test_content_parts_are_joined_and_pictures_named():
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert content_text(parts) == "see\n[image_url]"
    assert content_text(None) == ""


@pytest.mark.parametrize(
    "call",
    [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"b":1,"a":2}'}},
        {"name": "f", "arguments": {"b": 1, "a": 2}},
        {"type": "custom", "custom": {"name": "f", "input": '{"a": 2, "b": 1}'}},
    ],
)
def test_tool_calls_have_one_canonical_form(call: dict[str, Any]):
    expected = 'text\n{"arguments": {"a": 2, "b": 1}, "name": "f"}'
    assert action_text(assistant("text", tool_calls=[call])) == expected
    assert action_text(assistant("text", tool_calls=json.dumps([call]))) == expected


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([assistant([3])], "a content part that is neither text nor an object"),
        ([assistant("", tool_calls=5)], "tool_calls that are not a list"),
        ([assistant("", tool_calls=[None])], "a tool call without a name"),
    ],
)
def test_a_malformed_message_says_what_is_wrong(messages: list[Any], says: str):
    with pytest.raises(MessageError, match=says):
        turns(messages)


def test_content_that_is_data_becomes_json():
    assert content_text({"b": 1, "a": 2}) == '{"a": 2, "b": 1}'
    assert content_text(["x", {"type": "text", "text": "y"}]) == "x\ny"


def test_odd_arguments_stay_as_they_are():
    def arguments(given: Any) -> Any:
        call = {"function": {"name": "f", "arguments": given}}
        return json.loads(action_text(assistant(None, tool_calls=[call])))["arguments"]

    assert arguments("not json") == "not json"
    assert arguments("5") == "5"
    assert arguments("") == {}
    assert arguments(None) == {}
    legacy = assistant(None, function_call={"name": "f", "arguments": "{}"})
    assert action_text(legacy) == '{"arguments": {}, "name": "f"}'


def test_a_malformed_tool_call_is_a_problem_with_its_line(tmp_path: Path):
    bad = [user("go"), assistant("", tool_calls=[{"id": 1}])]
    path = write_lines(tmp_path / "log", [record(messages=bad)])
    with pytest.raises(LogError, match=r"messages: holds a tool call without a name, at .*:1"):
        read([path])


# tau-bench


def tau_trial(**fields: Any) -> dict[str, Any]:
    return {
        "task_id": 3,
        "trial": 0,
        "reward": 1.0,
        "info": {},
        "traj": [user("go"), assistant("ok")],
    } | fields


def test_a_trial_that_crashed_is_dropped_and_a_bad_one_refused(tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([tau_trial(), tau_trial(trial=1, traj=[]), tau_trial(trial=None)]))
    with pytest.raises(LogError, match=r"trial: is missing or null, at .* record 3"):
        read([path])
    report = import_log([path], skip_bad=True).report
    assert report.trajectories == 1
    assert [problem.column for problem in report.dropped] == ["trial", "traj"]


def test_success_of_a_trial_is_a_reward_of_one(tmp_path: Path):
    path = tmp_path / "results.json"
    rewards = [1.0, 0.9999999, 0.5, None]
    trials = [tau_trial(trial=n, reward=reward) for n, reward in enumerate(rewards)]
    path.write_text(json.dumps(trials))
    assert read([path]).frame["success"].to_list() == [True, True, False, None]


def test_records_before_a_damage_are_kept_where_the_user_asks(tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([tau_trial(), tau_trial(trial=1)])[:-30])
    imported = import_log([path], skip_bad=True)
    assert imported.report.trajectories == 1
    assert imported.report.dropped[0].places == [f"{path} record 2 (cut off)"]


def test_tau_bench_takes_no_mapping():
    with pytest.raises(ParameterError, match="fixed names"):
        read([TAU], mapping={"columns": {"group_id": "task_id"}})


# Parquet


def test_columns_are_renamed_through_a_saved_mapping(tmp_path: Path):
    frame = pl.read_parquet(write_steps(tmp_path / "a.parquet"))
    frame.rename({"group_id": "question", "reward": "score"}).write_parquet(tmp_path / "a.parquet")
    save_mapping(tmp_path / "map.json", {"columns": {"group_id": "question", "reward": "score"}})
    with pytest.raises(LogError, match=r"missing columns \['group_id', 'reward'\]"):
        import_log([tmp_path / "a.parquet"])
    mapping = load_mapping(tmp_path / "map.json")
    imported = import_log([tmp_path / "a.parquet"], mapping=mapping)
    assert imported.report.renamed == {"group_id": "question", "reward": "score"}
    assert imported.validated.log["reward"].to_list() == [0.0, 1.0, 0.0]


def test_messages_as_structures_become_json(tmp_path: Path):
    talk = [user("go"), {"role": "assistant", "tool_calls": [{"name": "f", "id": None}]}]
    path = write_steps(tmp_path / "a.parquet", {"messages": [talk, None, talk]})
    log = import_log([path]).validated.log
    expected = [user("go"), {"role": "assistant", "tool_calls": [{"name": "f"}]}]
    assert json.loads(log["messages"][0]) == expected
    assert log["messages"][1] is None


def test_categorical_columns_and_parts_of_other_categories_are_text(tmp_path: Path):
    for name in ("a", "b"):
        frame = pl.read_parquet(write_steps(tmp_path / "x.parquet"))
        enum = pl.lit(name, dtype=pl.Enum([name])).alias("group_id")
        ids = pl.format("{}-{}", pl.lit(name), "trajectory_id").cast(pl.Categorical)
        frame.with_columns(enum, ids.alias("trajectory_id")).write_parquet(tmp_path / f"{name}.pq")
    log = import_log([tmp_path / "a.pq", tmp_path / "b.pq"]).validated.log
    assert log["group_id"].to_list() == ["a"] * 3 + ["b"] * 3


def test_a_log_keeps_what_it_says_about_its_own_origin(tmp_path: Path):
    origin = {"source_file": ["x.jsonl"] * 3, "source_line": [4, 4, 9], "source_row": [7, 8, 20]}
    raw = read([write_steps(tmp_path / "a.parquet", origin)])
    assert raw.frame.select(*origin).to_dict(as_series=False) == origin


def test_rows_of_several_files_are_numbered_anew_where_their_numbers_clash(tmp_path: Path):
    write_steps(tmp_path / "1", {"source_row": [0, 1, 2]})
    write_steps(tmp_path / "2", {"source_row": [0, 1, 2], "trajectory_id": ["c", "c", "d"]})
    raw = read([tmp_path])
    assert raw.frame["source_row"].to_list() == list(range(6))
    assert any("numbered anew" in notice for notice in raw.notices)


def test_types_that_do_not_go_together_are_named(tmp_path: Path):
    write_steps(tmp_path / "1", {"note": [[1], [2], [3]]})
    write_steps(tmp_path / "2", {"note": ["x", "y", "z"]})
    with pytest.raises(LogError, match="note: has types in different files"):
        read([tmp_path])


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"group_id": ["g", None, "g"]}, "group_id: is null"),
        ({"step_index": [0, 2, 0]}, "step_index: has gaps"),
        ({"step_index": [0, 0, 0]}, "appears twice in a trajectory with different content"),
        ({"group_id": ["g", "h", "g"]}, "is in more than one group"),
    ],
)
def test_a_broken_rule_names_file_and_row(tmp_path: Path, columns: dict[str, Any], says: str):
    path = write_steps(tmp_path / "a.parquet", columns)
    with pytest.raises(LogError) as caught:
        import_log([path])
    assert says in str(caught.value)
    assert f"{path}:" in str(caught.value)
    report = import_log([path], quarantine=True).report
    assert (report.rows, report.quarantined_rows, report.trajectories) == (1, 2, 1)
    assert says in str(report)


def test_small_and_dull_logs_are_read(tmp_path: Path):
    path = write_steps(tmp_path / "a.parquet", {"reward": [0.0] * 3, "observation": ["", "w", ""]})
    assert import_log([path]).report.rows == 3
    pl.read_parquet(path).head(1).write_parquet(path)
    report = import_log([path]).report
    assert (report.rows, report.singleton_groups, dict(report.rollouts)) == (1, 1.0, {1: 1})


def test_a_parquet_file_with_no_row_is_refused(tmp_path: Path):
    path = write_steps(tmp_path / "a.parquet")
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(LogError, match="there are none"):
        import_log([path])


_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_steps = st.fixed_dictionaries(
    {"observation": _texts, "action": _texts, "reward": st.floats(-1e6, 1e6)}
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(_steps, min_size=1, max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_a_valid_log_written_as_parquet_comes_back_equal(
    trajectories: list[tuple[int, list[dict[str, Any]]]],
):
    rows = [
        {"group_id": f"g{group}", "trajectory_id": f"t{at}", "step_index": index, **step}
        for at, (group, steps) in enumerate(trajectories)
        for index, step in enumerate(steps)
    ]
    log = validate(pl.DataFrame(rows)).log
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        log.write_parquet(path)
        again = import_log([path]).validated.log
    assert_frame_equal(again.drop("source_file", "source_line"), log)


# Mapping and report


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "is not JSON"),
        ("[]", 'expected {"columns"'),
        ('{"column": {}}', 'expected {"columns"'),
        ('{"columns": []}', "'columns' must be an object"),
        ('{"columns": {"reword": "score"}}', "did you mean 'reward'"),
        ('{"columns": {"reward": 3}}', "must be mapped to a name, got 3"),
        ('{"columns": {"reward": "x", "task": "x"}}', "gives ['x'] to more than one column"),
    ],
)
def test_a_wrong_mapping_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, says: str):
    path = tmp_path / "map.json"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        load_mapping(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_mapping_that_names_what_is_not_there_lists_what_is(tmp_path: Path):
    with pytest.raises(ParameterError, match="cannot be read"):
        load_mapping(tmp_path / "nothing.json")
    with pytest.raises(ParameterError, match="for which no record has a value; found"):
        read([CHAT], mapping={"columns": {"reward": "points"}})
    with pytest.raises(ParameterError, match="which the file does not have"):
        read([PARQUET], mapping={"columns": {"reward": "points"}})
    with pytest.raises(ParameterError, match="no value a step"):
        read([CHAT], mapping={"columns": {"observation": "task_id"}})


def test_the_report_says_it_all_in_lines_and_as_json(tmp_path: Path):
    imported = import_log([PARQUET])
    data = json.loads(json.dumps(imported.report.to_dict()))
    assert data["rollouts"] == {"4": 1}
    assert data["missing_token_ids"] == 0.0
    assert str(imported.report).splitlines() == [
        "format            parquet",
        f"files             1: {PARQUET}",
        "rows              9 in the log, 9 read",
        "groups            1 (0.0% have one rollout)",
        "trajectories      4",
        "rollouts a group  4 in 1 group",
        "rewards           0 null, 0 not finite",
        "not scored        0 of 4 trajectories",
        "token ids         missing in 0.0% of the rows",
        "reconstructed     nothing",
        "dropped           nothing",
    ]
