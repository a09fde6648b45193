"""The page Tune: what it shows, what moving the slider does, and where settings go."""

from __future__ import annotations

import base64
import json
import shlex
from typing import Any

import numpy as np
import polars as pl
import pytest
from app_pages import OpenApp, bundled
from logs import Described, log, random_log, rows

from workbench.analysis.tuning.temperature import sign_flips
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.space import Space
from workbench.ui.state import View

SLIDER = "w_tune_value"
LOG: Described = {
    f"g{group}": {
        f"g{group}/t{number}": [
            (f"room {(group + number) % 3}", "go", 0.0),
            (f"door {number % 2} of {group}", "open", 0.0),
            (f"room {number % 3} again", "take", float((group * number) % 3 == 1)),
        ]
        for number in range(4)
    }
    for group in range(4)
}


def metrics(test: Any) -> dict[str, tuple[str, str]]:
    return {metric.label: (metric.value, metric.delta) for metric in test.metric}


def button(test: Any, label: str) -> Any:
    return next(found for found in test.button if found.label.startswith(label))


def charts(test: Any) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in test.get("plotly_chart")]


def shown(test: Any) -> str:
    kinds = (test.markdown, test.caption, test.info, test.error, test.success, test.warning)
    text = "\n".join(element.value for kind in kinds for element in kind)
    return text.replace("\\", "").replace("\u2060", "")


def advantage(frame: pl.DataFrame, **fields: Any) -> Any:
    found = Steps.from_log(frame)
    return ProxMO(**fields)(found, Space(found, embedder="tfidf")).advantage


def test_the_bundled_log_has_its_curve_and_its_minimum(app: OpenApp):
    test = app(page="tune")
    assert not test.exception
    assert test.title[0].value == "Tune"
    assert [heading.value for heading in test.subheader] == [
        "How does credit spread?",
        "Which τ predicts best?",
        "What else makes this credit?",
        "What does success weigh?",
    ]
    assert test.select_slider(key=SLIDER).value == 0.1
    assert len(charts(test)) == 3
    text = shown(test)
    assert "**Applied:** τ 0.1 · **Trying:** just that" in text
    assert "Try τ 0.2378: it predicts better than the plain mean beyond noise" in text
    assert "2.5 % better than the plain mean, beyond noise" in text
    assert "17% of a step's baseline is the step itself" in text
    assert "2,772 steps of 16 groups, without 4 whose returns are all equal" in text
    assert "20 groups of this log at their success rates" in text
    assert metrics(test)["Sign flips"] == ("0", "0.0 % of steps vs τ 0.1")
    assert button(test, "Try").label == r"Try τ 0\.2378"
    assert button(test, "Pin").disabled
    assert button(test, "Apply").disabled


def test_moving_the_slider_changes_numbers_and_address(app: OpenApp):
    frame = log(LOG)
    test = app(frame, page="tune")
    before = metrics(test)
    test.select_slider(key=SLIDER).set_value(0.8).run()
    after = metrics(test)
    assert test.query_params["try"] == "0.8"
    assert float(after["Effective peers"][0]) > float(before["Effective peers"][0])
    assert after["Effective peers"][1] == f"{before['Effective peers'][0]} at τ 0.1"
    flips = sign_flips(advantage(frame, temperature=0.8), advantage(frame))
    assert after["Sign flips"][0] == str(flips)
    assert "**Trying:** τ 0.8" in shown(test)
    outline = charts(test)[0]["data"][1]
    assert outline["name"] == "pinned τ 0.1"


def test_flips_are_counted_against_the_pinned_temperature(app: OpenApp):
    # The step term alone nearly decides the sign, so that it can flip.
    fields = {"step_weight": 40.0, "peers": "other_trajectories"}
    frame = random_log(np.random.default_rng(3), rollouts=8, dense=True)
    test = app(frame, page="tune", query={"try": "6.4", "fields": json.dumps({"proxmo": fields})})
    button(test, "Pin").click().run()
    assert json.loads(test.query_params["pins"]) == {"proxmo": 6.4}
    assert metrics(test)["Sign flips"][0] == "0"
    test.select_slider(key=SLIDER).set_value(0.0125).run()
    cold, hot = (advantage(frame, temperature=value, **fields) for value in (0.0125, 6.4))
    flips = sign_flips(cold, hot)
    assert flips > 0
    assert metrics(test)["Sign flips"] == (
        str(flips),
        f"{100 * flips / frame.height:.1f} % of steps vs τ 6.4",
    )


def test_the_offer_moves_the_slider_there(app: OpenApp):
    test = app(page="tune")
    button(test, "Try").click().run()
    assert test.select_slider(key=SLIDER).value == 0.2378
    assert test.query_params["try"] == "0.2378"
    names = [trace.get("name") for trace in charts(test)[1]["data"]]
    assert "least at τ 0.2378" in names
    assert "slider at τ 0.2378" in names


