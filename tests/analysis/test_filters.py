"""The filter of the app: what it keeps, and what it says of terms that mean nothing."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress

import logs
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.analysis.filters import (
    joined,
    map_columns,
    parse,
    quoted,
    step_facts,
    without_map,
)
from workbench.errors import FilterError

LOG = logs.log(
    {
        "s/g1": {
            "a": [("a red door", "open it", 0.0), ("a hall", "look", 1.0)],
            "b": [("a red door", "stay", 0.0)],
        },
        "s/g10": {"c": [("a Blue door", 'say "hi"', 1.0)], "d": [("end", "go", 1.0)]},
        "lone": {"e": [("x", "y", None)]},
    },
    agent_id=["p", "q", "p", "q", "q", "lone one"],
    train_step=[1, 1, 1, 2, 2, 2],
    success=[True, True, False, True, True, None],
)
# In canonical order: lone/e, s/g1/a:0, s/g1/a:1, s/g1/b, s/g10/c, s/g10/d.
GIVEN = {
    **step_facts(LOG),
    "A grpo": pl.Series([None, 0.5, -0.5, 1e-14, 2.0, -2.0]),
    "A gigpo": pl.Series([None, 0.5, 0.5, 0.0, -1.0, -2.0]),
    "unstable grpo": pl.Series([False, True, False, False, False, False]),
    "mark": pl.Series(["+", None, "-", None, None, None]),
    "note": pl.Series([None, "a Loop here", None, None, None, None]),
}


def kept(text: str) -> list[int]:
    return parse(text, LOG).rows(LOG, GIVEN).arg_true().to_list()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("outcome:won", [1, 2, 4, 5]),
        ("outcome:failed,unknown", [0, 3]),
        ("-outcome:won", [0, 3]),
        ("kind:live", [1, 2, 3]),
        ("kind:unscored", [0]),
        ("scored:no", [0]),
        ("grpo>0", [1, 4]),
        ("grpo=0", [3]),
        ("grpo<=0", [2, 3, 5]),
        ("|grpo|>=2", [4, 5]),
        ("-|grpo|>=2", [0, 1, 2, 3]),
        ("flip:grpo,gigpo", [2, 4]),
        ("flip:grpo,gigpo,grpo", [2, 4]),
        ("unstable:grpo", [1]),
        ("depth=2", [2]),
        ("depth<2 length=2", [1]),
        ("reward>0", [2, 4, 5]),
        ("return=0", [3]),
        ("group:g1", [1, 2, 3]),
        ("group:s/g10", [4, 5]),
        ("rollout:a,b", [1, 2, 3]),
        ("agent:p", [1, 3]),
        ('agent:"lone one"', [0]),
        ("update:2", [0, 4, 5]),
        ("train_step>=2", [0, 4, 5]),
        ("valid:no", []),
        ("mark:+", [0]),
        ("mark:any", [0, 2]),
        ("mark:none outcome:won", [1, 4, 5]),
        ("note:loop", [1]),
        ("door", [1, 3, 4]),
        ("DOOR -red", [4]),
        ('"red door"', [1, 3]),
        ('"say ""hi"""', [4]),
        ("text:hall,end", [2, 5]),
        ('-"red door" outcome:won', [2, 4, 5]),
        ("action:look", [2]),
    ],
)
def test_a_filter_keeps(text: str, rows: list[int]):
    assert kept(text) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("outcom:won", "there is no filter 'outcom'"),
        ("outcom:won", "Did you mean 'outcome'?"),
        ("outcome:win", "'win' is none of won, failed, unknown. Did you mean 'won'?"),
        ("grop>1", "there is no method 'grop'"),
        ("grop>1", "Did you mean 'grpo'?"),
        ("unstable:grop", "Did you mean 'grpo'?"),
        ("flip:grpo", "needs two methods or more, such as flip:grpo,proxmo"),
        ("depth>many", "compares with 'many', which is no number"),
        ("update:two", "asks for 'two', which is no number"),
        ("|grpo>1", "has one | where it needs two"),
        ("agent:pp", "no step has the agent 'pp', but lone one, p, q"),
        ("tool:x", "the log has no column 'tool_name'"),
        ("group:", "says nothing behind the colon"),
        ('""', "an empty text is in every step"),
        ("scored:maybe", "'maybe' is none of yes, no"),
        ("./mine.py:Method>0", "there is no method"),
    ],
)
def test_a_term_that_means_nothing_is_named(text: str, said: str):
    with pytest.raises(FilterError) as caught:
        parse(text, LOG)
    assert said in str(caught.value)


