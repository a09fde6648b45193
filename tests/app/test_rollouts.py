"""Journey 2: why did this step get that credit?"""

from __future__ import annotations

import json
import re
from typing import Any

import logs
import polars as pl
import pytest
from app_pages import OpenApp
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from workbench.ui import state

ROLLOUT = "household-s0/task-00/rollout-0"
SMALL = {
    "g0": {
        "g0/a": [("s", "go", 0.0), ("t", "look", 0.0), ("s", "put", 1.0)],
        "g0/b": [("s", "stay", 0.0), ("u", "go", 0.0)],
    },
    "g1": {
        "g1/a": [("s", "go", 0.0), ("v", "go", None)],
        "g1/b": [("s", "go", 1.0)],
    },
}
NASTY = "<script>alert(1)</script> **bold** $x^2$ :material/home: [a](http://b)"


def opened(app: OpenApp, frame: pl.DataFrame | None = None, **query: str) -> AppTest:
    test = app(frame, page="rollouts", query=query)
    assert not test.exception
    return test


def figure(test: AppTest, number: int) -> dict[str, Any]:
    return json.loads(test.get("plotly_chart")[number].proto.spec)


def header(test: AppTest) -> str:
    return next(found.value for found in test.markdown if found.value.startswith("**step "))


def move(test: AppTest, what: str, by: int):
    return test.button(key=state.MOVE.format(what=what, by=by))


def select(test: AppTest, element_id: str, selection: dict[str, Any]) -> None:
    """What the browser sends when someone selects; AppTest cannot do it for charts and tables."""
    chosen = WidgetState(id=element_id, string_value=json.dumps({"selection": selection}))
    given = test._tree.get_widget_states

    def with_selection():
        states = given()
        states.widgets.append(chosen)
        return states

    test._tree.get_widget_states = with_selection
    test.run()
    assert not test.exception


def said(test: AppTest) -> str:
    """All Markdown of the page's own words, where log text must be escaped."""
    places = [*test.markdown, *test.caption, *test.warning, *test.error, *test.info]
    return "\n".join(place.value.replace("\u00a0", " ") for place in places)


def texts(test: AppTest) -> list[str]:
    """The log's texts that are shown in full, commands left out."""
    return [box.value for box in test.code if box.language != "bash"]


def test_the_parts_in_the_waterfall_sum_to_the_advantage_shown(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    assert header(test) == "**step 8 of 11**"
    bars = figure(test, 1)["data"][0]
    assert bars["type"] == "waterfall"
    values = bars["y"]
    if isinstance(values, dict):
        import base64

        import numpy as np

        values = np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).tolist()
    assert sum(values[:-1]) == pytest.approx(values[-1])
    assert values[-1] == pytest.approx(0.6547284)
    assert "proxmo :orange[▲ +0.655]" in said(test)
    assert "reward 1 against the group's mean 0\\.875, over the deviation 0\\.354" in said(test)


