"""Journey 4: which method?"""

from __future__ import annotations

import json
from pathlib import Path

import logs
import numpy as np
import polars as pl
import pytest
from app_pages import NASTY, OpenApp, bundled, figures, said, select, table
from narrow import number
from streamlit.testing.v1 import AppTest

from workbench.analysis.compare import Comparison, compare, sign_table
from workbench.analysis.rollouts import Rollouts
from workbench.log.credit import Credit
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space
from workbench.ui import state

DIFFERENCE = "difference in σ"
SMALL: logs.Described = {
    "g0": {
        "g0/a": [("s", "go", 0.0), ("t", "look", 0.0), ("s", "put", 1.0)],
        "g0/b": [("s", "stay", 0.0), ("u", "go", 0.0)],
    },
    "g1": {
        "g1/a": [("s", "go", 0.0), ("v", "go", 0.0)],
        "g1/b": [("s", "go", 1.0)],
    },
}


def opened(app: OpenApp, frame: pl.DataFrame | None = None, **query: str) -> AppTest:
    test = app(frame, page="compare", query=query)
    assert not test.exception
    return test


def credits(frame: pl.DataFrame, *names: str) -> dict[str, Credit]:
    space = Space(Steps.from_log(frame), embedder="tfidf")
    return {name: create(name)(space.steps, space) for name in names}


def compared(frame: pl.DataFrame, *names: str) -> Comparison:
    return compare({name: credit.table() for name, credit in credits(frame, *names).items()})


def test_the_numbers_are_those_of_compare(app: OpenApp):
    test, frame = opened(app), bundled()
    found = compared(frame, "grpo", "gigpo", "proxmo")
    pair = found.pairs.row(0, named=True)
    assert f"Rank correlation **{pair['spearman']:+.2f}** over 3,732 steps" in said(test)
    assert f"**{pair['sign_flips']:,}** of 3,732 steps" in said(test)
    largest = found.disagreements.filter(left="grpo", right="gigpo")
    rows = table(test, DIFFERENCE)
    of = Rollouts.from_log(frame)
    numbers = [of.numbers[name] for name in largest["trajectory_id"]]
    assert [row["rollout"] for row in rows] == [f"#{number} of {n}" for number, n in numbers]
    # Every id begins with household-s0/, which says nothing here.
    groups = largest["group_id"].str.strip_prefix("household-s0/").to_list()
    assert [row["group"] for row in rows] == groups
    actions = largest.join(frame, on=["trajectory_id", "step_index"], maintain_order="left")
    assert [row["done"] for row in rows] == actions["action"].to_list()
    assert [row["step"] - 1 for row in rows] == largest["step_index"].to_list()
    assert [row["gigpo"] for row in rows] == pytest.approx(largest["right_advantage"].to_list())


def test_every_step_is_in_the_scatter_and_in_the_sign_table(app: OpenApp):
    test, frame = opened(app, methods="grpo,gigpo"), bundled()
    points = figures(test)[0]["data"]
    assert sum(int(trace["name"].split("(")[1][:-1].replace(",", "")) for trace in points) == 3732
    both = credits(frame, "grpo", "gigpo")
    expected = sign_table(*(credit.advantage for credit in both.values()))
    shown = [[row[sign] for sign in "▲=▼"] for row in table(test, "▲")]
    assert shown == expected.tolist()


def test_groups_are_listed_and_those_without_a_rank_say_why(app: OpenApp):
    test = opened(app, methods="grpo,gigpo")
    found = compared(bundled(), "grpo", "gigpo").groups
    silent = found["spearman"].null_count()
    assert f"{silent} of 20 groups have nothing to rank" in said(test)
    (rows,) = (t.value for t in test.dataframe if "rank correlation" in t.value.columns)
    ranks = [row for row in rows["rank correlation"] if not np.isnan(row)]
    assert ranks == sorted(found["spearman"].drop_nulls().to_list())
    reasons = rows["nothing to rank"].tolist()
    assert not any(reasons[:-silent])
    assert set(reasons[-silent:]) == {
        "grpo gives all its steps the same credit",
        "each gives all its steps the same credit",
    }


def test_more_than_two_methods_have_a_matrix_and_a_picker_of_pairs(app: OpenApp):
    test = opened(app)
    assert len(figures(test)) == 3
    found = compared(bundled(), "grpo", "gigpo", "proxmo").pairs
    text = [cell for row in figures(test)[1]["data"][0]["text"] for cell in row if cell]
    values = dict(
        zip(zip(found["left"], found["right"], strict=True), found["spearman"], strict=True)
    )
    expected = [("grpo", "gigpo"), ("grpo", "proxmo"), ("gigpo", "proxmo")]
    assert text == [f"{values[pair]:+.2f}" for pair in expected]
    test.selectbox(key=state.PAIR).select_index(2).run()
    assert test.session_state[state.VIEW].pair == ("gigpo", "proxmo")
    assert {"gigpo", "proxmo"} < set(table(test, DIFFERENCE)[0])


