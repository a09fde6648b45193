"""The filter of the app and the page of the steps that it leaves."""

from __future__ import annotations

import logs
import numpy as np
import polars as pl
import pytest
from app_pages import NASTY, OpenApp, component, figures, said, select
from streamlit.testing.v1 import AppTest

from workbench.ui import state

SMALL: logs.Described = {
    "g2": {
        "g2/a": [("s", "go", 0.0), ("t", "look", 0.0), ("s", "put", 1.0)],
        "g2/b": [("s", "stay", 0.0), ("u", "go", 0.0)],
    },
    "g10": {"g10/a": [("s", "go", 0.0), ("v", "go", None)], "g10/b": [("s", "go", 1.0)]},
}
PAGES = ["overview", "rollouts", "steps", "tune", "compare", "audit", "export"]


def opened(app: OpenApp, frame: pl.DataFrame | None = None, **query: str) -> AppTest:
    test = app(frame, page="steps", query=query)
    assert not test.exception
    return test


def places(test: AppTest) -> list[tuple[str, int]]:
    return [(row["trajectory"], row["step"]) for row in component(test, "steps")["rows"]]


def links(test: AppTest) -> list[str]:
    return [plain(found.proto.label) for found in test.get("page_link")]


def plain(label: str) -> str:
    """A label as the browser shows it."""
    return label.replace("\\", "").replace("\u2060", "")


def test_without_a_filter_all_steps_are_listed(app: OpenApp):
    test = opened(app)
    table = component(test, "steps")
    assert (table["total"], len(table["rows"]), table["at"]) == (3_732, 500, 0)
    assert table["methods"] == ["grpo", "gigpo", "proxmo"]
    first = table["rows"][0]
    assert (first["number"], first["outcome"], first["length"]) == ([1, 8], "won", 11)
    assert first["done"] == "go to kitchen"


def test_a_text_that_goes_on_says_so(app: OpenApp):
    frame = logs.rows({"g": {"a": [("s" * 400, "go", 0.0), ("s" * 401, "go", 1.0)]}})
    seen = [row["observation"] for row in component(opened(app, frame), "steps")["rows"]]
    assert seen == ["s" * 400, "s" * 400 + "…"]


def test_a_filter_in_the_address_is_applied_and_counted(app: OpenApp):
    test = opened(app, logs.rows(SMALL), filter="outcome:won proxmo>0")
    assert places(test) == [("g2/a", 0), ("g2/a", 1), ("g2/a", 2)]
    assert "3 steps of 8" in links(test)
    assert test.text_input(key=state.FILTER).value == "outcome:won proxmo>0"


def test_what_is_typed_goes_into_the_address(app: OpenApp):
    test = opened(app, logs.rows(SMALL))
    test.text_input(key=state.FILTER).input("  depth=2 ").run()
    assert test.query_params["filter"] == "depth=2"
    assert places(test) == [("g10/a", 1), ("g2/a", 1), ("g2/b", 1)]
    test.text_input(key=state.FILTER).input("").run()
    assert "filter" not in test.query_params
    assert len(places(test)) == 8


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_the_filter_and_says_what_is_wrong_with_it(app: OpenApp, page: str):
    test = app(logs.rows(SMALL), page=page, query={"filter": "outcom:won kind:liv"})
    assert not test.exception
    wrong = next(error.value for error in test.error if "outcom" in error.value)
    assert "Did you mean 'outcome'?" in plain(wrong)
    assert "kind" in wrong
    assert test.text_input(key=state.FILTER).value == "outcom:won kind:liv"


@pytest.mark.parametrize(
    ("page", "note"),
    [
        ("overview", "facts and charts are of the whole log"),
        ("tune", "A value and its error are of the whole log"),
        ("audit", "An audit is of the whole log"),
        ("export", "Only what the filter leaves is trained"),
    ],
)
def test_pages_say_what_a_filter_does_not_narrow(app: OpenApp, page: str, note: str):
    test = app(logs.rows(SMALL), page=page, query={"filter": "outcome:won"})
    assert note in said(test)
    assert note not in said(app(logs.rows(SMALL), page=page))


