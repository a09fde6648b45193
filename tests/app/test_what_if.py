"""The what-if panel: a change next to the explanation, its effect, and the kept variant."""

from __future__ import annotations

from typing import Any

import logs
import pytest
from app_pages import OpenApp, said
from kept_variants import forget
from streamlit.testing.v1 import AppTest

from workbench.methods import METHODS

SMALL = {
    "g": {"a": [("x", "p", 1.0)], "b": [("x", "q", 0.0)], "c": [("x", "q", 0.6)]},
}


@pytest.fixture(autouse=True)
def _forgotten() -> Any:
    """Variants are known to the whole process; a test leaves none."""
    yield
    forget()


def opened(app: OpenApp, **query: str) -> AppTest:
    query = {"methods": "gigpo", "step": "a:0", **query}
    test = app(logs.log(SMALL), page="rollouts", query=query)
    assert not test.exception
    return test


def tried(test: AppTest, **values: Any) -> AppTest:
    for label, value in values.items():
        wanted = label.replace("_", " ")
        (found,) = (
            one
            for one in (*test.number_input, *test.multiselect, *test.text_input, *test.selectbox)
            if one.label.startswith(wanted)
        )
        found.set_value(value)
    (send,) = (button for button in test.button if button.label == "See what it does")
    send.click().run()
    assert not test.exception
    return test


def test_nothing_is_said_before_somebody_asks(app: OpenApp):
    assert "This step:" not in said(opened(app))


def test_another_reward_says_before_and_after_and_is_kept_with_its_flips(app: OpenApp):
    test = tried(opened(app), Reward=0.0)
    assert "reward of a is 0" in said(test)
    assert "3 steps in 1 group of the log" in said(test)
    (flips,) = (button for button in test.button if "would flip" in button.label)
    # The winner's own step; 0.6 lies above the mean before and after.
    assert flips.label == "1 sign would flip: keep it and list them"
    (keep,) = (button for button in test.button if button.label == "Keep it")
    keep.click().run()
    (name,) = (f"what-if:{dialect}" for dialect in METHODS["what-if"].dialects)
    assert test.query_params["methods"] == f"gigpo,{name}"
    assert "reward of a is 0" in " ".join(one.value for one in test.success)
    (methods,) = (one for one in test.multiselect if one.label.startswith("Methods"))
    assert name in methods.options


def test_a_kept_variant_is_found_by_an_address_after_a_restart(app: OpenApp):
    test = tried(opened(app), Leave_out_rollouts=["c"])
    (keep,) = (button for button in test.button if button.label == "Keep it")
    keep.click().run()
    (dialect,) = METHODS["what-if"].dialects
    forget()
    import streamlit

    streamlit.cache_resource.clear()
    again = opened(app, methods=f"gigpo,what-if:{dialect}")
    assert not again.warning
    assert f"what-if:{dialect}" in str(again.query_params["methods"])


def test_a_value_that_cannot_be_is_said(app: OpenApp):
    test = tried(opened(app), state_key="no-such-key")
    assert "cannot be computed" in " ".join(one.value for one in test.error)