def test_two_methods_need_no_matrix_and_no_picker(app: OpenApp):
    test = opened(app, methods="rloo,proxmo")
    assert len(figures(test)) == 2
    assert not [box for box in test.selectbox if box.key == state.PAIR]


def test_a_link_restores_methods_and_pair(app: OpenApp):
    test = opened(app, methods="grpo,grpo:verl,rloo", pair="grpo:verl,rloo")
    assert test.multiselect[0].value == ["grpo", "grpo:verl", "rloo"]
    assert {"grpo:verl", "rloo"} < set(table(test, DIFFERENCE)[0])


def test_picking_methods_changes_the_view(app: OpenApp):
    test = opened(app)
    picker = test.multiselect(key=state.METHODS_PICKER.format(page="compare"))
    assert "proxmo:reference" in picker.options
    picker.set_value(["grpo", "proxmo:reference"]).run()
    assert test.session_state[state.VIEW].methods == ("grpo", "proxmo:reference")
    assert not test.exception


def test_one_method_asks_for_a_second(app: OpenApp):
    test = opened(app, methods="grpo")
    assert "Pick two or more methods" in said(test)


def test_clearing_the_picker_keeps_the_first_method(app: OpenApp):
    test = opened(app)
    test.multiselect(key=state.METHODS_PICKER.format(page="compare")).set_value([]).run()
    assert test.session_state[state.VIEW].methods == ("grpo",)


def test_a_row_opens_its_step_in_the_rollout(app: OpenApp):
    test = opened(app, logs.log(SMALL), methods="grpo,gigpo")
    found = compared(logs.log(SMALL), "grpo", "gigpo").disagreements
    trajectory, step = found.select("trajectory_id", "step_index").row(1)
    element = next(t for t in test.dataframe if DIFFERENCE in t.value.columns)
    select(test, element.proto.id, {"rows": [1], "columns": [], "cells": []})
    test.run()
    assert test.session_state[state.VIEW].step == (trajectory, step)
    assert test.title[0].value == "Rollouts"


def test_a_point_opens_its_step_in_the_rollout(app: OpenApp):
    test = opened(app, logs.log(SMALL), methods="grpo,gigpo")
    chart = test.get("plotly_chart")[0].proto
    points = [{"curve_number": 0, "point_index": 0, "customdata": 4, "x": 0, "y": 0}]
    select(
        test,
        chart.id,
        {"points": points, "point_indices": [0], "box": [], "lasso": []},
    )
    test.run()
    # Steps in order: g0/a 0 1 2, g0/b 0 1.
    assert test.session_state[state.VIEW].step == ("g0/b", 1)


def test_the_fields_in_which_a_dialect_differs_are_listed(app: OpenApp):
    rows = table(opened(app, methods="gigpo,gigpo:verl-agent"), "field")
    assert {row["field"]: row["gigpo:verl-agent"] for row in rows} == {
        "norm": "mean",
        "population": "steps",
        "group_of_one": "raw",
        "count_copies": "True",
    }


def test_applied_fields_are_compared(app: OpenApp):
    fields = {"fields": json.dumps({"proxmo": {"step_weight": 0.0}})}
    test = opened(app, logs.log(SMALL), methods="grpo,proxmo", **fields)
    row = next(row for row in table(test, "field") if row["field"] == "step_weight")
    assert row["proxmo"] == "0"
    assert "-p step_weight=0.0" in test.code[1].value


def test_the_commands_reproduce_the_view(app: OpenApp):
    test = opened(app, methods="grpo,gigpo:verl-agent")
    one, other, both = (code.value for code in test.code)
    assert one.startswith("workbench score ")
    assert one.endswith("-m grpo -o grpo.parquet")
    assert other.endswith("-m gigpo:verl-agent -o gigpo-verl-agent.parquet")
    assert both == "workbench compare grpo.parquet gigpo-verl-agent.parquet --top 20 --groups"


def test_equal_rewards_leave_nothing_to_rank(app: OpenApp):
    same = {"g": {f"t{k}": [("s", "go", 0.0), ("t", "go", 1.0)] for k in range(3)}}
    test = opened(app, logs.log(same), methods="grpo,rloo")
    assert "There is nothing to rank: each gives all its steps the same credit" in said(test)
    assert "In no group is there anything to rank" in said(test)
    assert "Nowhere" in said(test)


