"""Journey 2: why did this step get that credit?"""

from __future__ import annotations

import json
import re
from typing import Any

import logs
import polars as pl
import pytest
from app_pages import NASTY, OpenApp, component
from samples_of import SAMPLES
from streamlit.testing.v1 import AppTest

from workbench.ui import state

ROLLOUT = "household-s0/task-00/rollout-0"
SMALL: logs.Described = {
    "g0": {
        "g0/a": [("s", "go", 0.0), ("t", "look", 0.0), ("s", "put", 1.0)],
        "g0/b": [("s", "stay", 0.0), ("u", "go", 0.0)],
    },
    "g1": {
        "g1/a": [("s", "go", 0.0), ("v", "go", None)],
        "g1/b": [("s", "go", 1.0)],
    },
}


def opened(app: OpenApp, frame: pl.DataFrame | None = None, **query: str) -> AppTest:
    test = app(frame, page="rollouts", query=query)
    assert not test.exception
    return test


def group(test: AppTest) -> dict[str, Any]:
    return component(test, "viewer")["group"]


def order(test: AppTest) -> dict[str, Any]:
    return component(test, "viewer")["order"]


def why(test: AppTest) -> dict[str, Any]:
    return component(test, "why")


def said(test: AppTest) -> str:
    """All Markdown of the page's own words, where log text must be escaped."""
    places = [*test.markdown, *test.caption, *test.warning, *test.error, *test.info]
    return "\n".join(place.value for place in places)


