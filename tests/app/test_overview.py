"""Journey 1: what is in this log?"""

from __future__ import annotations

import io
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from app_pages import OpenApp
from logs import rows
from places import DATA, SAMPLES
from streamlit.testing.v1 import AppTest

from workbench.ui import frame
from workbench.workspace.excerpt import excerpt

CHAT = (SAMPLES / "openai_chat.jsonl").read_bytes()
HOSTILE = "<script>alert(1)</script> **bold** $x$ :material/home: [a](javascript:1)"
TWO = {
    "g": {"t0": [("door", "go", 0.0), ("room", "take", 1.0)], "t1": [("door", "stay", 0.0)]},
    "h": {"t2": [("hall", "go", 0.0)], "t3": [("hall", "go", 0.0)]},
}


def shown(test: AppTest) -> str:
    """Everything that is shown as text."""
    return "\n".join(element.value for element in (*test.code, *test.text))


def sentence(test: AppTest) -> str:
    return test.markdown[1].value.replace("\\", "")


def captions(test: AppTest) -> str:
    return "\n".join(caption.value for caption in test.caption)


def report(test: AppTest) -> Any:
    """The import report, which is folded."""
    (found,) = [area for area in test.expander if area.label.startswith("Import report")]
    return found


def kinds(test: AppTest) -> list[str]:
    """The links to groups by what they can teach."""
    labels = [
        link.proto.label.replace("\\", "").replace("\u2060", "") for link in test.get("page_link")
    ]
    return [label for label in labels if re.fullmatch(r".*: [0-9,]+ groups?", label)]


def charts(test: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in test.get("plotly_chart")]


def upload(test: AppTest, *files: tuple[str, bytes]) -> AppTest:
    """Uploads files, which are imported at once."""
    uploader = test.file_uploader[0]
    for name, content in files:
        uploader.upload(name, content)
    return test.run()


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def pickers(test: AppTest) -> dict[str, Any]:
    """The pickers of the mapping form by their column."""
    found = [picker for picker in test.selectbox if (picker.key or "").startswith("w_log_map_")]
    return {picker.label.strip("`"): picker for picker in found}


def test_the_bundled_log(app: OpenApp):
    test = app()
    assert not test.exception
    assert test.subheader[0].value == r"household\.parquet"
    assert sentence(test) == (
        "3,732 steps in 160 trajectories: 20 groups × 8 rollouts. 52.5 % succeed. "
        "14 groups are live, 6 dead."
    )
    assert [header.value for header in test.subheader[1:]] == [
        "What can a group method learn from?",
        "How long are trajectories, and which succeed?",
        "How often does a state come back?",
        "What else is in the log?",
        "Which groups are there?",
    ]
    lengths, recurrence = charts(test)
    assert kinds(test) == ["Live: 14 groups", "All fail: 4 groups", "All pass: 2 groups"]
    assert [trace["name"] for trace in lengths["data"]] == ["Succeeded", "Failed"]
    assert recurrence["data"][0]["x"][-1] == "20+"
    assert all(chart.proto.alt for chart in test.get("plotly_chart"))
    groups = test.dataframe[0].value
    assert len(groups) == 20
    assert groups["task"][0] == "put a knife on the shelf"
    assert groups["kind"][2] == "All fail"
    assert "3,732 read, 3,732 in the log" in shown(test)


def test_the_commands_reproduce_the_view(app: OpenApp):
    commands = [code.value for code in app().code if code.language == "bash"]
    log = str(DATA / "household.parquet")
    assert commands == [
        f"workbench import {log} -o log.parquet",
        f"workbench validate {log}",
        f"workbench facts {log}",
    ]


def test_a_file_is_added_and_shown(app: OpenApp):
    test = upload(app(), ("chats.jsonl", CHAT))
    assert not test.exception
    assert "is imported and shown here" in test.success[0].value
    assert test.subheader[0].value == r"chats\.jsonl"
    assert sentence(test).startswith("9 steps in 4 trajectories: 1 group × 4 rollouts.")
    assert test.selectbox(key="w_frame_log").options == ["household.parquet", "chats.jsonl"]
    assert "task_id became group_id" in shown(test)
    assert not test.file_uploader[0].value
    again = test.run()
    assert not again.success
    assert again.subheader[0].value == r"chats\.jsonl"


def test_two_files_become_one_log(app: OpenApp):
    lines = CHAT.splitlines(keepends=True)
    test = upload(app(), ("a.jsonl", b"".join(lines[:2])), ("b.jsonl", b"".join(lines[2:])))
    assert test.subheader[0].value == r"a\.jsonl and 1 more"
    assert sentence(test).startswith("9 steps in 4 trajectories")
    assert "a.jsonl, b.jsonl" in shown(test)