def test_one_step_has_nothing_to_rank(app: OpenApp):
    test = opened(app, logs.log({"g": {"t": [("s", "go", 1.0)]}}))
    assert "There is nothing to rank: fewer than two steps" in said(test)


def test_trajectories_without_a_reward_are_said_to_be_left_out(app: OpenApp):
    lost: logs.Described = {
        **SMALL,
        "g2": {"g2/a": [("s", "go", None)] * 2, "g2/b": [("s", "go", float("nan"))]},
    }
    test = opened(app, logs.log(lost), methods="grpo,gigpo")
    assert "8 of 11 steps are compared; 3 are of trajectories that no method scores" in said(test)


def test_groups_of_one_rollout(app: OpenApp):
    alone = {f"g{k}": {f"t{k}": [("s", "go", 0.0), ("t", "go", k / 2)]} for k in range(3)}
    test = opened(app, logs.log(alone), methods="grpo,grpo:verl")
    assert "grpo gives all its steps the same credit" in said(test)
    assert len(table(test, "rank correlation")) == 3


@pytest.mark.parametrize("text", ["", "huge " * 200_000], ids=["empty", "huge"])
def test_empty_and_huge_texts(app: OpenApp, text: str):
    frame = logs.log(SMALL, observation=text, action=text)
    assert "Rank correlation" in said(opened(app, frame, methods="grpo,gigpo"))


def runs_of(tmp_path: Path) -> list[Path]:
    """Two logs of the household: all of its tasks, and later updates on some of them."""
    frame = bundled()
    later = frame.filter(pl.col("group_id") >= "household-s0/task-10").with_columns(
        train_step=pl.col("group_id").str.tail(2).cast(pl.Int64) // 5,
        success=pl.lit(value=True),
    )
    paths = [tmp_path / "before.parquet", tmp_path / "after.parquet"]
    for part, path in zip((frame, later), paths, strict=True):
        part.write_parquet(path)
    return paths


def test_runs_are_set_against_the_first_and_what_one_lacks_is_said(app: OpenApp, tmp_path: Path):
    before, after = runs_of(tmp_path)
    first = app(path=before)
    base = first.query_params["log"]
    test = app(path=after, page="compare", query={"methods": "grpo,gigpo"})
    assert not test.exception
    picker = test.multiselect(key=state.RUNS)
    assert picker.value == [test.query_params["log"]]
    own = test.query_params["log"]
    test = app(path=after, page="compare", query={"methods": "grpo,gigpo", "runs": f"{base},{own}"})
    assert not test.exception
    points = table(test, "live groups, %")
    assert [(row["run"], row["rollouts"]) for row in points] == [
        ("before.parquet", 160),
        ("after.parquet", 40),
        ("after.parquet", 40),
    ]
    assert r"after\.parquet lacks 10 tasks of before\.parquet" in said(test)
    changes = table(test, "after.parquet − before.parquet")
    known = bundled().group_by("group_id").agg(pl.col("success").mean())
    assert max(row["after.parquet − before.parquet"] for row in changes) == pytest.approx(
        100
        * (1 - number(known.filter(pl.col("group_id") >= "household-s0/task-10")["success"].min()))
    )


def test_a_run_that_is_gone_is_said(app: OpenApp):
    test = opened(app, logs.log(SMALL), methods="grpo,gigpo", runs="0123456789abcdef")
    assert "1 log of the address cannot be found" in test.warning[0].value


def test_ids_that_look_like_markup_are_shown_as_text(app: OpenApp):
    nasty = {
        f"{g}{NASTY}{g}": {f"{NASTY} {t}": s for t, s in ts.items()} for g, ts in SMALL.items()
    }
    test = opened(app, logs.log(nasty), methods="grpo,gigpo")
    assert any(NASTY in str(row["group"]) for row in table(test, DIFFERENCE))
    assert "<script>" not in said(test)
    assert not any(NASTY in json.dumps(figure) for figure in figures(test))


def test_many_steps_are_drawn_as_cells_with_the_largest_disagreements_on_top(app: OpenApp):
    rng = np.random.default_rng(0)
    frame = logs.random_log(rng, groups=20, rollouts=40, max_length=14, dense=True)
    assert frame.height > 5000
    test = opened(app, frame, methods="grpo,gigpo")
    assert [trace["type"] for trace in figures(test)[0]["data"]] == ["heatmap", "scatter"]
    assert "Click a marked step" in said(test)