def test_peers_are_counted_and_lead_to_their_steps(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    assert "**The whole rollout**: 8 rollouts" in said(test)
    assert "164 steps, the heaviest 20 here; 144 more weigh" in said(test)
    episode, steps = test.dataframe[0], test.dataframe[1]
    assert episode.value.shape[0] == 8
    assert "step" not in episode.value.columns
    row = next(k for k, name in enumerate(steps.value["rollout"]) if "this" not in name)
    target = steps.value.iloc[row]
    name = target["rollout"].removesuffix(" (own)")
    select(test, steps.proto.id, {"rows": [row], "columns": [], "cells": []})
    where = f"household-s0/task-00/{name}:{int(target['step']) - 1}"
    assert test.query_params["step"] == where
    assert header(test).startswith(f"**step {int(target['step'])} of")


def test_a_whole_rollout_as_a_peer_leads_to_its_first_step(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    select(test, test.dataframe[0].proto.id, {"rows": [3], "columns": [], "cells": []})
    assert test.query_params["step"] == "household-s0/task-00/rollout-3:0"


def test_a_cell_of_the_lanes_leads_to_its_step(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    points = [{"x": 3, "y": "gigpo", "curve_number": 1, "point_index": 13}]
    chart = test.get("plotly_chart")[0].proto.id
    select(test, chart, {"points": points, "point_indices": [13], "box": [], "lasso": []})
    assert test.query_params["step"] == f"{ROLLOUT}:2"
    assert figure(test, 0)["layout"]["shapes"][0]["x0"] == 2.5


def test_a_page_without_a_step_begins_at_the_logs_first(app: OpenApp):
    test = opened(app)
    assert header(test) == "**step 1 of 11**"
    assert "Task: put a knife on the shelf" in said(test)
    assert test.selectbox(key=state.GROUP_PICKER).value == "household-s0/task-00"
    assert test.selectbox(key=state.TRAJECTORY_PICKER).options[0] == "✓ reward 1 · rollout-0"


def test_buttons_walk_the_log_and_end_at_its_ends(app: OpenApp):
    test = opened(app, logs.rows(SMALL))
    assert move(test, "step", -1).disabled
    assert move(test, "rollout", -1).disabled
    assert move(test, "group", -1).disabled
    move(test, "step", 1).click().run()
    move(test, "step", 1).click().run()
    assert header(test) == "**step 3 of 3**"
    assert test.query_params["step"] == "g0/a:2"
    assert move(test, "step", 1).disabled
    move(test, "step", -1).click().run()
    assert header(test) == "**step 2 of 3**"
    move(test, "rollout", 1).click().run()
    assert test.query_params["step"] == "g0/b:0"
    move(test, "group", 1).click().run()
    assert test.query_params["step"] == "g1/a:0"
    move(test, "rollout", 1).click().run()
    assert move(test, "rollout", 1).disabled
    assert move(test, "group", 1).disabled
    move(test, "group", -1).click().run()
    assert test.query_params["step"] == "g0/a:0"


def test_every_move_has_its_key(app: OpenApp):
    test = opened(app)
    keys = {
        (what, by): move(test, what, by).proto.shortcut
        for what in ("step", "rollout", "group")
        for by in (-1, 1)
    }
    assert keys == {
        ("step", -1): "k",
        ("step", 1): "j",
        ("rollout", -1): "shift+k",
        ("rollout", 1): "shift+j",
        ("group", -1): "shift+g",
        ("group", 1): "g",
    }


def test_pickers_lead_to_the_first_step(app: OpenApp):
    test = opened(app, logs.rows(SMALL), step="g0/a:2")
    test.selectbox(key=state.TRAJECTORY_PICKER).select("g0/b").run()
    assert test.query_params["step"] == "g0/b:0"
    test.selectbox(key=state.GROUP_PICKER).select("g1").run()
    assert test.query_params["step"] == "g1/a:0"


def test_a_step_in_brief_can_be_opened(app: OpenApp):
    test = opened(app, logs.rows(SMALL))
    test.button(key=state.OPEN_STEP.format(index=2)).click().run()
    assert header(test) == "**step 3 of 3**"
    assert texts(test) == ["s", "put"]


def test_a_link_restores_step_and_methods(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:4", methods="grpo,gigpo")
    assert header(test) == "**step 5 of 11**"
    assert test.multiselect(key="w_methods_rollout").value == ["grpo", "gigpo"]
    assert figure(test, 0)["data"][0]["y"] == ["grpo", "gigpo"]
    assert test.button_group(key=state.EXPLAINED).value == "gigpo"


def test_chosen_methods_are_in_the_url_and_none_is_a_choice(app: OpenApp):
    test = opened(app)
    test.multiselect(key="w_methods_rollout").set_value(["rloo", "grpo:verl"]).run()
    assert test.query_params["methods"] == "rloo,grpo:verl"
    assert "rloo :orange[▲ +0.143]" in said(test)
    test.multiselect(key="w_methods_rollout").set_value([]).run()
    assert not test.exception
    assert "Choose a method" in test.info[0].value
    assert texts(test)[0].startswith("You are in the middle")


def test_another_method_is_explained(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    test.button_group(key=state.EXPLAINED).set_value("grpo").run()
    assert len(figure(test, 1)["data"][0]["x"]) == 3
    assert len(test.dataframe) == 2  # peers of the one term, and the facts


def test_commands_reproduce_the_view(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7", proxmo='{"temperature": 0.2}')
    commands = [box.value for box in test.code if box.value.startswith("workbench ")]
    assert any(
        re.search(rf"explain .* -m proxmo --step {ROLLOUT}:7 -p temperature=0.2", command)
        for command in commands
    )
    assert any(
        f"neighbours {command.split()[2]} --step {ROLLOUT}:7" in command for command in commands
    )
    assert sum(" score " in command for command in commands) == 3


@pytest.mark.parametrize(
    ("step", "first"), [("nowhere:3", f"{ROLLOUT}"), (f"{ROLLOUT}:99", f"{ROLLOUT}")]
)
def test_a_step_that_is_not_there_is_said(app: OpenApp, step: str, first: str):
    test = opened(app, step=step)
    assert "names a step that is not here" in test.warning[0].value
    assert header(test) == "**step 1 of 11**"
    assert test.query_params.get("step", f"{first}:0") == f"{first}:0"


def test_an_excluded_rollout_is_read_but_not_scored(app: OpenApp):
    test = opened(app, logs.rows(SMALL), step="g1/a:1")
    assert "No method scores this rollout: reward is" in test.info[0].value.replace("\\", "")
    assert header(test) == "**step 2 of 2**"
    assert "**Step 2** · reward not logged" in said(test)
    assert texts(test)[0] == "v"
    assert not test.get("plotly_chart")
    assert test.selectbox(key=state.TRAJECTORY_PICKER).options[0] == "? not scored · a"


def test_a_log_without_any_reward_is_still_read(app: OpenApp):
    test = opened(app, logs.rows({"g": {"a": [("s", "go", None)], "b": [("t", "go", None)]}}))
    assert "No method scores this rollout" in test.info[0].value
    assert texts(test)[0] == "s"


def test_a_log_of_one_step(app: OpenApp):
    test = opened(app, logs.rows({"g": {"a": [("s", "go", 1.0)]}}))
    assert header(test) == "**step 1 of 1**"
    assert all(move(test, what, by).disabled for what in ("step", "rollout") for by in (-1, 1))
    assert "grpo :gray[= 0]" in said(test)
    assert "because it is the only rollout of its group" in said(test)


def test_a_lone_rollout_has_no_one_to_compare_with(app: OpenApp):
    test = opened(app, logs.rows(SMALL), step="g1/b:0", methods="rloo")
    assert "0, because it is the only rollout of its group" in said(test)
    assert "nobody, there are no peers" in said(test)


def test_equal_rewards_say_why_there_is_no_credit(app: OpenApp):
    same = {"g": {"a": [("s", "go", 1.0)], "b": [("s", "go", 1.0)]}}
    test = opened(app, logs.rows(same), methods="grpo")
    assert "switched off: all are equal" in said(test).replace("\\", "")


def test_an_empty_text_is_said_to_be_empty(app: OpenApp):
    test = opened(app, logs.rows({"g": {"a": [("", "", 1.0), ("", "go", 0.0)]}}))
    assert [caption.value for caption in test.caption].count("(empty)") == 3


def test_a_huge_text_is_folded_until_asked_for(app: OpenApp):
    huge = "word " * 200_000
    frame = logs.rows({"g": {"a": [(huge, "go", 1.0), (huge, huge, 0.0)], "b": [("s", "go", 0.0)]}})
    test = opened(app, frame, methods="grpo")
    sent = sum(len(box.value) for box in test.code) + len(said(test))
    assert sent < 20_000
    test.toggle(key=state.WHOLE_TEXT.format(what="observation", row=0)).set_value(True).run()
    assert len(texts(test)[0]) == 1_000_000


def test_nearest_states_are_computed_when_opened(app: OpenApp):
    test = opened(app, step=f"{ROLLOUT}:7")
    before = len(test.dataframe)
    box = next(found for found in test.expander if found.label.startswith("Nearest"))
    assert not box.dataframe
    select_expander(test, box.proto.id)
    assert len(test.dataframe) == before + 1
    found = test.dataframe[-1]
    assert found.value["similarity"].iloc[0] == pytest.approx(1.0)
    assert found.value.shape[0] == 10
    assert found.value["state"].iloc[0].startswith("You arrive at sink 1.")
    select(test, found.proto.id, {"rows": [0], "columns": [], "cells": []})
    assert test.query_params["step"].startswith("household-s0/task-00/")


def select_expander(test: AppTest, element_id: str) -> None:
    given = test._tree.get_widget_states

    def opened_too():
        states = given()
        states.widgets.append(WidgetState(id=element_id, bool_value=True))
        return states

    test._tree.get_widget_states = opened_too
    test.run()


def test_log_text_is_text_everywhere(app: OpenApp):
    described = {
        f"{NASTY} g": {
            f"{NASTY} a": [(f"{NASTY} seen", f"{NASTY} done", 0.0), (NASTY, NASTY, 1.0)],
            f"{NASTY} b": [(f"{NASTY} seen", NASTY, 0.0)],
        }
    }
    frame = logs.rows(described, task=NASTY)
    test = opened(app, frame, step=f"{NASTY} a:1")
    for raw in ("<script>", "**bold**", "$x^2$", ":material/home:", "[a]("):
        assert raw not in said(test)
    # The browser makes an icon of this even where it is escaped.
    assert ":material/home:" not in said(test).replace("\\", "")
    assert texts(test)[0] == NASTY
    assert "script" in said(test)
    assert "script" not in test.get("plotly_chart")[0].proto.spec
    assert "script" not in test.get("plotly_chart")[1].proto.spec
    assert NASTY in test.selectbox(key=state.TRAJECTORY_PICKER).options[0]
    wrong = opened(app, frame, step=f"{NASTY}:1")
    assert "<script>" not in wrong.warning[0].value


def test_a_long_rollout_sends_only_what_is_near(app: OpenApp):
    steps = [(f"state {index}", "go", 0.0) for index in range(499)] + [("end", "go", 1.0)]
    frame = logs.rows({"g": {"a": steps, "b": [("state 3", "go", 0.0)]}})
    test = opened(app, frame, step="a:250", methods="grpo,gigpo")
    assert header(test) == "**step 251 of 500**"
    assert len(test.button) < 20
    assert texts(test)[0] == "state 250"