def test_the_same_file_twice_is_one_log(app: OpenApp):
    test = upload(upload(app(), ("chats.jsonl", CHAT)), ("chats.jsonl", CHAT))
    assert test.selectbox(key="w_frame_log").options == ["household.parquet", "chats.jsonl"]


def test_a_broken_file_is_named_by_line_and_the_old_log_stays(app: OpenApp):
    lines = CHAT.splitlines(keepends=True)
    broken = b"".join([lines[0], b"{oops\n", *lines[1:], b'{"messages": 3}\n'])
    test = upload(app(), ("broken.jsonl", broken))
    assert not test.exception
    assert test.error[0].value == "Not imported: 2 problems."
    assert "line: is not JSON, at broken.jsonl:2" in shown(test)
    assert "expected a list of messages, at broken.jsonl:6" in shown(test)
    assert test.subheader[0].value == r"household\.parquet"
    assert not pickers(test)

    test.checkbox(key="w_log_skip_bad").check()
    test.button(key="w_log_import").click().run()
    assert not test.error
    assert test.subheader[0].value == r"broken\.jsonl"
    assert "2 records left out" in report(test).label
    assert "left out          line: is not JSON, at broken.jsonl:2" in shown(test)
    assert any("--skip-bad -o log.parquet" in code.value for code in test.code)


def test_what_was_refused_can_be_discarded(app: OpenApp):
    test = upload(app(), ("empty.jsonl", b""))
    assert "is empty" in shown(test)
    test.button(key="w_log_discard").click().run()
    assert not test.error


def test_broken_trajectories_are_set_aside_where_that_is_asked_for(app: OpenApp):
    frame = rows(TWO).with_columns(step_index=pl.Series([0, 2, 0, 0, 0], dtype=pl.Int32))
    test = upload(app(), ("gap.parquet", parquet(frame)))
    assert "step_index: has gaps, at gap.parquet:2 (trajectory 't0' has no step 1)" in shown(test)
    test.checkbox(key="w_log_quarantine").check()
    test.button(key="w_log_import").click().run()
    assert "2 rows set aside" in report(test).label
    assert sentence(test).startswith("3 steps in 3 trajectories")


def test_foreign_names_are_mapped(app: OpenApp):
    foreign = rows(TWO).rename(
        {"group_id": "prompt", "trajectory_id": "Trajectory", "reward": "score"}
    )
    test = upload(app(), ("foreign.parquet", parquet(foreign)))
    assert "no name is that of ['group_id', 'trajectory_id']" in shown(test)
    form = pickers(test)
    assert list(form)[:6] == list(rows(TWO).columns)
    assert form["group_id"].options[1:] == foreign.columns
    names = [form[name].value for name in rows(TWO).columns]
    assert names == ["prompt", "Trajectory", "step_index", "observation", "action", "score"]
    preview = next(t.value for t in test.dataframe if "group_id" in t.value.columns)
    assert preview["group_id"].to_list() == ["g", "g", "g"]
    assert preview["reward"].to_list() == ["0.0", "1.0", "0.0"]
    form["reward"].select("").run()
    preview = next(t.value for t in test.dataframe if "group_id" in t.value.columns)
    assert "reward" not in preview.columns
    form["reward"].select("score").run()
    assert '"reward": "score"' in shown(test)
    test.button(key="w_log_import_mapped").click().run()
    assert not test.error
    assert sentence(test).startswith("5 steps in 4 trajectories: 2 groups × 2 rollouts.")
    assert "score became reward" in shown(test)
    commands = [code.value for code in test.code if code.language == "bash"]
    assert commands[0].startswith("cat > mapping.json")
    assert "--map mapping.json" in commands[1]


def test_a_wrong_mapping_is_refused_and_the_form_keeps_what_was_chosen(app: OpenApp):
    foreign = rows(TWO).rename({"group_id": "prompt", "reward": "score"})
    test = upload(app(), ("foreign.parquet", parquet(foreign)))
    form = pickers(test)
    form["group_id"].select("prompt")
    form["reward"].select("prompt")
    test.run()
    test.button(key="w_log_import_mapped").click().run()
    assert "gives ['prompt'] to more than one column" in shown(test)
    assert pickers(test)["group_id"].value == "prompt"
    assert test.subheader[0].value == r"household\.parquet"