def test_every_wrong_term_is_named():
    with pytest.raises(FilterError) as caught:
        parse("outcom:won outcome:won kind:liv depth>x", LOG)
    assert len(caught.value.problems) == 3
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_a_filter_says_what_it_asks_for():
    found = parse("grpo>0 flip:grpo,gigpo unstable:proxmo mark:+", LOG)
    assert found.methods == ("grpo", "gigpo")
    assert found.unstable == ("proxmo",)
    assert found.marked
    assert not parse("outcome:won", LOG).marked


def test_messages_are_searched_as_they_are_written():
    messages = json.dumps([{"role": "assistant", "content": 'say "so"\nthen'}])
    log = logs.log({"g": {"a": [("s", "t", 1.0)]}}, messages=[messages])
    assert parse('"say ""so"""', log).rows(log, step_facts(log)).to_list() == [True]


@given(st.text(min_size=1, max_size=20))
def test_a_quoted_value_is_read_back(value: str):
    log = logs.log({"g": {"a": [("s", "t", 1.0)]}}, agent_id=[value])
    found = parse(joined("", f"agent:{quoted(value)}"), log)
    assert found.rows(log, step_facts(log)).to_list() == [True]


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_is_said_to_be_none(text: str):
    with suppress(FilterError):
        found = parse(text, LOG)
        given = {**GIVEN, **{f"A {name}": GIVEN["A grpo"] for name in found.methods}}
        assert len(found.rows(LOG, given)) == LOG.height


# Places of the five scored steps: a triangle of three, one far to the right, one on an edge.
PLACES = np.array([[10, 10], [50, 80], [90, 10], [900, 50], [50, 10]], dtype=np.uint16)


def on_map(text: str) -> list[int]:
    row = LOG["excluded"].is_null().arg_true().to_numpy().astype(np.int64)
    found = parse(text, LOG)
    given = GIVEN | map_columns("tfidf/pca", LOG, row, PLACES)
    assert found.maps == ("tfidf/pca",)
    return found.rows(LOG, given).arg_true().to_list()


def test_a_box_and_a_lasso_on_a_map_keep_what_is_inside():
    assert on_map("map:tfidf/pca,0,0,100,100") == [1, 2, 3, 5]
    # A triangle round the first and the last place; the second is outside its right side.
    assert on_map("map:tfidf/pca,0,0,100,0,0,100") == [1, 3, 5]
    assert on_map("-map:tfidf/pca,0,0,100,100") == [0, 4]
    assert on_map("map:tfidf/pca,0,0,100,100 outcome:won") == [1, 2, 5]


def test_a_region_that_is_none_is_said():
    for text, message in (
        ("map:10,20,30,40", "names no map"),
        ("map:tfidf/tsne,1,2,3,4", "names no map"),
        ("map:tfidf/pca,1,2,3", "two corners of a box"),
        ("map:tfidf/pca,1,2,3,4,5", "two corners of a box"),
        ("map:tfidf/pca,a,b,c,d", "no number"),
    ):
        with pytest.raises(FilterError, match=message):
            parse(text, LOG)


def test_a_region_is_taken_out_and_the_rest_stays():
    text = 'outcome:failed map:tfidf/pca,1,2,3,4 "a map: of rooms" -map:tfidf/pca,1,2,3,4'
    assert without_map(text) == 'outcome:failed "a map: of rooms"'
    assert without_map("") == ""
