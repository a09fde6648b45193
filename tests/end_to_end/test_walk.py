"""From an upload to a batch by keyboard: all but the choice of a file and the box on the map."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlparse

import pytest
from browser import opened, served, settled
from places import DATA, ROOT
from samples_of import SAMPLES

from workbench.exporters import read_batch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

HERE = '.viewer [aria-current="step"]'


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    arguments = ["--home", str(home / "walk"), "--embedder", "tfidf"]
    log = str(DATA / "relay.parquet")
    with served(ROOT / "app.py", log, *arguments, home=home / "walk-server") as running:
        yield running


def tab_to(page: Page, target: Locator, most: int = 90) -> None:
    """Presses Tab until a thing has the focus."""
    target.wait_for()
    for _ in range(most):
        if target.evaluate("one => one.contains(document.activeElement)"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {target}")


def press_on(page: Page, target: Locator, key: str = "Enter") -> None:
    tab_to(page, target)
    page.keyboard.press(key)


def go(page: Page, name: str) -> None:
    """Opens a page of the app by its link at the top."""
    press_on(page, page.get_by_role("link", name=name, exact=True).first)
    page.get_by_role("heading", level=1, name=name).wait_for()
    settled(page)


def narrow(page: Page, text: str, left: str) -> None:
    """Types a filter."""
    box = page.get_by_label("Filter", exact=True)
    tab_to(page, box)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.get_by_role("link", name=left).wait_for()
    settled(page)


def query(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def test_a_person_walks_from_an_upload_to_a_batch_by_keyboard(
    address: str, chrome: Browser, tmp_path: Path
):
    with opened(chrome, address) as page:
        # Upload: Enter opens the area; the dialog of files is the system's own.
        press_on(page, page.locator("summary", has_text="Add a log"))
        page.locator("input[type=file][multiple]").set_input_files(SAMPLES / "openai_chat.jsonl")
        page.get_by_text("1 group × 4 rollouts").wait_for()
        settled(page)

        # Verdict: what the log can teach, and which credit to train with.
        page.get_by_text("1 group is live").first.wait_for()
        page.get_by_text("Train with").first.wait_for()

        # Filter: the steps of the two rollouts that fail, two each.
        narrow(page, "outcome:failed", "4 steps of 9")

        # Read: the first of them, then the next one of the list.
        go(page, "Steps")
        page.locator(".steps .step.here").wait_for()
        page.keyboard.press("Enter")
        page.get_by_text("1 of 4 in the list").wait_for()
        page.keyboard.press(".")
        page.get_by_text("2 of 4 in the list").wait_for()
        page.keyboard.press("Home")
        page.wait_for_function(f"() => document.querySelector('{HERE} .num')?.innerText === '1'")

        # Compare: another rollout beside this one, then two methods.
        page.keyboard.press("c")
        page.get_by_text("here they part").first.wait_for()
        page.wait_for_function("() => location.search.includes('beside=')")
        page.keyboard.press("c")

        # Mark: the step that led there, with a note.
        page.keyboard.press("m")
        page.locator(f"{HERE} .pivotal", has_text="+").wait_for()
        page.keyboard.press("e")
        page.get_by_label("Note", exact=True).wait_for()
        page.keyboard.type("looks in the wrong place")
        page.keyboard.press("Enter")
        page.locator(f"{HERE} .note").wait_for()

        # What if this rollout had succeeded? The change is kept as a method.
        press_on(page, page.get_by_role("button", name="What if"))
        reward = page.get_by_role("spinbutton", name="Reward of this rollout")
        tab_to(page, reward)
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("1")
        press_on(page, page.get_by_role("button", name="See what it does"))
        page.get_by_text("This step:").wait_for()
        settled(page)
        press_on(page, page.get_by_role("button", name="Keep it", exact=True))
        page.wait_for_function("() => location.search.includes('what-if')")
        settled(page)
        page.keyboard.press("Escape")
        go(page, "Compare")
        page.get_by_text("Where do they disagree most?").wait_for()
        page.get_by_text("what-if:proxmo-reward").first.wait_for()

        # Map: a box is drawn with the mouse, and Escape takes it away again.
        go(page, "Map")
        over = page.locator(".map canvas").last
        over.wait_for()
        box = over.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 2, box["y"] + 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=4)
        page.mouse.up()
        page.wait_for_url("**map*tfidf**")
        page.locator(".map .count", has_text=" of ").wait_for()
        settled(page)
        page.keyboard.press("Escape")
        page.wait_for_url(lambda url: "map%3Atfidf" not in url and "map:tfidf" not in url)
        settled(page)

        # Export: of what the filter leaves, the four failed steps train.
        narrow(page, "outcome:failed", "4 steps of 9")
        go(page, "Export")
        button = page.get_by_role("button", name="Download batch")
        tab_to(page, button)
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        archive = tmp_path / "batch.zip"
        download.value.save_as(archive)
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path / "batch")
    manifest = next((tmp_path / "batch").rglob("manifest.json"))
    batch = read_batch(manifest.parent)
    assert batch["trajectory_id"].to_list() == ["find-key/2", "find-key/3"]
    assert json.loads(manifest.read_text())["options"]["filter"] == "outcome:failed"
