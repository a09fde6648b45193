"""Deciding in a real browser: a watched run, the matrix of methods, a stop of what takes long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from browser import opened, served, settled
from places import DATA, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def run_folder(home: Path) -> Path:
    """A folder that a run writes to: two updates of the household, and one more kept aside."""
    frame = pl.read_parquet(DATA / "household.parquet")
    groups = frame["group_id"].unique(maintain_order=True)
    folder = home / "run"
    folder.mkdir()
    for update in range(3):
        part = frame.filter(pl.col("group_id").is_in(groups[4 * update : 4 * update + 4].to_list()))
        part = part.with_columns(train_step=pl.lit(update))
        name = f"update-{update}.parquet"
        part.write_parquet((folder if update < 2 else home) / name)
    return folder


@pytest.fixture(scope="module")
def address(home: Path, run_folder: Path) -> Iterator[str]:
    arguments = [
        str(DATA / "household.parquet"),
        *("--home", str(home / "deciding")),
        *("--embedder", "tfidf"),
        *("--watch", str(run_folder)),
    ]
    with served(ROOT / "app.py", *arguments, home=home / "deciding-server") as found:
        yield found


def test_new_files_are_said_in_a_corner_and_loaded_when_asked_for(
    chrome: Browser, address: str, home: Path, run_folder: Path
):
    with opened(chrome, f"{address}/compare") as page:
        before = page.url
        page.get_by_text("2 new files").wait_for()
        assert page.url == before
        page.get_by_role("button", name="Load", exact=True).click()
        page.get_by_text("2 files loaded: run.parquet").wait_for()
        assert page.url != before
        settled(page)
        page.get_by_role("tab", name="Runs and checkpoints").click()
        page.get_by_text("rollouts that succeed").wait_for()
        (home / "update-2.parquet").rename(run_folder / "update-2.parquet")
        page.get_by_text("1 new file in run").wait_for()


def test_a_click_in_the_matrix_chooses_the_pair(chrome: Browser, address: str):
    with opened(chrome, f"{address}/compare") as page:
        matrix = page.locator(".js-plotly-plot").filter(has=page.locator(".hm")).first
        cell = matrix.locator(".scatterlayer .point").nth(2)
        box = cell.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_function("() => location.search.includes('pair=gigpo%2Cproxmo')")
        settled(page)
        page.get_by_text("Steps by gigpo").wait_for()


def test_what_takes_long_can_be_stopped_and_taken_up_again(chrome: Browser, home: Path):
    frame = pl.read_parquet(DATA / "household.parquet")
    copies = [
        frame.with_columns(
            pl.format("{}/{}", pl.col(name), pl.lit(copy)) for name in ("group_id", "trajectory_id")
        )
        for copy in range(3)
    ]
    log = home / "long.parquet"
    pl.concat(copies).write_parquet(log)
    with (
        served(ROOT / "app.py", str(log), "--home", str(home / "long"), home=home / "l") as found,
        opened(chrome, f"{found}/overview") as page,
    ):
        page.goto(f"{found}/tune?tune=soft-crbc")
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Holding out one rollout after the other: stopped.").wait_for()
        settled(page)
        # The slider works without the curve, which is made when somebody asks for it.
        page.get_by_text("nothing says which value predicts best").wait_for()
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("The best of 16").wait_for()


def test_an_audit_shows_findings_while_it_draws_and_leaves_nothing_of_them(
    chrome: Browser, address: str
):
    with opened(chrome, f"{address}/audit?methods=gigpo,proxmo,rloo") as page:
        page.get_by_role("tab", name="Every number").wait_for()
        settled(page)
        assert page.get_by_text("What is wrong?").count() == 1
        assert page.get_by_text("More may come").count() == 0