def test_keys_of_json_lines_are_mapped_where_no_reader_recognises_them(app: OpenApp):
    records = [
        {"chatlog": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
        | {"info": {"problem": f"p{number // 2}", "won": number % 2}}
        for number in range(4)
    ]
    content = "\n".join(map(json.dumps, records)).encode()
    test = upload(app(), ("own.jsonl", content))
    assert "no reader recognises it" in shown(test)
    form = pickers(test)
    assert "info.won" in form["reward"].options
    form["messages"].select("chatlog")
    form["group_id"].select("info.problem")
    form["reward"].select("info.won")
    test.run()
    test.button(key="w_log_import_mapped").click().run()
    assert not test.error
    assert sentence(test).startswith("4 steps in 4 trajectories: 2 groups × 2 rollouts. 50.0 %")


def test_nothing_is_imported_twice_and_nothing_without_a_file(app: OpenApp):
    assert app().button(key="w_log_import").disabled


@pytest.mark.parametrize("name", ["..", "../../secret.jsonl", r"c:\logs\..", "/"])
def test_a_name_that_leads_elsewhere_stays_in_the_folder(app: OpenApp, tmp_path: Path, name: str):
    test = upload(app(), (name, CHAT))
    assert not test.exception
    assert not test.error
    kept = [path for path in (tmp_path / "home" / "uploads").rglob("*") if path.is_file()]
    assert len(kept) == 1
    assert not (tmp_path / "secret.jsonl").exists()


def test_the_path_input_needs_the_command_line(app: OpenApp):
    assert [found.label for found in app().text_input] == ["Filter"]


def test_paths_are_read_where_the_command_line_allows_it(app: OpenApp, tmp_path: Path):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(CHAT)
    test = app(arguments=("--allow-path-input",))
    test.text_input[1].input(str(folder / "*.jsonl")).run()
    assert test.subheader[0].value == r"a\.jsonl"


@pytest.mark.parametrize("path", ["/no/such/log", "x" * 5000, "/no/such/*"])
def test_a_path_that_is_not_there_is_said(app: OpenApp, path: str):
    test = app(arguments=("--allow-path-input",))
    test.text_input[1].input(path).run()
    assert not test.exception
    assert test.error[0].value == "Not imported: 1 problem."
    assert test.subheader[0].value == r"household\.parquet"


def test_groups_of_one(app: OpenApp):
    one = {f"g{i}": {f"t{i}": [("door", "go", float(i))]} for i in range(3)}
    test = app(rows(one))
    assert "3 groups × 1 rollout. 33.3 %" in sentence(test) or "not known" in sentence(test)
    assert [kind.split(":")[0] for kind in kinds(test)] == ["Live", "One rollout"]
    assert "nothing to compare it with" in captions(test)
    assert "100.0 % of the steps" in captions(test)


def test_rewards_that_are_not_numbers_are_counted_with_their_reason(app: OpenApp):
    test = app(rows(TWO, reward=[0.0, float("nan"), 0.0, None, 0.0]))
    assert not test.exception
    assert "2 trajectories not scored" in sentence(test)
    assert "2 trajectories not scored" in report(test).label
    assert "1 × reward is not finite" in shown(test)
    assert "1 × reward is null" in shown(test)
    assert test.dataframe[0].value["scored"].tolist() == [1, 1]


def test_a_log_in_which_nothing_is_scored(app: OpenApp):
    test = app(rows(TWO, reward=[None] * 5))
    assert not test.exception
    assert "Success is not known" in sentence(test)
    assert "No step of this log is scored" in captions(test)
    assert kinds(test) == ["Live: 0 groups", "Not scored: 2 groups"]


def test_one_step(app: OpenApp):
    test = app(rows({"g": {"t": [("door", "go", 1.0)]}}))
    assert not test.exception
    assert sentence(test).startswith("1 step in 1 trajectory: 1 group × 1 rollout.")
    assert "From 1 to 1 steps, median 1" in captions(test)


def test_equal_rewards(app: OpenApp):
    test = app(rows({"g": {"t": [("door", "go", 0.5)], "u": [("door", "go", 0.5)]}}))
    assert kinds(test) == ["Live: 0 groups", "Same reward: 1 group"]


def test_empty_texts(app: OpenApp):
    test = app(rows(TWO, observation="", action="", task=""))
    assert not test.exception
    assert "100.0 % empty" in shown(test)


def test_huge_texts_are_not_sent(app: OpenApp):
    test = app(rows(TWO, observation="x" * 1_000_000, task="y" * 1_000_000))
    assert not test.exception
    assert "max 1000000 characters" in shown(test)
    assert max(map(len, test.dataframe[0].value["task"])) <= 80


def test_tokens_and_copies(app: OpenApp):
    test = app(rows(TWO, response_tokens=[5, 7, 9, 9, 9], copies=[1, 3, 1, 1, 1]))
    assert "Response tokens: median 9, mean 7.8, max 9, total 39" in shown(test)
    assert "Copies: 2 in 1 rows" in shown(test)


def test_uneven_groups_are_shown(app: OpenApp):
    test = app(rows({"g": TWO["g"], "h": {"t2": [("hall", "go", 0.0)]}}))
    assert "group sizes       1 in 1 group, 2 in 1 group" in shown(test)
    assert charts(test)[0]["data"][0]["x"] == [1, 2]  # the report stands above the facts


def test_a_ticked_group_opens_its_first_trajectory(app: OpenApp):
    test = app(rows(TWO))
    selection = {"rows": [1], "columns": [], "cells": []}
    test.session_state["w_overview_groups"] = {"selection": selection}
    test.run()
    assert test.query_params["step"] == "t2:0"
    assert test.session_state["view"].step == ("t2", 0)
    assert not [header for header in test.subheader if "groups" in header.value]


def test_a_log_is_shown_as_text(app: OpenApp):
    hostile = {
        f"{HOSTILE} g": {
            f"{HOSTILE} t{i}": [(HOSTILE, HOSTILE, float(i)), (HOSTILE, HOSTILE, 0.0)]
            for i in range(2)
        }
    }
    frame = rows(hostile, task=HOSTILE).with_columns(pl.lit(1).alias(f"{HOSTILE} column"))
    test = app(frame)
    assert not test.exception
    assert test.dataframe[0].value["task"][0] == HOSTILE
    assert f"{HOSTILE} column" in shown(test)
    only_text(test)

    test = upload(app(), ("**bold** $x$ :red[a].parquet", parquet(frame.drop("action"))))
    assert test.error
    assert f"{HOSTILE} column" in shown(test)
    assert f"{HOSTILE} column" in pickers(test)["action"].options
    only_text(test)

    test = upload(app(), ("**bold** $x$ :red[a].parquet", parquet(frame)))
    assert test.subheader[0].value == "\\*\\*bold\\*\\* \\$x\\$ \\:\u2060red\\[a\\]\\.parquet"
    only_text(test)


def only_text(test: AppTest) -> None:
    """Hostile text stands in elements that show plain text alone: code, text, tables, options."""
    plain = {"code", "text", "dataframe", "selectbox"}
    marks = ("alert(1)", "javascript:1", "material/home", "**bold**", "$x$")
    others = [element for element in test if element.type not in plain]
    assert len(others) > 10
    for element in others:
        proto = str(getattr(element, "proto", ""))
        assert not [mark for mark in marks if mark in proto], element
    for picker in test.selectbox:
        assert not [mark for mark in marks if mark in picker.label]


def test_a_log_that_mixes_policies_is_warned_of(app: OpenApp):
    models = pl.Series("model", ["a", "a", "b", "b", "b"])
    test = upload(app(), ("log.parquet", parquet(rows(TWO).with_columns(models))))
    (first,) = (m.value for m in test.markdown if "First:" in m.value)
    assert "several policies" in first.replace("\\", "")


def test_a_log_that_is_too_large_is_shown_in_part(app: OpenApp, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workbench.ui.library.excerpt", partial(excerpt, steps=500))
    test = app()
    (said,) = [one.value for one in test.info if "larger than the app can hold" in one.value]
    assert "the first 2 groups of 20" in said
    assert "402 of 3,732 steps" in said


def test_bounds_of_what_is_read_can_be_raised_where_paths_may_be_typed_in(
    app: OpenApp, monkeypatch: pytest.MonkeyPatch
):
    value: Any = 1
    for _ in range(300):
        value = [value]
    deep = [{**json.loads(line), "info": value} for line in CHAT.splitlines()]
    content = "".join(f"{json.dumps(one)}\n" for one in deep).encode()
    test = upload(app(), ("deep.jsonl", content))
    assert "record: nests deeper than 250 levels, at deep.jsonl:1, " in shown(test)
    assert "if that is meant, “Records may nest to” (“Add a log”) allows more" in shown(test)
    assert not [box for box in test.number_input if box.key == "w_log_max_nesting"]

    monkeypatch.setattr(frame, "allow_paths", lambda: True)
    test.run()
    test.number_input(key="w_log_max_nesting").set_value(400)
    test.button(key="w_log_import").click().run()
    assert not test.error
    assert test.subheader[0].value == r"deep\.jsonl"
    assert any("--max-nesting 400 -o log.parquet" in code.value for code in test.code)
