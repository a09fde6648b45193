"""A report: one file that needs no server, and that nothing in a log can break out of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from logs import log
from places import DATA
from typer.testing import CliRunner

from workbench.cli import app
from workbench.errors import FilterError, ParameterError
from workbench.log.redaction import LIKELY
from workbench.ui.report import report
from workbench.workspace.opened import OpenedLog

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ATTACK = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<!-- <script> \u2028 ]]> sk-" + "a1" * 12
)


def written(frame: pl.DataFrame, **options: Any) -> str:
    opened = OpenedLog.of_table(frame)
    return report(opened, ("grpo", "gigpo"), name="log", **options)


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    found: dict[str, Any] = json.loads(text)
    return found


def hostile() -> pl.DataFrame:
    described = {
        f"g{ATTACK}": {
            f"{ATTACK}{rollout}": [(ATTACK, ATTACK, 0.0), (f"{ATTACK} 2", "go", float(rollout))]
            for rollout in range(2)
        }
    }
    return log(described)


def small() -> pl.DataFrame:
    """Two groups of two rollouts; the rewards of the second differ more."""
    described = {
        "near": {"near/0": [("p", "a", 0.4)], "near/1": [("p", "b", 0.6)]},
        "far": {"far/0": [("q", "a", 0.0)], "far/1": [("q", "b", 9.0), ("r", "c", 0.0)]},
    }
    return log(described)


def shown(page: str) -> list[str]:
    return sorted(name for group in data_of(page)["groups"] for name in group["rollouts"]["id"])


def test_the_same_log_gives_the_same_bytes_and_no_address():
    page = written(small())
    assert page == written(small())
    assert not re.search(r"https?:|//[a-z]+\.|@import|src=|href=", page)


def test_nothing_of_a_log_ends_the_block_that_it_stands_in():
    page = written(hostile())
    # The page's own two scripts, and no other tag that a text could have made.
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    assert "<img" not in page
    assert "\u2028" not in page
    assert data_of(page)["groups"][0]["id"] == f"g{ATTACK}"


def test_without_a_choice_the_groups_with_the_most_weight_are_shown():
    # Under gigpo "far" has three steps with credit, "near" two; one group fits into two rollouts.
    page = written(small(), most=2)
    assert shown(page) == ["far/0", "far/1"]
    says = data_of(page)["chosen"]
    assert says.startswith("Here is the group with the most weight under gigpo")
    assert "2 rollouts of 4 scored rollouts" in says


def test_a_filter_chooses_rollouts_and_lights_its_steps():
    page = written(small(), filter="reward>0.5")
    assert shown(page) == ["far/1", "near/1"]
    groups = {group["id"]: group for group in data_of(page)["groups"]}
    assert groups["far"]["steps"]["kept"] == [True, False]
    # The second of its group keeps its number.
    assert groups["far"]["rollouts"]["number"] == [2]
    assert "filter 'reward>0.5' leaves" in data_of(page)["chosen"]


def test_named_rollouts_are_shown_and_unknown_ones_refused():
    assert shown(written(small(), rollouts=["near/0"])) == ["near/0"]
    with pytest.raises(ParameterError, match="no trajectory 'nobody'"):
        written(small(), rollouts=["nobody"])
    with pytest.raises(ParameterError, match="leaves no step"):
        written(small(), filter="reward>100")


def test_what_the_log_cannot_have_is_refused_before_it_is_scored(monkeypatch: pytest.MonkeyPatch):
    def scored(*_: object) -> None:
        raise AssertionError("the log is scored")

    monkeypatch.setattr("workbench.ui.report.score", scored)
    with pytest.raises(ParameterError, match="no trajectory 'nobody'"):
        written(small(), rollouts=["nobody"])
    with pytest.raises(FilterError, match="Did you mean 'outcome'"):
        written(small(), filter="outcme:failed")


def test_a_redacted_report_holds_nothing_of_what_the_rules_match():
    key = "sk-" + "a1" * 12
    frame = log({"g": {"a": [(f"use {key}", "x", 1.0)], "b": [(f"have {key}", "y", 0.0)]}})
    assert key in written(frame)
    page = written(frame, rules=LIKELY)
    assert key not in page
    assert "key (1 in 2 steps)" in data_of(page)["redaction"]
    assert "likely-secrets" not in str(data_of(page)["findings"]).replace(" ", "-")


def test_the_command_writes_the_file_and_says_its_size(tmp_path: Path):
    out = tmp_path / "r.html"
    arguments = ["report", str(DATA / "household.parquet"), "-o", str(out), "-m", "grpo"]
    done = CliRunner().invoke(app, [*arguments, "--most", "8", "--embedder", "tfidf"])
    assert done.exit_code == 0, done.output
    assert f"wrote {out} (" in done.output
    assert out.stat().st_size < 400_000


@pytest.fixture
def opened_report(chrome: Browser, tmp_path: Path) -> Page:
    path = tmp_path / "r.html"
    path.write_text(written(hostile()), encoding="utf-8")
    page = chrome.new_page()
    page.set_default_timeout(10_000)
    page.goto(path.as_uri())
    return page


def test_a_report_is_read_without_a_server(opened_report: Page):
    page, problems = opened_report, []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.get_by_role("tab", name="Rollouts").click()
    page.locator('.viewer [aria-current="step"]').wait_for()
    page.keyboard.press("Home")
    page.keyboard.press("j")
    assert page.locator('.viewer [aria-current="step"] .num').inner_text() == "2"
    assert not page.locator(".help").is_visible()
    page.keyboard.press("m")
    assert "in the app" in str(page.locator(".viewer").get_attribute("data-say"))
    assert page.title() == "log · credit report"
    assert ATTACK[:20] in page.locator(".viewer .main").inner_text()
    page.get_by_role("button", name="Light / dark").click()
    assert page.locator(".viewer").get_attribute("data-theme") == "dark"
    assert problems == []
    page.close()
