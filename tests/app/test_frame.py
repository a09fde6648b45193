"""The frame of the app: logs, the view and its URL, messages."""

from __future__ import annotations

import pytest
from app_pages import OpenApp, said
from streamlit.util import calc_hash

from workbench.glossary import GLOSSARY
from workbench.states import space
from workbench.states.embedders import model_files
from workbench.ui.state import View

PAGES = ["overview", "rollouts", "steps", "tune", "compare", "audit", "export"]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_the_bundled_log(app: OpenApp, page: str):
    test = app(page=page)
    assert not test.exception
    assert not test.error
    assert test.title[0].value
    assert test.selectbox(key="w_frame_log").options == ["household.parquet"]
    assert len(test.query_params["log"]) == 16


def test_every_page_shows_the_glossary_on_request(app: OpenApp):
    test = app(page="audit")
    meaning = GLOSSARY["singleton"]
    assert meaning not in said(test)
    (words,) = (button for button in test.button if button.label == "Words")
    assert meaning in said(words.click().run())


def test_what_the_url_says_wrong_is_named_and_left_out(app: OpenApp):
    test = app(query={"try": "hot", "methods": "grpo,nonsense", "embedder": "tfidf"})
    said = " ".join(warning.value for warning in test.warning)
    assert "try" in said
    assert "nonsense" in said
    assert "try" not in test.query_params


def test_another_representation_is_in_the_url(app: OpenApp):
    test = app()
    test.selectbox(key="w_frame_embedder").select("all-MiniLM-L6-v2").run()
    assert test.query_params["embedder"] == "all-MiniLM-L6-v2"


def test_an_unknown_log_is_said_and_the_first_one_shown(app: OpenApp):
    test = app(query={"log": "0123456789abcdef"})
    assert "There is no log" in test.warning[0].value
    assert test.query_params["log"] != "0123456789abcdef"


def test_a_log_that_is_refused_stops_with_its_problems(app: OpenApp, tmp_path):
    import polars as pl

    test = app(pl.DataFrame({"group_id": ["g"]}))
    assert "cannot be opened" in test.error[0].value
    assert "no name is that of" in test.code[0].value
    assert not test.exception


@pytest.mark.parametrize("page", PAGES[1:])
def test_without_embeddings_a_page_says_what_is_missing_and_offers_tfidf(
    app: OpenApp, page: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model_files, "hub_answers", lambda: False)
    test = app(page=page, arguments=("--embedder", "no/such-model"))
    assert not test.exception
    assert "such" in test.error[0].value
    (offered,) = [button for button in test.button if button.label == "Use TF-IDF"]
    offered.click().run()
    assert not test.error
    assert "embedder" not in test.query_params


def test_the_log_page_needs_no_embeddings(app: OpenApp):
    test = app(arguments=("--embedder", "no/such-model"))
    assert not test.error
    assert "3,732 steps" in " ".join(text.value for text in (*test.markdown, *test.text))


def test_a_representation_that_is_not_offered_is_never_loaded(
    app: OpenApp, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    monkeypatch.setattr(space, "resolve", lambda name, cache=None: asked.append(name))
    test = app(query={"embedder": "/etc/a-model"})
    (warning,) = (one.value for one in test.warning if "embedder" in one.value)
    assert "in the address is left out" in warning
    assert "the server offers tfidf" in warning
    assert "others are chosen when it is started" in warning
    assert test.selectbox(key="w_frame_embedder").options == ["tfidf", "all-MiniLM-L6-v2"]
    assert "embedder" not in test.query_params
    assert not asked


def test_an_address_may_ask_for_what_the_server_was_started_with():
    query = {"embedder": "my/model"}
    assert View.from_url(query, ["my/model"]) == (View(embedder="my/model"), [])
    view, (wrong,) = View.from_url(query)
    assert view.embedder == "tfidf"
    assert "embedder='my/model' in the address is left out" in wrong


def test_a_link_that_is_older_than_the_view_leads_to_its_page_with_the_view(app: OpenApp):
    test = app(page="tune", query={"try": "0.2"})
    old = dict(test.query_params)
    test.query_params["try"] = "0.4"  # somebody moved, then clicked what was drawn before
    test.run()
    test._page_hash = calc_hash("compare")
    for key, value in old.items():
        test.query_params[key] = value
    test.run()
    assert test.query_params["try"] == "0.4"
    # Where somebody has been with an address, Back restores it.
    test._page_hash = calc_hash("tune")
    test.query_params["try"] = "0.2"
    test.run()
    assert test.session_state["view"].trying == 0.2


@pytest.mark.parametrize("page", ["steps", "map"])
def test_a_list_and_a_map_have_the_commands_that_give_their_credit(app: OpenApp, page: str):
    test = app(page=page, query={"methods": "gigpo,grpo:verl-agent"})
    assert not test.exception
    commands = [box.value for box in test.code if box.value.startswith("workbench score ")]
    assert [command.rpartition(" -o ")[2] for command in commands] == [
        "gigpo.parquet",
        "grpo-verl-agent.parquet",
    ]
