"""The viewer in a real browser: keys, addresses, texts on demand, hostile logs, two people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlparse

import polars as pl
import pytest
import tiny_policy
from browser import opened, served, settled
from narrow import some
from places import DATA, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = (
    "<script>document.title='owned'</script> <img src=x onerror=\"document.title='owned'\"> "
    "**bold** $\\frac{a}{b}$ :material/home: [link](javascript:alert(1)) "
    "\u202eright to left\u202c \u0007\u200b"
)
LONG = "word " * 2000 + "the very end"
HERE = '.viewer [aria-current="step"]'


@pytest.fixture(scope="module")
def hostile(home: Path) -> Path:
    """A log in which every text is an attack, with a long text and ids of 500 characters."""
    rows = [
        {
            "group_id": f"{HOSTILE} {group} {'g' * 400}",
            "trajectory_id": f"{HOSTILE} {group}/{'t' * 400} {rollout}",
            "step_index": step,
            "observation": f"{HOSTILE} {LONG}" if step else HOSTILE,
            "action": f"{HOSTILE} {rollout}",
            "thought": HOSTILE,
            "agent_id": HOSTILE,
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
def tokens(home: Path) -> Path:
    """A log with messages, tools, tokens and a column of its own."""
    call = {"id": "c", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    reply = {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [call]}
    steps = [
        [{"role": "system", "content": "Be exact."}, {"role": "user", "content": "1 + 2?"}, reply],
        [
            {"role": "tool", "tool_call_id": "c", "content": "3"},
            {"role": "assistant", "content": "It is 3."},
        ],
    ]
    rows = [
        {
            "group_id": "sum",
            "trajectory_id": f"sum/{rollout}",
            "step_index": index,
            "observation": "",
            "action": "",
            "messages": json.dumps(messages),
            "tools": None if index else json.dumps([{"type": "function"}]),
            "reward": float(index == 1 and rollout == 0),
            "prompt_ids": [1, 2],
            "response_ids": [11, 12, 13],
            "response_mask": [1, 1, 0],
            "response_logprobs": [-0.1, -2.0, -0.5],
            "mood": "calm",
        }
        for rollout in range(2)
        for index, messages in enumerate(steps)
    ]
    path = home / "tokens.parquet"
    pl.DataFrame(rows, schema_overrides={"response_mask": pl.List(pl.Int8)}).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def address(home: Path, hostile: Path, tokens: Path) -> Iterator[str]:
    household = str(DATA / "household.parquet")
    arguments = [
        household,
        str(hostile),
        str(tokens),
        "--home",
        str(home / "app"),
        "--allow-path-input",
    ]
    with served(ROOT / "app.py", *arguments, home=home) as running:
        yield running


def step(page: Page) -> str:
    """The step of the address, once it stays for a while."""
    last, since = "", 0
    for _ in range(100):
        now = parse_qs(urlparse(page.url).query).get("step", [""])[0]
        since = since + 1 if now == last else 0
        if since == 8:
            return now.removeprefix("household-s0/")
        last = now
        page.wait_for_timeout(120)
    raise AssertionError(f"the address does not settle: {page.url}")


def at(page: Page, expected: str) -> None:
    """Waits until the address names a step of household."""
    page.wait_for_function(
        "step => new URLSearchParams(location.search).get('step') === step",
        arg=f"household-s0/{expected}",
    )


def shown(page: Page) -> int:
    """The number of the step that is marked as the current one."""
    return int(page.locator(f"{HERE} .num").first.inner_text())


def reads(page: Page, number: int) -> None:
    """Waits until a step is the current one."""
    page.wait_for_function(
        f"n => document.querySelector('{HERE} .num')?.innerText === String(n)", arg=number
    )


def ready(page: Page) -> None:
    page.locator(HERE).first.wait_for()
    settled(page)


def test_keys_work_without_a_click_and_none_is_lost(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        for _ in range(10):
            page.keyboard.press("j")
            page.wait_for_timeout(60)
        assert shown(page) == 11
        at(page, "task-00/rollout-0:10")
        page.keyboard.press("k")
        assert shown(page) == 10
        page.keyboard.press("Shift+J")
        assert shown(page) == 1
        at(page, "task-00/rollout-1:0")
        page.keyboard.press("g")
        page.wait_for_function("() => location.search.includes('task-01')")
        at(page, "task-01/rollout-0:0")
        page.keyboard.press("Shift+G")
        # A key that is pressed before the group is here is meant for it.
        page.keyboard.press("End")
        reads(page, 11)
        at(page, "task-00/rollout-0:10")


def test_a_press_repaints_before_any_message_of_the_server(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        page.evaluate(
            """() => {
                const node = document.querySelector('.viewer .main');
                window.seen = [];
                new MutationObserver(() => window.seen.push(performance.now()))
                    .observe(node, {subtree: true, attributes: true, childList: true});
            }"""
        )
        frames: list[float] = []
        page.context.new_cdp_session(page)
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.webSocketFrameReceived", lambda frame: frames.append(1.0))
        page.keyboard.press("j")
        assert shown(page) == 2
        assert page.evaluate("() => window.seen.length") > 0
        assert not frames


def test_back_and_forward_restore_what_was_read(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts?step=household-s0/task-00/rollout-0:0") as page:
        ready(page)
        for number in (1, 2, 3):
            page.keyboard.press("j")
            at(page, f"task-00/rollout-0:{number}")
        page.go_back()
        reads(page, 3)
        page.go_back()
        reads(page, 2)
        at(page, "task-00/rollout-0:1")
        page.go_forward()
        reads(page, 3)
        page.keyboard.press("j")
        at(page, "task-00/rollout-0:3")
        page.keyboard.press("g")
        page.wait_for_function("() => location.search.includes('task-01')")
        at(page, "task-01/rollout-0:0")
        page.go_back()
        page.wait_for_function("() => location.search.includes('task-00')")
        reads(page, 4)
        settled(page)  # what the server still writes into the address belongs to this page
        page.get_by_role("link", name="Compare").click()
        page.get_by_role("heading", level=1, name="Compare").wait_for()
        settled(page)
        page.go_back()
        ready(page)
        reads(page, 4)
        assert urlparse(page.url).path == "/rollouts"
        page.reload()
        ready(page)
        reads(page, 4)


def test_back_from_another_page_shows_the_step_that_was_read(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts?step=household-s0/task-00/rollout-0:0") as page:
        ready(page)
        for number in (1, 2, 3):
            page.keyboard.press("j")
            at(page, f"task-00/rollout-0:{number}")
        settled(page)
        page.get_by_role("link", name="Compare").click()
        page.get_by_role("heading", level=1, name="Compare").wait_for()
        settled(page)
        page.go_back()
        ready(page)
        reads(page, 4)


def test_a_link_opens_for_somebody_else(address: str, chrome: Browser):
    link = f"{address}/rollouts?methods=grpo,rloo&lead=grpo&step=household-s0/task-18/rollout-1:12"
    with opened(chrome, link) as page:
        ready(page)
        assert shown(page) == 13
        assert page.get_by_role("radio", checked=True).inner_text().endswith("grpo")
        page.keyboard.press("c")
        page.wait_for_function("() => location.search.includes('beside=')")
        here, beside = page.url, page.locator(".cmp-head").nth(1).inner_text()
    with opened(chrome, here) as other:
        ready(other)
        other.locator(".cmp-head").nth(1).wait_for()
        assert other.locator(".cmp-head").nth(1).inner_text() == beside
        other.keyboard.press("j")
        with opened(chrome, here) as third:
            ready(third)
            assert third.url == here


def test_two_people_read_their_own_steps(address: str, chrome: Browser):
    link = f"{address}/rollouts?step=household-s0/task-00/rollout-0:0"
    with opened(chrome, link) as first, opened(chrome, link) as second:
        ready(first)
        ready(second)
        first.keyboard.press("j")
        at(first, "task-00/rollout-0:1")
        second.keyboard.press("Shift+J")
        at(second, "task-00/rollout-1:0")
        at(first, "task-00/rollout-0:1")
        assert shown(first) == 2


def test_the_node_survives_reruns(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        page.evaluate("() => { document.querySelector('.viewer .main').dataset.mine = 'yes'; }")
        page.keyboard.press("j")
        step(page)
        page.keyboard.press("g")
        page.wait_for_function("() => location.search.includes('task-01')")
        ready(page)
        assert page.locator(".viewer .main").get_attribute("data-mine") == "yes"


def test_finding_goes_through_the_group(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts?step=household-s0/task-00/rollout-0:0") as page:
        ready(page)
        page.keyboard.press("/")
        page.keyboard.type("take knife")
        page.keyboard.press("Enter")
        page.locator(HERE, has_text="take knife").wait_for()
        first = step(page)
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("take knife")
        page.locator(f"{HERE} mark").first.wait_for()
        page.locator(".viewer .main").focus()
        page.keyboard.press("n")
        assert step(page) != first
        page.keyboard.press("Shift+N")
        assert step(page) == first
        assert page.locator(f"{HERE} mark").count() >= 1


def choose(page: Page, name: str) -> None:
    """Opens another log of the server."""
    page.get_by_role("button", name="household.parquet").first.click()
    page.get_by_role("combobox", name="Log").first.click()
    page.get_by_text(name).last.click()
    page.wait_for_function("name => document.body.innerText.includes(name)", arg=name)
    settled(page)
    page.keyboard.press("Escape")


def test_hostile_text_is_text_and_made_visible(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        choose(page, "hostile.parquet")
        ready(page)
        viewer = page.locator(".viewer")
        viewer.get_by_text("document.title").first.wait_for()
        for name in ("c", "c", "i", "t", "?", "Escape", "j"):
            page.keyboard.press(name)
            page.wait_for_timeout(100)
        assert page.title() != "owned"
        for tag in ("script", "img", ".katex", "strong", "a[href^='javascript']"):
            assert viewer.locator(tag).count() == 0, tag
        said = page.evaluate("() => document.querySelector('.viewer').innerText")
        assert "\u202e" not in said
        assert "\u200b" not in said
        assert "\u2420" in said
        height = page.evaluate("() => document.querySelector('.stMain').scrollWidth")
        assert height <= 1280


def test_a_long_text_comes_when_it_is_asked_for(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        choose(page, "hostile.parquet")
        ready(page)
        page.keyboard.press("j")
        here = page.locator(HERE)
        more = here.get_by_role("button", name="characters").first
        more.wait_for()
        assert "the very end" not in here.inner_text()
        more.click()
        here.get_by_text("the very end").wait_for()
        # What was sent only in part is found as well.
        page.keyboard.press("k")
        page.keyboard.press("/")
        page.keyboard.type("very end")
        page.wait_for_function(
            "() => document.querySelector('.viewer .hits').innerText.includes('3')"
        )


def test_messages_tools_columns_and_tokens_are_shown(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        choose(page, "tokens.parquet")
        ready(page)
        here = page.locator(HERE)
        here.get_by_text("1 + 2?").wait_for()
        labels = here.locator(".label").all_inner_texts()
        assert labels == ["system", "user", "thought", "call"]
        assert here.locator(".call").inner_text().split() == ["add", "a", "1", "b", "2"]
        page.get_by_role("button", name="task, tools").click()
        page.locator(".task-text", has_text="Tools offered").wait_for()
        page.keyboard.press("i")
        here.locator(".token").first.wait_for()
        assert here.locator(".token").all_inner_texts() == ["11", "12", "13"]
        signs = [here.locator(".token").nth(k).get_attribute("data-sign") for k in range(3)]
        assert signs == ["1", "1", "0"]  # the advantage is above 0, the mask ends it
        assert "calm" in here.locator("dl.columns").inner_text()
        page.keyboard.press("j")
        here.locator(".label", has_text="add").wait_for()
        here.locator(".token").first.wait_for()


def test_tokens_are_texts_once_their_tokenizer_is_named(
    address: str, chrome: Browser, tmp_path: Path
):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        choose(page, "tokens.parquet")
        ready(page)
        page.keyboard.press("i")
        here = page.locator(HERE)
        here.get_by_text("name a folder with tokenizer.json").wait_for()
        page.get_by_role("button", name="tokens.parquet").first.click()
        folder = page.get_by_role("textbox", name="Folder of the policy")
        folder.fill(str(tmp_path))
        folder.press("Enter")
        here.get_by_text("is not on this machine").wait_for()
        folder.fill(str(tiny_policy.tokenizer(tmp_path / "policy")))
        folder.press("Enter")
        here.get_by_text("Texts by").wait_for()
        assert here.locator(".token").all_inner_texts() == ["up", "left", "right"]


@pytest.mark.parametrize("width", [900, 1280, 1920])
def test_no_page_scrolls_beside_the_viewer(address: str, chrome: Browser, width: int):
    with opened(chrome, f"{address}/rollouts") as page:
        page.set_viewport_size({"width": width, "height": 800})
        ready(page)
        page.wait_for_timeout(500)
        over = page.evaluate(
            """() => [...document.querySelectorAll('.stMain, html')].map(node =>
                [node.scrollHeight - node.clientHeight, node.scrollWidth - node.clientWidth])"""
        )
        assert all(tall <= 1 and wide <= 1 for tall, wide in over), over


def test_a_list_is_walked_with_full_stop_and_comma(address: str, chrome: Browser):
    query = "filter=flip:grpo,gigpo&sort=-|gigpo|&methods=grpo,gigpo"
    with opened(chrome, f"{address}/steps?{query}") as page:
        page.locator(".steps .step.here").wait_for()
        total = page.locator(".steps .peek p").first.inner_text().removeprefix("1 of ")
        rows = page.locator(".steps .step")
        titles = [
            some(rows.nth(k).locator("[title]").nth(1).get_attribute("title")) for k in range(4)
        ]
        page.keyboard.press("j")
        assert page.locator(".steps .peek p").first.inner_text() == f"2 of {total}"
        page.keyboard.press("Enter")
        page.wait_for_function("() => location.pathname === '/rollouts'")
        ready(page)
        page.get_by_text(f"2 of {total} in the list").wait_for()
        assert step(page).rpartition(":")[0] == titles[1].removeprefix("household-s0/")
        for number in (3, 4):
            page.keyboard.press(".")
            page.get_by_text(f"{number} of {total} in the list").wait_for()
        assert step(page).rpartition(":")[0] == titles[3].removeprefix("household-s0/")
        page.keyboard.press(",")
        page.get_by_text(f"3 of {total} in the list").wait_for()
        for _ in range(4):
            page.go_back()
            page.wait_for_timeout(400)
        page.wait_for_function("() => location.pathname === '/steps'")
        page.get_by_text(f"2 of {total}").first.wait_for()


def test_a_count_leads_to_its_steps_and_back(address: str, chrome: Browser):
    with opened(chrome, f"{address}/compare?methods=grpo,gigpo") as page:
        page.get_by_role("link", name="Show the").click()
        page.wait_for_function("() => location.pathname === '/steps'")
        page.locator(".steps .step.here").wait_for()
        assert page.get_by_label("Filter", exact=True).input_value() == "flip:grpo,gigpo"
        page.go_back()
        page.wait_for_function("() => location.pathname === '/compare'")
        page.get_by_role("link", name="Show the").wait_for()
        assert page.get_by_label("Filter", exact=True).input_value() == ""


def test_a_filter_that_is_typed_is_kept_on_other_pages(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts") as page:
        ready(page)
        box = page.get_by_label("Filter", exact=True)
        box.fill("outcome:won")
        box.press("Enter")
        page.get_by_role("link", name="steps of 3,732").wait_for()
        page.locator(".viewer .kept").first.wait_for(state="attached")
        page.get_by_role("link", name="Steps", exact=True).click()
        page.locator(".steps .step.here").wait_for()
        assert page.get_by_label("Filter", exact=True).input_value() == "outcome:won"
        assert page.locator(".steps .outcome.failed").count() == 0
        page.go_back()
        ready(page)
        page.go_back()
        page.wait_for_function("() => !location.search.includes('filter')")
        page.wait_for_function(
            "() => document.querySelector('input[aria-label=\"Filter\"]').value === ''"
        )


def kept(page: Page, address: str, text: str) -> None:
    """Opens an address until a link says a text: what was pressed before is kept by then."""
    page.wait_for_timeout(500)
    for _ in range(10):
        page.goto(address)
        settled(page)
        if page.get_by_role("link", name=text).count():
            return
        page.wait_for_timeout(1000)
    raise AssertionError(f"{text!r} is not said at {address}")


def test_marks_and_notes_are_kept_and_two_tabs_lose_none(address: str, chrome: Browser):
    link = f"{address}/rollouts?step=household-s0/task-19/rollout-0:"
    with opened(chrome, f"{link}0") as first, opened(chrome, f"{link}1") as second:
        ready(first)
        ready(second)
        first.keyboard.press("m")
        first.locator(f"{HERE} .pivotal", has_text="+").wait_for()
        second.keyboard.press("m")
        second.keyboard.press("m")
        second.locator(f"{HERE} .pivotal", has_text="−").wait_for()
        second.keyboard.press("e")
        second.get_by_label("Note", exact=True).fill("this one <b>loops</b>")
        second.get_by_label("Note", exact=True).press("Enter")
        second.locator(f"{HERE} .note").wait_for()
        kept(second, f"{address}/steps?filter=note:loops&methods=grpo", "1 step of 3,732")
        # A busy server has heard of what the first tab marked before that is closed.
        kept(second, f"{address}/steps?filter=mark:any&methods=grpo", "2 steps of 3,732")
    with opened(chrome, f"{address}/steps?filter=mark:any&methods=grpo") as page:
        page.get_by_role("link", name="2 steps of 3,732").wait_for()
        rows = page.locator(".steps .step")
        rows.nth(1).wait_for()
        assert rows.count() == 2
        assert "this one <b>loops</b>" in rows.nth(1).inner_text()
        page.keyboard.press("m")  # + becomes −
        page.locator(".steps .step.here .signed", has_text="−").wait_for()
        kept(page, f"{address}/steps?filter=mark:%2B&methods=grpo", "0 steps of 3,732")
        page.goto(f"{address}/compare?methods=grpo,gigpo")
        page.get_by_role("tab", name="Do they agree with marks?").click()
        page.get_by_role("link", name="Marked: 2 steps").wait_for()
        page.goto(f"{link}0")
        ready(page)
        page.keyboard.press("m")  # − becomes none
        page.locator(f"{HERE} .pivotal").wait_for(state="detached")
        kept(page, f"{address}/steps?filter=mark:any&methods=grpo", "1 step of 3,732")


def test_marks_in_quick_succession_are_all_kept(address: str, chrome: Browser):
    with opened(chrome, f"{address}/rollouts?step=household-s0/task-17/rollout-0:0") as page:
        ready(page)
        for _ in range(8):
            page.keyboard.press("m")
            page.keyboard.press("j")
            page.wait_for_timeout(40)
        where = 'rollout:"household-s0/task-17/rollout-0" mark:%2B'
        kept(page, f"{address}/steps?filter={where}&methods=grpo", "8 steps of 3,732")
