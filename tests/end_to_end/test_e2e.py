"""The journeys in a real browser: upload, read, move τ, compare, export; links, keys, attacks."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlparse

import polars as pl
import pytest
from browser import opened, served, settled
from places import ROOT, SAMPLES

from workbench import cli
from workbench.exporters import read_batch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = (
    "<script>document.title='owned'</script> <img src=x onerror=\"document.title='owned'\"> "
    "**bold** $\\frac{a}{b}$ :material/home: :red[red] [link](javascript:alert(1)) # head"
)


@pytest.fixture(scope="module")
def hostile(home: Path) -> Path:
    """A log in which every text that a user can see is an attack."""
    rows = [
        {
            "group_id": f"{HOSTILE} {group}",
            "trajectory_id": f"{HOSTILE} {group}/{rollout}",
            "step_index": step,
            "observation": HOSTILE,
            "action": f"{HOSTILE} {rollout}",
            "task": HOSTILE,
            "reward": float(step == 1 and rollout == 0),
        }
        for group in range(2)
        for rollout in range(3)
        for step in range(2)
    ]
    path = home / "hostile.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def address(home: Path, hostile: Path) -> Iterator[str]:
    bundled = ROOT / "data" / "household.parquet"
    with served(ROOT / "app.py", str(bundled), str(hostile), home=home) as running:
        yield running


def go(page: Page, name: str) -> None:
    """Opens a page of the app by its link at the top."""
    page.get_by_role("link", name=name, exact=True).first.click()
    page.get_by_role("heading", level=1, name=name).wait_for()
    settled(page)


def says(page: Page, text: str, seconds: float = 30) -> None:
    """Waits until a page shows a text.

    Raises:
        PlaywrightTimeout: It does not.
    """
    shown = "text => (document.body?.innerText ?? '').replace(/\\s+/g, ' ').includes(text)"
    page.wait_for_function(shown, arg=text, timeout=1000 * seconds)


def drawn(page: Page, last: str) -> str:
    """Text of the page once its last part is there and nothing has changed for two seconds.

    The browser loads the code of each kind of element when it first meets one, so that the page
    can be without its buttons long after the script has ended.
    """
    says(page, last)
    main, text, since = page.get_by_test_id("stMain"), "", 0
    for _ in range(120):
        settled(page)
        now = main.inner_text()
        since = since + 1 if now == text else 0
        if since == 4 and not main.get_by_test_id("stSkeleton").count():
            return now
        text = now
        page.wait_for_timeout(500)
    raise AssertionError(f"the page is still being drawn after a minute: {text!r}")


def explained(page: Page) -> str:
    """The explanation of step 13. Beside it the viewer draws as many steps as fit at the moment."""
    found = drawn(page, "Nearest states anywhere").rpartition("· step 13\n")[2]
    assert "All numbers of each term" in found
    return found


def query(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def test_from_upload_to_batch(address: str, chrome: Browser, tmp_path: Path):
    chat = SAMPLES / "openai_chat.jsonl"
    with opened(chrome, address) as page:
        # Upload.
        page.get_by_text("Add a log", exact=True).click()
        page.locator("input[type=file][multiple]").set_input_files(str(chat))
        says(page, "openai_chat.jsonl")
        says(page, "1 group × 4 rollouts")
        settled(page)
        uploaded = query(page)["log"]

        # Read.
        go(page, "Rollouts")
        assert query(page)["log"] == uploaded
        says(page, "step 1 of 2")
        says(page, "Find the key. You see a drawer and a shelf.")

        # Filter, and open the step that is left.
        page.get_by_label("Filter", exact=True).fill("drawer outcome:won depth=1")
        page.get_by_label("Filter", exact=True).press("Enter")
        go(page, "Steps")
        says(page, "Read it in its rollout")
        page.keyboard.press("Enter")
        says(page, "in the list")
        page.get_by_label("Filter", exact=True).fill("")
        page.get_by_label("Filter", exact=True).press("Enter")
        page.wait_for_function("() => !location.search.includes('filter=')")
        settled(page)

        # Move τ and apply it.
        go(page, "Tune")
        slider = page.get_by_role("slider").first
        slider.focus()
        for _ in range(8):
            slider.press("ArrowRight")
        page.wait_for_function("() => location.search.includes('try=')")
        settled(page)
        page.get_by_role("button", name="Apply to every page").click()
        page.wait_for_function("() => location.search.includes('fields=')")
        settled(page)
        applied = json.loads(query(page)["fields"])["proxmo"]
        assert applied["temperature"] > 0.1

        # Compare.
        go(page, "Compare")
        says(page, "Where do they disagree most?")

        # Audit.
        go(page, "Audit")
        says(page, "What is wrong?")
        says(page, "How do the credits compare?")

        # Export.
        go(page, "Export")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download batch").click()
        archive = tmp_path / "batch.zip"
        download.value.save_as(archive)
    folder = tmp_path / "batch"
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    manifest = next(folder.rglob("manifest.json"))
    batch = read_batch(manifest.parent)
    assert batch["trajectory_id"].n_unique() == 4
    method = json.loads(manifest.read_text())["method"]
    assert method["name"] == "proxmo"
    assert method["fields"]["temperature"] == applied["temperature"]


def test_a_link_restores_the_view(address: str, chrome: Browser):
    step = "household-s0/task-18/rollout-1:12"
    link = f"{address}/rollouts?methods=grpo,rloo&step={step}"
    with opened(chrome, link) as page:
        says(page, "step 13 of")
        before = explained(page)
        page.reload()
        assert explained(page) == before
        says(page, "step 13 of")
        assert query(page)["methods"] == "grpo,rloo"


def test_the_overview_is_found_by_its_name(address: str, chrome: Browser):
    with opened(chrome, f"{address}/overview") as page:
        says(page, "What can a group method learn from?")
        page.wait_for_timeout(1000)
        assert page.get_by_role("dialog").count() == 0


def test_the_command_of_a_view_gives_its_numbers(
    address: str, chrome: Browser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    with opened(chrome, f"{address}/rollouts?step=household-s0/task-18/rollout-1:12") as page:
        page.get_by_role("button", name="Command").click()
        command = page.locator("code", has_text="workbench explain").first.inner_text()
    arguments = shlex.split(command)
    assert arguments[:2] == ["workbench", "explain"]
    monkeypatch.setattr("sys.argv", [*arguments, "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["step_index"] == 12


@pytest.mark.parametrize(
    "name", ["overview", "rollouts", "steps", "tune", "compare", "audit", "export"]
)
def test_hostile_text_is_text_on_every_page(address: str, chrome: Browser, name: str):
    with opened(chrome, address) as page:
        page.get_by_role("button", name="household.parquet").first.click()
        page.get_by_role("combobox", name="Log").first.click()
        page.get_by_text("hostile.parquet").last.click()
        says(page, "hostile.parquet")
        settled(page)
        page.keyboard.press("Escape")
        if name != "overview":
            go(page, name.capitalize())
        main = page.get_by_test_id("stMain")
        assert page.title() != "owned"
        for tag in ("script", "img[onerror]", ".katex", "strong:text-is('bold')"):
            assert main.locator(tag).count() == 0, tag
        assert main.locator("a[href^='javascript']").count() == 0
        assert main.locator("h1").count() == 1


def test_two_people_do_not_see_each_others_uploads(address: str, chrome: Browser):
    with opened(chrome, address) as first, opened(chrome, address) as second:
        first.get_by_text("Add a log", exact=True).click()
        sample = SAMPLES / "tau_bench.json"
        first.locator("input[type=file][multiple]").set_input_files(str(sample))
        says(first, "tau_bench.json")
        says(first, "4 rollouts")
        second.reload()
        settled(second)
        second.get_by_role("button", name="household.parquet").first.click()
        second.get_by_role("combobox", name="Log").first.click()
        assert "tau_bench.json" not in second.inner_text("body")
