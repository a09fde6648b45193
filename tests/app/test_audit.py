"""Journey 5: is the credit any good?"""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from app_pages import NASTY, OpenApp, bundled, figures, said, select, table
from streamlit.testing.v1 import AppTest

from workbench.analysis.audit import CONTROLS, Audit, audit
from workbench.log.steps import Steps
from workbench.methods.scoring import score
from workbench.states.space import Space
from workbench.ui.state import View


def opened(app: OpenApp, frame: pl.DataFrame | None = None, **query: str) -> AppTest:
    test = app(frame, page="audit", query=query)
    assert not test.exception
    return test


def audited(frame: pl.DataFrame, *names: str) -> Audit:
    space = Space(Steps.from_log(frame), embedder="tfidf")
    return audit(space, {name: score(space, name).scored() for name in names})


def dead_log() -> pl.DataFrame:
    """No group has a success, and every text is an attack."""
    rows = [
        {
            "group_id": f"g{group}",
            "trajectory_id": f"g{group}/{rollout}",
            "step_index": step,
            # Most steps are in one state, which each of the others leads to.
            "observation": NASTY if step % 2 else f"{step} {rollout}",
            "action": f"{NASTY} {rollout}",
            "reward": 0.0,
        }
        for group in range(4)
        for rollout in range(4)
        for step in range(5)
    ]
    return pl.DataFrame(rows)


def test_the_chart_shows_the_numbers_of_the_audit(app: OpenApp):
    test = opened(app, methods="grpo,proxmo", measure="split_half")
    expected = audited(bundled(), "grpo", "proxmo").frame.filter(measure="split_half")
    (figure,) = figures(test)
    shown = {
        credit: value
        for trace in figure["data"]
        if trace["type"] == "scatter"
        for credit, value in zip(trace["y"], _numbers(trace["x"]), strict=True)
    }
    of_credit = dict(expected.drop_nulls("value").select("credit", "value").iter_rows())
    assert shown == pytest.approx(of_credit)
    assert set(shown) & set(CONTROLS)


def _numbers(values: Any) -> list[float]:
    """Plotly sends arrays in base64."""
    import base64

    import numpy as np

    if isinstance(values, dict):
        values = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return values


def test_a_measure_says_what_it_means_and_is_kept_in_the_address(app: OpenApp):
    test = opened(app, methods="grpo")
    test.selectbox(key="w_audit_measure").select("singleton_rate").run()
    assert "occurs once in their group" in said(test)
    assert "use proximity" in said(test)
    assert test.query_params["measure"] == "singleton_rate"


def test_a_measure_that_does_not_exist_is_said_and_left(app: OpenApp):
    _, (wrong,) = View.from_url({"measure": "merit"})
    assert "merit" in wrong
    test = opened(app, methods="grpo", measure="merit")
    assert test.selectbox(key="w_audit_measure").value == "held_out_gain"


def test_what_is_wrong_comes_first_with_what_to_do(app: OpenApp):
    test = opened(app, dead_log(), methods="grpo,gigpo")
    (finding,) = (text.value for text in test.markdown if "groups are dead" in text.value)
    assert ":gray[→ Sample tasks of middling difficulty" in finding
    titles = [title.value for title in test.subheader]
    assert titles[:2] == ["What is wrong?", "How do the credits compare?"]


def test_texts_of_the_log_are_shown_as_text(app: OpenApp):
    test = opened(app, dead_log(), methods="gigpo", measure="giant_state")
    assert "<script>" not in said(test)
    assert "**bold**" not in said(test)
    assert "bold" in said(test)


def test_the_unstable_steps_are_those_of_the_bootstrap_and_lead_to_their_rollout(app: OpenApp):
    test = opened(app, methods="gigpo")
    rows = table(test, "sign changes")
    found = audited(bundled(), "gigpo").intervals.filter(
        (pl.col("credit") == "gigpo") & (pl.col("sign_flips") >= 0.2)
    )
    assert f"{found.height:,} times" in said(test)
    largest = found.sort(pl.col("advantage").abs(), descending=True)
    assert [row["advantage"] for row in rows[:5]] == largest["advantage"].head(5).to_list()
    (chosen,) = (t for t in test.dataframe if "sign changes" in t.value.columns)
    select(test, chosen.proto.id, {"rows": [1], "columns": []})
    test.run()
    trajectory, step = largest.select("trajectory_id", "step_index").row(1)
    assert test.query_params["step"] == f"{trajectory}:{step}"


def test_the_command_gives_the_same_audit(app: OpenApp):
    test = opened(app, methods="grpo,gigpo")
    commands = [code.value for code in test.code]
    assert any(command.startswith("workbench score") for command in commands)
    (line,) = (command for command in commands if command.startswith("workbench audit"))
    assert "--credit grpo.parquet --credit gigpo.parquet" in line


def test_the_first_method_stays_when_all_are_cleared(app: OpenApp):
    test = opened(app)
    test.multiselect(key="w_methods_audit").set_value([]).run()
    assert not test.exception
    assert test.query_params["methods"] == "grpo"


def test_where_all_rewards_are_equal_no_sign_changes(app: OpenApp):
    test = opened(app, dead_log(), methods="grpo")
    assert "No step's credit changes its sign" in said(test)
    assert json.dumps(figures(test)) != "[]"