def test_the_parts_sum_to_the_advantage_that_is_shown(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    told = why(test)
    assert (told["trajectory"], told["step"], told["method"]) == (ROLLOUT, 7, "proxmo")
    assert sum(part["value"] for part in told["parts"]) == pytest.approx(told["advantage"])
    assert told["advantage"] == pytest.approx(0.6547284)
    # Six digits travel to the viewer.
    assert group(test)["advantage"][2][7] == 0.654728
    episode, step = told["terms"]
    assert episode["name"] == "The whole rollout"
    assert (
        "reward 1 against the group's mean 0.875, over the deviation 0.354" in episode["sentence"]
    )
    assert step["value"] + episode["value"] == pytest.approx(told["advantage"])


def test_peers_say_who_they_are_and_what_differs(app: OpenApp):
    episode, step = (term["peers"] for term in why(opened(app, step=f"{ROLLOUT}:7"))["terms"])
    assert (episode["count"], episode["of"]) == (8, "rollout")
    assert [row["number"] for row in episode["rows"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "action" not in episode["rows"][0]
    assert (step["count"], step["of"], len(step["rows"])) == (164, "step", 12)
    own = next(row for row in step["rows"] if row["rollout"].endswith("(this)"))
    assert own["target"] == [ROLLOUT, 7]
    assert "differs" not in own
    other = next(row for row in step["rows"] if "differs" in row)
    assert {kind for kind, _ in other["differs"]} <= {"new", "gone"}
    assert other["action"]


def test_a_peer_s_call_is_said_as_the_steps_are_and_not_as_json(app: OpenApp):
    test = app(path=SAMPLES / "openai_chat.jsonl", page="rollouts", query={"methods": "gigpo"})
    (step,) = (term["peers"] for term in why(test)["terms"] if term["name"] == "This step")
    assert {row["action"] for row in step["rows"]} <= {"act(look drawer)", "act(look shelf)"}


def test_a_page_without_a_step_begins_at_the_first_telling_group(app: OpenApp):
    dull = {"a": {"a/1": [("s", "go", 0.0)], "a/2": [("s", "go", 0.0)]}}
    test = opened(app, logs.rows({**dull, **SMALL}))
    assert group(test)["id"] == "g0"
    assert order(test)["goto"] == ["g0/a", 0]


def test_groups_and_rollouts_are_in_the_order_of_people(app: OpenApp):
    steps = [("s", "go", 0.0)]
    described = {f"g{k}": {f"g{k}/r{n}": steps for n in (10, 9, 1)} for k in (10, 2)}
    made = group(opened(app, logs.rows(described), step="g2/r9:0"))
    assert made["groups"]["id"] == ["g2", "g10"]
    assert made["rollouts"]["id"] == ["g2/r1", "g2/r9", "g2/r10"]


def test_a_link_restores_step_methods_leader_and_the_rollout_beside(app: OpenApp):
    beside = "household-s0/task-00/rollout-3"
    query: dict[str, Any] = {
        "step": f"{ROLLOUT}:4",
        "methods": "grpo,gigpo",
        "lead": "grpo",
        "beside": beside,
    }
    test = opened(app, **query)
    assert test.multiselect(key="w_methods_rollouts").value == ["grpo", "gigpo"]
    assert group(test)["methods"] == ["grpo", "gigpo"]
    wanted = {"seq": 1, "goto": [ROLLOUT, 4], "lead": "grpo", "beside": beside, "answers": {}}
    wanted["heard"] = 0
    assert order(test) == wanted
    assert why(test)["method"] == "grpo"
    test.run()
    assert order(test)["seq"] == 1  # nothing has moved


def test_an_address_that_somebody_else_moved_is_an_order(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:4")
    test.query_params["step"] = f"{ROLLOUT}:2"
    test.run()
    assert order(test)["goto"] == [ROLLOUT, 2]
    assert order(test)["seq"] == 2
    assert why(test)["step"] == 2


def test_chosen_methods_are_in_the_address_and_none_is_a_choice(app: OpenApp):
    test = opened(app)
    test.multiselect(key="w_methods_rollouts").set_value(["rloo", "grpo:verl"]).run()
    assert test.query_params["methods"] == "rloo,grpo:verl"
    assert group(test)["methods"] == ["rloo", "grpo:verl"]
    test.multiselect(key="w_methods_rollouts").set_value([]).run()
    assert not test.exception
    assert "Choose a method" in test.info[0].value
    assert group(test)["advantage"] == []


def test_the_popover_has_commands_that_reproduce_the_view(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7", fields='{"proxmo": {"temperature": 0.2}}')
    commands = [box.value for box in test.code if box.value.startswith("workbench ")]
    assert any(
        re.search(rf"explain .* -m proxmo --step {ROLLOUT}:7 -p temperature=0.2", command)
        for command in commands
    )
    assert any(
        f"neighbours {command.split()[2]} --step {ROLLOUT}:7" in command for command in commands
    )
    assert sum(" score " in command for command in commands) == 3


@pytest.mark.parametrize("step", ["nowhere:3", f"{ROLLOUT}:99"])
def test_a_step_that_is_not_there_is_said(app: OpenApp, step: str):
    test = opened(app, step=step)
    assert "names a step that is not here" in test.warning[0].value
    assert order(test)["goto"] == [ROLLOUT, 0]
    assert test.query_params.get("step", f"{ROLLOUT}:0") == f"{ROLLOUT}:0"


def test_an_excluded_rollout_is_read_but_not_scored(app: OpenApp):
    test = opened(app, logs.rows(SMALL), step="g1/a:1")
    assert "No method scores this rollout: reward is" in test.info[0].value.replace("\\", "")
    made = group(test)
    assert made["rollouts"]["excluded"][0]
    assert made["advantage"][0] == [None, None, 0.0]
    assert made["steps"]["reward"] == [0.0, None, 1.0]


def test_a_log_without_any_reward_is_still_read(app: OpenApp):
    test = opened(app, logs.rows({"g": {"a": [("s", "go", None)], "b": [("t", "go", None)]}}))
    assert "can be read, and nothing scores it" in test.info[0].value
    assert group(test)["methods"] == []
    assert group(test)["steps"]["blocks"][0][0]["text"] == "s"


def test_a_log_of_one_step(app: OpenApp):
    test = opened(app, logs.rows({"g": {"a": [("s", "go", 1.0)]}}))
    assert group(test)["rollouts"]["length"] == [1]
    (episode, *_) = why(test)["terms"]
    assert "because it is the only rollout of its group" in episode["sentence"]


def test_a_lone_rollout_has_no_one_to_compare_with(app: OpenApp):
    told = why(opened(app, logs.rows(SMALL), step="g1/b:0", methods="rloo"))
    assert told["terms"][0]["sentence"] == "0, because it is the only rollout of its group"
    assert told["terms"][0]["peers"]["count"] == 0


def test_equal_rewards_say_why_there_is_no_credit(app: OpenApp):
    same = {"g": {"a": [("s", "go", 1.0)], "b": [("s", "go", 1.0)]}}
    told = why(opened(app, logs.rows(same), methods="grpo"))
    assert "switched off: all are equal" in told["terms"][0]["sentence"]


def test_of_a_huge_text_only_the_head_is_sent(app: OpenApp):
    huge = "word " * 200_000
    frame = logs.rows({"g": {"a": [(huge, "go", 1.0), (huge, huge, 0.0)], "b": [("s", "go", 0.0)]}})
    test = opened(app, frame, methods="grpo")
    made = group(test)
    assert len(json.dumps(component(test, "viewer"))) < 20_000
    assert made["cut"]["0:0"] == 1_000_000
    assert len(made["steps"]["blocks"][0][0]["text"]) == 600


def test_a_long_rollout_and_many_groups_send_little(app: OpenApp):
    steps = [(f"state {index} " * 10, "go", 0.0) for index in range(9_999)] + [("end", "go", 1.0)]
    many = {f"h{k:05d}": {f"h{k:05d}/{'x' * 500}": [("s", "go", 0.0)]} for k in range(5_000)}
    frame = logs.rows({"g": {"a": steps, "b": [("state 3", "go", 0.0)]}, **many})
    test = opened(app, frame, step="a:5000", methods="grpo,gigpo")
    made = group(test)
    assert order(test)["goto"] == ["a", 5000]
    assert len(json.dumps(made)) < 4_000_000
    assert (made["groups"]["index"], made["groups"]["total"]) == (0, 5_001)
    assert len(made["groups"]["id"]) == 201


def test_the_filter_marks_steps_and_makes_the_list(app: OpenApp):
    test = opened(app, logs.rows(SMALL), step="g0/b:0", filter="proxmo<0", methods="proxmo")
    made = component(test, "viewer")
    kept = [value < 0 for value in made["group"]["advantage"][0]]
    assert made["group"]["steps"]["kept"] == kept
    assert made["listed"]["total"] == sum(kept)
    assert made["listed"]["steps"][made["listed"]["at"]] == ["g0/b", 0]


def test_log_text_is_escaped_in_the_page_s_own_words(app: OpenApp):
    described = {
        f"{NASTY} g": {
            f"{NASTY} a": [(f"{NASTY} seen", f"{NASTY} done", 0.0), (NASTY, NASTY, 1.0)],
            f"{NASTY} b": [(f"{NASTY} seen", NASTY, 0.0)],
        }
    }
    frame = logs.rows(described, task=NASTY)
    wrong = opened(app, frame, step=f"{NASTY}:1", filter=NASTY)
    for raw in ("<script>", "**bold**", "$x^2$", "[a]("):
        assert raw not in said(wrong)
    assert ":material/home:" not in said(wrong).replace("\\", "")
    assert group(wrong)["task"] == NASTY


def test_nearest_states_come_when_they_are_asked_for(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    assert why(test)["nearest"] is None
    test.session_state[state.NEAREST_OF] = (ROLLOUT, 7)
    test.run()
    found = why(test)["nearest"]["rows"]
    assert len(found) == 10
    assert found[0]["similarity"] == pytest.approx(1.0)
    assert found[0]["text"].startswith("You arrive at sink 1.")
