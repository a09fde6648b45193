"""Reports of keys on a log."""

from __future__ import annotations

import json

from logs import Described, steps

from workbench.states.keys.report import key_report, key_table
from workbench.states.space import Space


def test_a_report_counts_labels_singletons_and_what_merges_or_splits() -> None:
    # Exact: hall (3, of two trajectories), Hall, door. Normalised: hall (4), door.
    described: Described = {
        "g": {
            "t0": [("hall", "x", 0.0), ("Hall", "x", 0.0), ("door", "x", 0.0)],
            "t1": [("hall", "x", 0.0), ("hall", "y", 0.0)],
        }
    }
    space = Space(steps(described), embedder="tfidf")
    report = key_report(space, "normalised")
    assert (report.steps, report.labels, report.plain_labels, report.split) == (5, 2, 3, 0)
    assert (report.singleton_rate, report.plain_singleton_rate) == (0.2, 0.4)
    assert report.one_trajectory_rate == 0.2
    (row,) = report.merged.to_dicts()
    assert row == {
        "label": 0,
        "group_id": "g",
        "steps": 4,
        "trajectories": 2,
        "distinct": 2,
        "texts": ["hall", "Hall"],
    }
    assert report.largest["steps"].to_list() == [4, 1]
    # By pairs of states hall falls into (-, hall), (hall, hall); Hall and door stay whole.
    history = key_report(space, "history")
    assert (history.labels, history.split, history.merged.height) == (4, 1, 0)
    acts = key_report(space, "text", "action")
    assert (acts.labels, acts.singleton_rate, acts.largest["texts"][0].to_list()) == (2, 0.2, ["x"])
    assert json.loads(json.dumps(report.to_dict(1)))["merged"] == [row]


def test_every_key_says_in_one_line_what_is_the_same() -> None:
    for row in [*key_table("state"), *key_table("action")]:
        assert row["what is the same"].endswith("."), row


def test_the_table_of_keys_has_their_fields_and_a_dash_for_none() -> None:
    found = {row["state key"]: row["fields"] for row in key_table("state")}
    assert (found["webshop"], found["exact"]) == ("options", "–")


def test_what_merges_most_comes_first_then_what_is_larger_then_what_was_first() -> None:
    # By their spelling alone: a three ways in 3 steps, b two ways in 5, c in 2, d in 2.
    texts = ["d", "D", "c", "C", "a", "A", "a ", "b", "B", "b", "b", "b"]
    described: Described = {"g": {"t": [(text, "x", 0.0) for text in texts]}}
    merged = key_report(Space(steps(described), embedder="tfidf"), "normalised").merged
    assert [text[0].strip().lower() for text in merged["texts"].to_list()] == ["a", "b", "d", "c"]
    assert merged["distinct"].to_list() == [3, 2, 2, 2]
    assert merged["steps"].to_list() == [3, 5, 2, 2]