def test_steps_are_sorted_by_size_with_those_without_a_number_last(app: OpenApp):
    test = opened(app, logs.rows(SMALL), sort="-|proxmo|", methods="proxmo")
    table = component(test, "steps")
    sizes = [row["advantage"][0] for row in table["rows"]]
    numbers = [abs(a) for a in sizes if a is not None]
    assert numbers == sorted(numbers, reverse=True)
    assert sizes[-2:] == [None, None]
    assert table["sort"] == "-|proxmo|"


def test_an_order_that_does_not_exist_is_said_and_left(app: OpenApp):
    test = opened(app, logs.rows(SMALL), sort="-grop")
    assert "Did you mean 'grpo'?" in plain(test.warning[0].value)
    assert "sort" not in test.query_params
    assert len(places(test)) == 8


def test_a_method_that_cannot_score_the_log_is_said(app: OpenApp):
    frame = logs.rows({"g": {"a": [("s", "go", None)]}})
    test = opened(app, frame, filter="grpo>0")
    assert any("cannot score this log" in error.value for error in test.error)
    assert len(places(test)) == 1


def test_a_filter_that_leaves_nothing_is_an_empty_list(app: OpenApp):
    test = opened(app, logs.rows(SMALL), filter="depth>100")
    assert component(test, "steps")["total"] == 0
    assert "0 steps of 8" in links(test)


def test_unstable_steps_are_those_of_the_audit(app: OpenApp):
    test = opened(app, filter="unstable:proxmo", methods="proxmo")
    audit = app(page="audit", query={"methods": "proxmo"})
    (counted,) = (label for label in links(audit) if label.startswith("proxmo"))
    assert f"{component(test, 'steps')['total']:,}" in counted


def test_counts_of_the_overview_lead_to_their_steps(app: OpenApp):
    test = app(logs.rows(SMALL))
    labels = links(test)
    assert "Live: 1 group" in labels
    assert "Succeeded: 2 rollouts" in labels
    (found,) = (x.proto for x in test.get("page_link") if plain(x.proto.label) == "Live: 1 group")
    assert "filter=kind%3Alive" in found.query_string


def test_a_bar_of_the_lengths_lists_its_steps(app: OpenApp):
    test = app()
    chart = test.get("plotly_chart")[0].proto
    bars = figures(test)[0]["data"][0]["customdata"]
    points = [{"point_index": 0, "curve_number": 0}]
    select(test, chart.id, {"points": points, "point_indices": [0], "box": [], "lasso": []})
    test.run()
    assert test.session_state[state.VIEW].filter == f"length>={bars[0]} length<={bars[0]}"


def test_compare_goes_over_what_the_filter_leaves(app: OpenApp):
    test = app(page="compare", query={"filter": "outcome:won"})
    won = opened(app, filter="outcome:won", methods="grpo,gigpo")
    total = component(won, "steps")["total"]
    assert f"over {total:,} steps" in said(test)
    flips = next(label for label in links(test) if label.startswith("Show the"))
    listed = opened(app, filter="outcome:won flip:grpo,gigpo", methods="grpo,gigpo")
    assert f"{component(listed, 'steps')['total']:,} step" in flips
    none = app(page="compare", query={"filter": "depth>1000"})
    assert "there is nothing to compare" in said(none)


def test_texts_and_names_of_a_log_are_given_as_they_are(app: OpenApp):
    described = {
        f"{NASTY} g": {f"{NASTY} a": [(NASTY, NASTY, 0.0)], f"{NASTY} b": [(NASTY, "", 1.0)]}
    }
    test = opened(app, logs.rows(described), filter=f'"{NASTY}"')
    row = component(test, "steps")["rows"][0]
    assert (row["action"], row["observation"]) == (NASTY, NASTY)
    assert "<script>" not in said(test)


def test_of_many_steps_the_first_are_sent(app: OpenApp):
    rng = np.random.default_rng(0)
    frame = logs.random_log(rng, groups=50, rollouts=8, max_length=30)
    test = opened(app, frame)
    assert component(test, "steps")["total"] == frame.height
    assert len(component(test, "steps")["rows"]) == 500