def test_apply_carries_what_is_tried_to_every_page_and_reset_takes_it_back(app: OpenApp):
    test = app(page="tune", query={"try": "0.2"})
    test.number_input(key="w_tune_proxmo_gamma").set_value(0.9).run()
    test.selectbox(key="w_tune_proxmo_peers").select("other_trajectories").run()
    assert "fields" not in test.query_params
    assert "**Trying:** τ 0.2, γ 0.9, peers other trajectories" in shown(test)
    assert metrics(test)["Weight of its own rollout"][0] == "0 %"
    button(test, "Apply").click().run()
    applied = {"temperature": 0.2, "gamma": 0.9, "peers": "other_trajectories"}
    assert json.loads(test.query_params["fields"]) == {"proxmo": applied}
    assert "try" not in test.query_params
    assert "now have proxmo with γ 0.9, τ 0.2" in shown(test)
    assert "Before: γ 0.95, τ 0.1, peers all" in shown(test)
    # What was before is pinned, so that the change can still be seen.
    assert "**Pinned:** τ 0.1" in shown(test)
    assert "**Trying:** just that" in shown(test)
    button(test, "Reset").click().run()
    assert "fields" not in test.query_params
    assert test.select_slider(key=SLIDER).value == 0.1
    assert test.number_input(key="w_tune_proxmo_gamma").value == 0.95


def test_a_link_restores_the_page(app: OpenApp):
    query = {"try": "0.4", "pins": '{"proxmo": 0.05}', "fields": '{"proxmo": {"gamma": 0.9}}'}
    test = app(log(LOG), page="tune", query=query)
    assert test.select_slider(key=SLIDER).value == 0.4
    assert test.number_input(key="w_tune_proxmo_gamma").value == 0.9
    assert metrics(test)["Sign flips"][1].endswith("vs τ 0.05")
    assert "**Applied:** τ 0.1, γ 0.9 · **Trying:** τ 0.4" in shown(test)
    assert {name: test.query_params[name] for name in query} == query


def test_a_temperature_between_the_stops_is_kept(app: OpenApp):
    frame = log(LOG)
    test = app(frame, page="tune", query={"try": "0.123", "pins": '{"proxmo": 33.0}'})
    assert not test.exception
    assert test.select_slider(key=SLIDER).value == 0.123
    flips = sign_flips(advantage(frame, temperature=0.123), advantage(frame, temperature=33.0))
    assert metrics(test)["Sign flips"][0] == str(flips)


def test_the_command_scores_what_is_tried(app: OpenApp):
    test = app(page="tune", query={"try": "0.2"})
    test.number_input(key="w_tune_proxmo_alpha").set_value(2.0).run()
    (command,) = [code.value for code in test.code if code.value.startswith("workbench score")]
    assert any(code.value.startswith("workbench tune") for code in test.code)
    words = shlex.split(command)
    assert words[words.index("-m") + 1] == "proxmo"
    set_to = [words[k + 1] for k, word in enumerate(words) if word == "-p"]
    assert set_to == ["temperature=0.2", "alpha=2.0"]
    assert words[words.index("--embedder") + 1] == "tfidf"


def test_the_weight_of_success_follows_its_fields(app: OpenApp):
    test = app(log(LOG), page="tune")
    test.number_input(key="w_tune_proxmo_beta").set_value(0.0).run()
    success = charts(test)[2]["data"][0]
    values = np.frombuffer(base64.b64decode(success["y"]["bdata"]), np.float32)
    assert (values == 1.0).all()


def test_peers_in_the_same_state_say_that_no_temperature_matters(app: OpenApp):
    test = app(log(LOG), page="tune", query={"fields": '{"proxmo": {"peers": "same_state"}}'})
    assert not test.exception
    assert "no τ changes this credit" in shown(test)
    assert not test.metric


ONE_STEP: Described = {"g": {"t": [("p q", "x", 1.0)]}}
SINGLETONS: Described = {f"g{k}": {f"t{k}": [("p q", "x", 1.0)]} for k in range(3)}
EQUAL: Described = {"g": {f"t{k}": [(f"room {k}", "x", 1.0)] for k in range(4)}}
EMPTY: Described = {"g": {f"t{k}": [("", "x", float(k))] for k in range(4)}}


