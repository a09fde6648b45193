"""Journey 5: is the credit any good?"""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from app_pages import NASTY, OpenApp, bundled, figures, said, select, table
from places import DATA
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
    assert test.subheader[0].value == "What is wrong?"
    assert test.tabs[0].label == "How do the credits compare?"


def test_texts_of_the_log_are_shown_as_text(app: OpenApp):
    test = opened(app, dead_log(), methods="gigpo", measure="giant_state")
    assert "<script>" not in said(test)
    assert "**bold**" not in said(test)
    assert "bold" in said(test)


def test_unstable_steps_are_the_bootstrap_s_and_link_to_rollouts(app: OpenApp):
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


def findings(test: AppTest) -> list[str]:
    """The findings as they stand on the page."""
    marks = ("Wrong", "Mind", "Know")
    return [text.value for text in test.markdown if text.value.partition(" ")[2].startswith(marks)]


def test_the_worst_finding_comes_first(app: OpenApp):
    test = opened(app, own_softmax(), methods="gigpo,proxmo")
    kinds = [finding.partition(" ")[2].partition(" ")[0] for finding in findings(test)]
    assert kinds[0] == "Wrong"
    assert kinds == sorted(kinds, key=["Wrong", "Mind", "Know"].index)


def own_softmax() -> pl.DataFrame:
    """Every state is unlike any other, so that a step is most of its own baseline."""
    rows = [
        {
            "group_id": f"g{group}",
            "trajectory_id": f"g{group}/{rollout}",
            "step_index": step,
            "observation": f"word{group}{rollout}{step} thing{rollout}{step} of{step}{rollout}",
            "action": "go",
            "reward": float(rollout % 2) * (step == 2),
        }
        for group in range(4)
        for rollout in range(4)
        for step in range(3)
    ]
    return pl.DataFrame(rows)


def test_a_finding_is_applied_to_its_method_and_says_what_was_before(app: OpenApp):
    test = opened(app, own_softmax(), methods="proxmo")
    (apply,) = (button for button in test.button if button.label.startswith("Set peers to"))
    apply.click().run()
    assert not test.exception
    assert json.loads(test.query_params["fields"]) == {"proxmo": {"peers": "other_trajectories"}}
    assert "Before" in test.success[0].value
    assert "peers all" in test.success[0].value
    assert not any("self in softmax" in finding for finding in findings(test))


def test_findings_are_there_before_anything_is_drawn(app: OpenApp, monkeypatch: pytest.MonkeyPatch):
    from workbench.analysis.audit import auditing

    def too_early(*_: object) -> None:
        raise RuntimeError("drawn")

    monkeypatch.setattr(auditing, "bootstrap", too_early)
    test = app(dead_log(), page="audit", query={"methods": "grpo"})
    assert test.exception  # what is drawn fails here
    assert any("dead groups" in finding for finding in findings(test))
    assert "More may come" in said(test)


def test_a_log_of_a_team_has_its_credit_by_role_and_round(app: OpenApp):
    test = app(path=DATA / "relay.parquet", page="audit", query={"methods": "grpo,vineppo"})
    assert not test.exception
    assert "Whose credit is it?" in [tab.label for tab in test.tabs]
    (shares,) = (t.value for t in test.dataframe if "share" in t.value.columns)
    assert shares["share"].sum() == pytest.approx(1.0)
    assert "Whose credit is it?" not in [tab.label for tab in opened(app).tabs]


def test_worlds_say_that_they_are_not_this_log(app: OpenApp):
    test = opened(app, dead_log(), methods="gigpo,rloo")
    assert "Not of this log" in said(test)
    rows = {row["credit"]: row for row in table(test, "audited here")}
    assert rows["gigpo"]["audited here"]
    assert not rows["grpo"]["audited here"]
    assert "Nothing was trained with rloo" in said(test)
