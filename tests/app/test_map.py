"""The map in a real browser: what is drawn is the filter, a point is a step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlparse

import logs
import pytest
from app_pages import OpenApp, component
from browser import opened, served, settled
from places import DATA, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OVER = ".map .over"


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    log = str(DATA / "household.parquet")
    with served(ROOT / "app.py", log, "--home", str(home / "app"), home=home) as found:
        yield found


@pytest.fixture
def page(chrome: Browser, address: str) -> Iterator[Page]:
    with opened(chrome, f"{address}/map") as found:
        found.wait_for_function("() => document.querySelector('.map')?.dataset.ms !== undefined")
        yield found


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def drag(page: Page, *share: tuple[float, float]) -> None:
    """Drags over the map through places given as shares of its sides."""
    box = page.locator(OVER).bounding_box()
    assert box is not None
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in share]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


def test_a_box_is_the_filter_of_every_page_and_escape_takes_it_away(page: Page):
    drag(page, (0.1, 0.5), (0.5, 0.95))
    page.wait_for_url("**filter=map**")
    settled(page)
    left, _, right = page.locator(".map .count").inner_text().partition(" of ")
    assert 0 < int(left.replace(",", "")) < int(right.split()[0].replace(",", ""))
    (text,) = query(page)["filter"]
    corners = [int(part) for part in text.removeprefix("map:tfidf/pca,").split(",")]
    # x from a tenth to a half of the side, y from the lower edge's twentieth to the middle.
    assert corners == pytest.approx([1000, 500, 5000, 5000], abs=60)
    page.get_by_role("link", name=f"{left} steps of {right.split()[0]}").wait_for()
    page.locator(OVER).hover()
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "filter" not in url)


def test_a_lasso_joins_what_the_filter_says_already(page: Page):
    page.get_by_label("Filter", exact=True).fill("outcome:failed")
    page.get_by_label("Filter", exact=True).press("Enter")
    page.wait_for_url("**filter=outcome**")
    settled(page)
    page.get_by_role("button", name="Lasso").click()
    drag(page, (0.1, 0.3), (0.5, 0.3), (0.5, 0.9), (0.2, 0.9))
    page.wait_for_url("**map*tfidf**")
    (text,) = query(page)["filter"]
    assert text.startswith("outcome:failed map:tfidf/pca,")
    assert 6 <= text.count(",") <= 80


def test_a_point_says_its_step_and_opens_it(page: Page):
    # The first step of the log: its place is known to the page alone, so it is looked for.
    found = page.evaluate(
        """() => {
            const canvas = document.querySelector('.map canvas');
            const { width, height } = canvas;
            const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
            for (let i = 0; i < width * height; i++)
                if (data[4 * i + 3]) return [i % width, Math.floor(i / width)];
        }"""
    )
    box = page.locator(OVER).bounding_box()
    assert box is not None
    place = (box["x"] + found[0] + 1, box["y"] + found[1] + 1)
    page.mouse.move(*place)
    tip = page.locator(".map .tip")
    tip.wait_for(state="visible")
    assert "step" in tip.inner_text()
    step = tip.inner_text().split("step ")[1].split()[0]
    page.mouse.click(*place)
    page.locator('.viewer [aria-current="step"]').wait_for()
    assert page.locator('.viewer [aria-current="step"] .num').inner_text() == step


def test_another_representation_does_not_take_the_region_for_its_own(app: OpenApp):
    given = {"g": {"a": [("x", "p", 1.0)], "b": [("y", "q", 0.0)]}}
    region = {"filter": "map:minilm/pca,0,0,5000,5000"}
    test = app(logs.log(given), page="map", query=region)
    assert not test.exception
    assert "drawn on the map of minilm" in " ".join(
        error.value.replace("\\", "") for error in test.error
    )
    assert component(test, "map")["plane"]["filtered"] is False


@pytest.mark.parametrize("colour", ["return", "disagreement", "success", "depth"])
def test_every_colour_is_an_address(app: OpenApp, colour: str):
    given: logs.Described = {
        "g": {"a": [("x", "p", 1.0), ("z", "p", 0.0)], "b": [("y", "q", None)]},
        "h": {"c": [("x", "p", 1.0)], "d": [("y", "p", 0.0)]},
    }
    test = app(logs.log(given), page="map", query={"map": f"{colour}/pca"})
    assert not test.exception
    plane = component(test, "map")["plane"]
    # b has no reward, and so no place.
    assert plane["count"] == 4
    assert "1 step of rollouts that are not scored" in " ".join(c.value for c in test.caption)