@pytest.mark.parametrize(
    ("described", "said", "drawn"),
    [
        (ONE_STEP, ["exactly 0", "1 have fewer than 3 scored rollouts"], 1),
        (SINGLETONS, ["exactly 0", "3 have fewer than 3 scored rollouts"], 1),
        (EQUAL, ["exactly 0", "in 1 all returns are equal"], 1),
        (EMPTY, ["Every τ predicts alike", "Success is not defined in this log"], 2),
    ],
)
def test_where_there_is_nothing_to_draw_a_sentence_says_why(
    app: OpenApp, described: Described, said: list[str], drawn: int
):
    test = app(log(described), page="tune")
    assert not test.exception
    assert not test.error
    for sentence in said:
        assert sentence in shown(test)
    assert len(charts(test)) == drawn
    assert len(test.info) == 3 - drawn


def test_trajectories_without_a_reward_are_left_out(app: OpenApp):
    frame = rows(LOG).with_columns(
        reward=pl.when(pl.col("trajectory_id") == "g0/t0").then(None).otherwise(pl.col("reward"))
    )
    test = app(validate(frame).log, page="tune")
    assert not test.exception
    scored = frame.height - 3
    (about,) = [metric.help for metric in test.metric if metric.label == "Sign flips"]
    assert f"Steps of {scored}" in about


def test_a_log_that_has_no_reward_says_so(app: OpenApp):
    frame = validate(rows(ONE_STEP).with_columns(reward=pl.lit(None, dtype=pl.Float64))).log
    test = app(frame, page="tune")
    assert not test.exception
    assert "There is no credit to tune" in test.error[0].value
    assert test.title[0].value == "Tune"


def test_a_threshold_is_tuned_likewise_and_offered_by_nothing_here(app: OpenApp):
    test = app(page="tune", query={"tune": "gigpo"})
    assert not test.exception
    text = shown(test)
    assert "No threshold predicts better than the plain mean" in text
    assert not [found for found in test.button if found.label.startswith("Try")]
    slider = test.select_slider(key=SLIDER)
    assert slider.value == 1.0
    assert "exact keys" in slider.options
    slider.set_value(0.8).run()
    frame = bundled()
    space = Space(Steps.from_log(frame), embedder="tfidf")
    both = [
        create("gigpo", fields)(space.steps, space).advantage
        for fields in ({"state_key": "similar:threshold=0.8"}, {})
    ]
    flips = sign_flips(*both)
    assert flips > 0
    assert metrics(test)["Sign flips"] == (
        str(flips),
        f"{100 * flips / frame.height:.1f} % of steps vs exact keys",
    )
    button(test, "Apply").click().run()
    assert json.loads(test.query_params["fields"]) == {
        "gigpo": {"state_key": "similar:threshold=0.8"}
    }


def test_other_rollouts_are_offered_where_a_step_is_most_of_its_baseline(app: OpenApp):
    unlike = {
        f"g{group}": {
            f"g{group}/t{n}": [(f"word{group}{n}{k} of{n}{k}", "x", float(k == n)) for k in (0, 1)]
            for n in range(4)
        }
        for group in range(3)
    }
    test = app(log(unlike), page="tune")
    assert "so its step term all but vanishes" in shown(test)
    button(test, "Try other rollouts").click().run()
    assert not test.exception
    assert test.selectbox(key="w_tune_proxmo_peers").value == "other_trajectories"
    assert metrics(test)["Weight of its own rollout"][0] == "0 %"
    assert not [found for found in test.button if found.label.startswith("Try other")]


def test_settings_of_a_method_stay_while_another_is_tuned(app: OpenApp):
    test = app(log(LOG), page="tune", query={"try": "0.4"})
    button(test, "Apply").click().run()
    test.selectbox(key="w_tune_method").select("soft-crbc").run()
    assert not test.exception
    assert test.select_slider(key=SLIDER).value == 10.0
    assert "λ" in [field.label for field in test.number_input]
    test.selectbox(key="w_tune_method").select("proxmo").run()
    assert test.select_slider(key=SLIDER).value == 0.4
    assert "**Pinned:** τ 0.1" in shown(test)


def test_a_method_that_cannot_predict_says_so_and_another_can_be_chosen(app: OpenApp):
    test = app(log(LOG), page="tune", query={"tune": "salt"})
    assert "has no step term" in test.error[0].value
    test.selectbox(key="w_tune_method").select("gigpo").run()
    assert not test.error


@pytest.mark.parametrize(
    "fields",
    [
        '{"proxmo": {"embedder": "some/model"}}',
        '{"gigpo": {"state_key": "similar:embedder=some/model"}}',
        '{"gigpo": {"action_key": "(a+)+$"}}',
        '{"proxmo": 3}',
        "[]",
    ],
)
def test_an_address_sets_numbers_and_choices_alone(fields: str):
    view, (wrong,) = View.from_url({"fields": fields})
    assert "in the address is left out" in wrong
    assert not view.fields
